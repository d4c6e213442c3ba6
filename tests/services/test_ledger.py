"""The ledger on a real PostgreSQL: once per key, balanced at commit, exact under races."""

import asyncio
import json
import random
import sys
import textwrap
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress

import pytest
from sqlalchemy import text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from domain.books import account, journal
from domain.ledger import Journal, JournalKeyReused, Posting, Side
from services.db import Database, Writer
from services.ledger import accounts, balances, check, post, trial_balance

SEED = 20240611
CONNECTIONS = 8
POSTS = 400


def earn(site_id: str, key: str, merchant_id: str, fen: int) -> Journal:
    """The platform pays a merchant; a negative amount takes it back from them for a refund."""
    payable = account("merchant", merchant_id=merchant_id)
    if fen > 0:
        debit, credit = account("expense", site_id=site_id), payable
    else:
        debit, credit = payable, account("in_flight", channel="wechat")
    return Journal(
        key=f"{site_id}/{key}",
        event="test",
        site_id=site_id,
        order_id=f"{site_id}-order",
        postings=(
            Posting(account=debit, side=Side.DEBIT, amount_fen=abs(fen)),
            Posting(account=credit, side=Side.CREDIT, amount_fen=abs(fen)),
        ),
    )


class RolledBackError(Exception):
    """A test's own way out of a transaction."""


def more_out_than_in(site_id: str) -> Journal:
    return journal(
        "refund_opened",
        site_id=site_id,
        order_id=f"{site_id}-o",
        channel="wechat",
        merchant_id="m",
        out_refund_no=f"{site_id}-r01",
        payer="held",
        amount_fen=1,
    )


async def book(database: Database, journal: Journal) -> str:
    async with database.write() as writer:
        return (await post(writer, journal)).status


async def of_site(database: Database, site_id: str) -> dict[str, int]:
    async with database.read() as reader:
        assert set((await trial_balance(reader, site_id)).values()) <= {0}
        assert await check(reader) == []
        return {row.code: row.balance_fen for row in await balances(reader, site_id)}


async def entry_count(database: Database, site_id: str) -> int:
    async with database.read() as reader:
        counted: int = await reader.scalar(
            text("SELECT count(*) FROM ledger_entries WHERE site_id = :site_id"),
            {"site_id": site_id},
        )
        return counted


async def test_an_orders_life_ends_with_everybody_paid(database: Database, site_id: str) -> None:
    order = {"site_id": site_id, "order_id": f"{site_id}-o"}
    channel = {"channel": "wechat", "mchid": "m1"}
    number = {"out_refund_no": f"{site_id}-r01"}
    life = [
        journal(
            "payment_captured", **order, **channel, out_trade_no=f"{site_id}-p01", amount_fen=3_000
        ),
        journal(
            "refund_opened",
            **order,
            channel="wechat",
            merchant_id="m",
            **number,
            payer="held",
            amount_fen=500,
        ),
        journal("refund_settled", **order, **channel, **number, amount_fen=500),
        journal(
            "order_settled",
            **order,
            merchant_id="m",
            merchant_fen=2_500,
            commission_fen=0,
            delivery_fen=0,
        ),
    ]
    assert [await book(database, journal) for journal in life] == ["applied"] * 4
    assert [await book(database, journal) for journal in life] == ["already"] * 4
    assert await of_site(database, site_id) == {
        "psp:wechat:m1:clearing": 2_500,
        f"order:{site_id}:held": 0,
        "refund:wechat:in_flight": 0,
        "merchant:m:payable": 2_500,
    }


async def test_a_key_with_another_body_is_refused(database: Database, site_id: str) -> None:
    assert await book(database, earn(site_id, "k", "m", 100)) == "applied"
    with pytest.raises(JournalKeyReused):
        await book(database, earn(site_id, "k", "m", 101))
    assert (await of_site(database, site_id))["merchant:m:payable"] == 100


async def test_an_overdraft_is_declined_and_stays_declined(
    database: Database, site_id: str
) -> None:
    await book(database, earn(site_id, "first", "m", 100))
    too_much = earn(site_id, "take", "m", -101)
    async with database.write() as writer:
        answer = await post(writer, too_much)
        assert (answer.status, answer.reason) == ("declined", "overdraft")
    await book(database, earn(site_id, "second", "m", 1_000))
    async with database.write() as writer:
        assert await post(writer, too_much) == answer
    with pytest.raises(JournalKeyReused):
        await book(database, earn(site_id, "take", "m", -1))
    assert await book(database, earn(site_id, "take again", "m", -1_100)) == "applied"
    assert (await of_site(database, site_id))["merchant:m:payable"] == 0


async def test_a_decline_leaves_the_rest_of_its_transaction_alone(
    database: Database, site_id: str
) -> None:
    async with database.write() as writer:
        assert (await post(writer, earn(site_id, "a", "m", 5))).status == "applied"
        assert (await post(writer, earn(site_id, "b", "m", -6))).status == "declined"
        assert (await post(writer, earn(site_id, "c", "m", -5))).status == "applied"
    assert (await of_site(database, site_id))["merchant:m:payable"] == 0


RAW_POST = text("""
    SELECT ledger_post(:key, :site_id, 'o', 'e', 'CNY', CAST(:accounts AS jsonb),
                       CAST(:entries AS jsonb))
""")


async def post_raw(writer: Writer, site_id: str, legs: Sequence[tuple[str, float | None]]) -> None:
    """Post what `domain.ledger` would refuse to build; the key is the site's name."""
    account = {"code": "a", "normal_side": "D", "keeping": "derived", "may_go_negative": True}
    entries = [{"account": "a", "side": side, "amount_fen": amount} for side, amount in legs]
    parameters = {
        "key": site_id,
        "site_id": site_id,
        "accounts": json.dumps([account]),
        "entries": json.dumps(entries),
    }
    await writer.run(RAW_POST, parameters)


@pytest.mark.parametrize("legs", [[], [("D", 5)], [("D", 5), ("C", 4)], [("D", 5), ("D", 5)]])
async def test_an_unbalanced_journal_is_refused_at_commit(
    database: Database, site_id: str, legs: list[tuple[str, int]]
) -> None:
    with pytest.raises(IntegrityError, match="does not balance"):
        async with database.write() as writer:
            await post_raw(writer, site_id, legs)
    assert await entry_count(database, site_id) == 0


@pytest.mark.parametrize("amount_fen", [0, -5, 2**63, None, 0.5])
async def test_amounts_that_are_none_are_refused_not_declined(
    database: Database, site_id: str, amount_fen: float | None
) -> None:
    with pytest.raises(DBAPIError):
        async with database.write() as writer:
            await post_raw(writer, site_id, [("D", amount_fen), ("C", amount_fen)])
    assert await entry_count(database, site_id) == 0


async def test_legs_added_to_an_old_journal_are_refused(database: Database, site_id: str) -> None:
    async with database.write() as writer:
        posted = await post(writer, earn(site_id, "k", "m", 100))
    leg = text("""
        INSERT INTO ledger_entries (journal_id, line, site_id, account, currency, side, amount_fen)
        VALUES (:id, 3, :site_id, 'merchant:m:payable', 'CNY', 'C', 1)
    """)
    with pytest.raises(IntegrityError, match="does not balance"):
        async with database.write() as writer:
            await writer.run(leg, {"id": posted.journal_id, "site_id": site_id})
    assert (await of_site(database, site_id))["merchant:m:payable"] == 100


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_journals SET event = 'other' WHERE site_id = :site_id",
        "DELETE FROM ledger_journals WHERE site_id = :site_id",
        "UPDATE ledger_entries SET amount_fen = 1 WHERE site_id = :site_id",
        "DELETE FROM ledger_entries WHERE site_id = :site_id",
        "TRUNCATE ledger_entries",
        "TRUNCATE ledger_journals CASCADE",
    ],
)
async def test_history_cannot_be_changed(database: Database, site_id: str, change: str) -> None:
    await book(database, earn(site_id, "k", "m", 100))
    with pytest.raises(IntegrityError, match="append-only"):
        async with database.write() as writer:
            await writer.run(text(change), {"site_id": site_id})
    assert await entry_count(database, site_id) == 2


async def test_check_names_what_is_broken(database: Database, site_id: str) -> None:
    await book(database, earn(site_id, "k", "m", 100))
    with suppress(RolledBackError):
        async with database.write() as writer:
            of_merchant = (accounts.c.site_id == site_id) & (
                accounts.c.code == "merchant:m:payable"
            )
            await writer.run(update(accounts).where(of_merchant).values(balance_fen=99))
            await post(writer, more_out_than_in(site_id))
            broken = await check(writer)
            raise RolledBackError
    assert sorted(broken) == [
        f"ledger: a running balance is the sum of its entries: {site_id} merchant:m:payable",
        f"ledger: an order never takes more than it put in: {site_id}-o order:{site_id}:held",
    ]


async def test_check_finds_unbalanced_rows_before_they_commit(
    database: Database, site_id: str
) -> None:
    with suppress(RolledBackError):
        async with database.write() as writer:
            await post_raw(writer, site_id, [("D", 5)])
            broken = await check(writer)
            unbalanced = await trial_balance(writer, site_id)
            raise RolledBackError
    assert unbalanced == {"CNY": 5}
    assert broken == [
        f"ledger: an applied journal has balanced legs, a declined one has none: {site_id}",
        f"ledger: debits equal credits in every site: {site_id} CNY",
    ]


async def test_duplicates_on_many_connections_are_booked_once(
    database: Database, site_id: str
) -> None:
    """8 connections, 30 % duplicates, merchants near zero; locks in one order never deadlock."""
    dice = random.Random(SEED)  # noqa: S311  a seeded order of work, no secret
    unique = [
        earn(site_id, f"k{number}", f"m{dice.randrange(3)}", dice.choice((-70, -40, 30, 90)))
        for number in range(POSTS * 7 // 10)
    ]
    work = unique + dice.choices(unique, k=POSTS - len(unique))
    dice.shuffle(work)
    answers: defaultdict[str, list[str]] = defaultdict(list)

    async def client(share: list[Journal]) -> None:
        for entry in share:
            answers[entry.key].append(await book(database, entry))

    await asyncio.gather(*(client(work[number::CONNECTIONS]) for number in range(CONNECTIONS)))

    for statuses in answers.values():
        first = Counter(statuses)
        assert first == Counter(declined=len(statuses)) or first == Counter(
            {"applied": 1, "already": len(statuses) - 1}
        )
    expected: Counter[str] = Counter()
    for entry in unique:
        if "applied" in answers[entry.key]:
            for leg in entry.postings:
                normal = leg.side is leg.account.normal
                expected[leg.account.code] += leg.amount_fen if normal else -leg.amount_fen
    assert {statuses[0] for statuses in answers.values()} >= {"applied", "declined"}
    assert await of_site(database, site_id) == dict(expected)


async def test_one_key_at_once_on_all_connections(database: Database, site_id: str) -> None:
    await book(database, earn(site_id, "first", "m", 50))
    for key, fen in (("give", 10), ("take", -60), ("too much", -1)):
        journal = earn(site_id, key, "m", fen)
        statuses = await asyncio.gather(*(book(database, journal) for _ in range(CONNECTIONS)))
        if key == "too much":
            assert set(statuses) == {"declined"}
        else:
            assert Counter(statuses) == {"applied": 1, "already": CONNECTIONS - 1}
    assert (await of_site(database, site_id))["merchant:m:payable"] == 0


async def test_opposite_transfers_do_not_deadlock(database: Database, site_id: str) -> None:
    """Two merchants' rows, asked for in both orders on all connections, are locked in one."""
    for merchant_id in "ab":
        await book(database, earn(site_id, merchant_id, merchant_id, 1_000))

    def transfer(number: int) -> Journal:
        payer, payee = ("a", "b") if number % 2 else ("b", "a")
        debit, credit = (account("merchant", merchant_id=name) for name in (payer, payee))
        return Journal(
            key=f"{site_id}/transfer/{number}",
            event="test",
            site_id=site_id,
            order_id=f"{site_id}-order",
            postings=(
                Posting(account=debit, side=Side.DEBIT, amount_fen=10),
                Posting(account=credit, side=Side.CREDIT, amount_fen=10),
            ),
        )

    async def client(first: int) -> list[str]:
        return [await book(database, transfer(first + step)) for step in range(12)]

    statuses = await asyncio.gather(*(client(100 * number + number) for number in range(8)))
    assert {status for answered in statuses for status in answered} == {"applied"}
    found = await of_site(database, site_id)
    assert (found["merchant:a:payable"], found["merchant:b:payable"]) == (1_000, 1_000)


CLIENT = textwrap.dedent("""
    import asyncio, sys
    from tests.services.test_ledger import earn
    from services.db import Database
    from services.ledger import post

    async def main(url, site_id):
        async with Database(url).write() as writer:
            print((await post(writer, earn(site_id, "k", "m", 100))).status, flush=True)
            await asyncio.sleep(60)

    asyncio.run(main(*sys.argv[1:]))
""")


async def test_a_client_killed_in_mid_transaction_leaves_nothing(
    database: Database, postgres_url: str, site_id: str
) -> None:
    client = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CLIENT, postgres_url, site_id), stdout=asyncio.subprocess.PIPE
    )
    assert client.stdout is not None
    try:
        assert await client.stdout.readline() == b"applied\n"
        assert await entry_count(database, site_id) == 0
    finally:
        client.kill()
        await client.wait()
    assert await book(database, earn(site_id, "k", "m", 100)) == "applied"
    assert (await of_site(database, site_id))["merchant:m:payable"] == 100
