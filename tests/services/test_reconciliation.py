"""Bills on a real PostgreSQL: kept once, compared with real rows, every difference a ticket."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import text

from domain import books
from domain.channels import Bill, BillKind, BillRow, FundRow
from domain.errors import ActionNotAllowed, Invalid, NotFound
from domain.reconciliation import key_of
from services import ledger, reconciliation
from services.db import Database
from services.reconciliation import Payee, Summary, bills
from tests.account import live, open_account
from tests.bills import DAY, PLANTS, Expected, plant, town

ORDERS = 1_000
OF_EACH = 30
NEXT = DAY + timedelta(days=1)


@pytest.fixture
async def payee(database: Database, site_id: str) -> AsyncIterator[Payee]:
    """An account of the test's own; its tickets are no work for the sweep of other tests."""
    yield await open_account(database, site_id)
    done = text("UPDATE tickets SET state = 'resolved' WHERE site_id = :site")
    async with database.write() as writer:
        await writer.run(done, {"site": site_id})


def trade_bill(rows: list[BillRow], sha256: str = "a") -> Bill:
    return Bill(kind=BillKind.TRADE, sha256=sha256, trades=tuple(rows))


def funds_bill(rows: list[FundRow], sha256: str = "a") -> Bill:
    return Bill(kind=BillKind.FUNDS, sha256=sha256, funds=tuple(rows))


async def reconcile(
    database: Database, who: Payee, day: date, *imports: Bill
) -> tuple[Summary, set[tuple[str, ...]]]:
    """Import, compare, and what is open then, of that day."""
    async with database.write() as writer:
        for bill in imports:
            await reconciliation.keep_bill(writer, who, day, bill)
        summary = await reconciliation.compare(writer, who, day)
    return summary, await still_open(database, who, day)


async def still_open(database: Database, who: Payee, day: date) -> set[tuple[str, ...]]:
    async with database.read() as reader:
        rows = await reconciliation.of_day(reader, who.account_id, day)
    return {(r.verdict, r.flaw, r.kind, r.number) for r in rows if r.state == "open"}


async def tickets(database: Database, who: Payee) -> Counter[tuple[str, str, str]]:
    async with database.read() as reader:
        rows = await reader.all(
            text("SELECT kind, owner, state FROM tickets WHERE site_id = :site"),
            {"site": who.site_id},
        )
    return Counter((row.kind, row.owner, row.state) for row in rows)


async def test_thirty_of_each_in_a_day_of_a_thousand_orders_are_found_and_nothing_else(
    database: Database, payee: Payee
) -> None:
    made = town(7, ORDERS, prefix=payee.site_id)
    expected: set[Expected] = plant(made, [name for name in PLANTS for _ in range(OF_EACH)])
    await live(database, payee, made)
    async with database.write() as writer:
        before = [trade_bill(made.earlier), funds_bill(made.near_funds)]
        for bill in before:
            await reconciliation.keep_bill(writer, payee, DAY - timedelta(days=1), bill)
    summary, found = await reconcile(
        database, payee, DAY, trade_bill(made.bill), funds_bill(made.funds)
    )
    assert len(expected) == OF_EACH * len(PLANTS)
    assert found == expected
    assert summary.only_ours + summary.only_theirs + summary.differs == len(expected)
    named = {key_of(row) for row in made.bill}
    assert summary.matches == len(named) - sum(one[2:] in named for one in expected)
    assert await tickets(database, payee) == {("difference", "finance", "open"): len(expected)}
    async with database.read() as reader:
        assert await ledger.check(reader) == []


async def test_the_same_bill_again_changes_nothing_and_another_is_a_new_version(
    database: Database, payee: Payee
) -> None:
    made = town(8, 20, prefix=payee.site_id)
    [(*_, number)] = plant(made, ["only_theirs"])
    await live(database, payee, made)
    bill = trade_bill(made.bill)
    first, found = await reconcile(database, payee, DAY, bill)
    assert len(found) == 1
    again, same = await reconcile(database, payee, DAY, bill)
    assert (again, same) == (first, found)
    assert (await versions(database, payee)) == [(1, "current", len(made.bill))]

    mended = trade_bill([row for row in made.bill if number not in key_of(row)], sha256="b")
    _, none = await reconcile(database, payee, DAY, mended)
    assert none == set()
    kept = await versions(database, payee)
    assert kept == [(1, "replaced", len(made.bill)), (2, "current", len(made.bill) - 1)]
    assert await tickets(database, payee) == {("difference", "finance", "resolved"): 1}
    _, back = await reconcile(database, payee, DAY, bill)
    assert back == found
    assert await tickets(database, payee) == {("difference", "finance", "open"): 1}


async def fees(database: Database, who: Payee) -> tuple[int, int, int]:
    """What the channel has kept, what the merchant bears, and how many journals say so."""
    async with database.read() as reader:
        assert await ledger.check(reader) == []
        found = {one.code: one.balance_fen for one in await ledger.balances(reader, who.site_id)}
        journals = await reader.scalar(
            text("""SELECT count(*) FROM ledger_journals
            WHERE site_id = :site AND event LIKE 'channel_fee%'"""),
            {"site": who.site_id},
        )
    kept = books.account("fees", channel=who.channel, mchid=who.mchid).code
    borne = books.account("channel_fees", merchant_id=who.merchant_id).code
    return found.get(kept, 0), found.get(borne, 0), journals


async def test_a_matched_rows_fee_is_booked_once_and_corrected_by_a_later_bill(
    database: Database, payee: Payee
) -> None:
    made = town(13, 40, prefix=payee.site_id)
    plant(made, ["unbooked"])
    unmatched = next(key_of(row) for row in made.bill if key_of(row) not in made.booked)
    await live(database, payee, made)
    rows = [row for row in made.bill if key_of(row) != unmatched and row.fee_fen]
    fen = sum(row.fee_fen for row in rows)
    for _ in range(2):
        await reconcile(database, payee, DAY, trade_bill(made.bill))
        assert await fees(database, payee) == (fen, fen, len(rows))
    key = next(key for key in made.plain if key[0] == "payment" and key != unmatched)
    row = made.row(key)
    for times, fee_fen in enumerate((row.fee_fen + 3, row.fee_fen - 2, row.fee_fen), 1):
        made.put_row(key, replace(row, fee_fen=fee_fen))
        for _ in range(2):
            await reconcile(database, payee, DAY, trade_bill(made.bill, sha256=str(times)))
            more = fee_fen - row.fee_fen
            assert await fees(database, payee) == (fen + more, fen + more, len(rows) + times)


async def versions(database: Database, who: Payee) -> list[tuple[int, str, int]]:
    async with database.read() as reader:
        rows = await reader.all(
            text("""SELECT version, state, rows FROM bills
            WHERE account_id = :account_id AND day = :day ORDER BY version"""),
            {"account_id": who.account_id, "day": str(DAY)},
        )
    return [(row.version, row.state, row.rows) for row in rows]


async def test_what_a_person_closed_stays_closed_with_its_ticket(
    database: Database, payee: Payee
) -> None:
    made = town(9, 20, prefix=payee.site_id)
    plant(made, ["fee", "unbooked"])
    await live(database, payee, made)
    _, found = await reconcile(database, payee, DAY, trade_bill(made.bill), funds_bill(made.funds))
    assert len(found) == 2
    async with database.read() as reader:
        one, _ = await reconciliation.differences(reader, payee.site_id, state="open", limit=9)
    closing = {"reason_code": "paid_by_hand", "actor": "finance:fin"}
    for _ in range(2):
        async with database.write() as writer:
            closed = await reconciliation.close(writer, payee.site_id, one.id, **closing)
        assert (closed.state, closed.closed_by) == ("closed", "finance:fin")
    _, left = await reconcile(database, payee, DAY, trade_bill(made.bill, sha256="b"))
    assert left == found - {(one.verdict, one.flaw, one.kind, one.number)}
    assert await tickets(database, payee) == {
        ("difference", "finance", "open"): 1,
        ("difference", "finance", "resolved"): 1,
    }
    async with database.write() as writer:
        with pytest.raises(ActionNotAllowed):
            await reconciliation.close(
                writer, payee.site_id, one.id, reason_code="other", actor="finance:fin"
            )
        with pytest.raises(NotFound):
            await reconciliation.close(writer, "elsewhere", one.id, **closing)


async def test_a_payment_booked_by_the_channel_after_midnight_is_settled_by_the_next_bill(
    database: Database, payee: Payee
) -> None:
    made = town(10, 10, prefix=payee.site_id)
    key = next(key for key in made.plain if key[0] == "payment")
    row = made.row(key)
    made.put_row(key)
    await live(database, payee, made)
    _, found = await reconcile(database, payee, DAY, trade_bill(made.bill))
    assert found == {("only_ours", "missing_payment", *key)}
    _, tomorrow = await reconcile(database, payee, NEXT, trade_bill([row]))
    assert tomorrow == set()
    assert await still_open(database, payee, DAY) == set()


async def test_another_payees_number_is_not_ours(database: Database, payee: Payee) -> None:
    made = town(11, 5, prefix=payee.site_id)
    await live(database, payee, made)
    stranger = replace(payee, account_id=f"{payee.account_id}-2", mchid="m2")
    _, found = await reconcile(database, stranger, DAY, trade_bill(made.bill))
    assert {verdict for verdict, *_ in found} == {"only_theirs"}
    assert len(found) == len(made.bill)


async def test_a_day_without_a_bill_and_a_bill_without_bounds_are_refused(
    database: Database, payee: Payee, monkeypatch: pytest.MonkeyPatch
) -> None:
    bill = trade_bill(town(12, 5).bill)
    monkeypatch.setattr(bills, "ROWS_MAX", 0)
    async with database.write() as writer:
        with pytest.raises(NotFound):
            await reconciliation.compare(writer, payee, DAY)
        with pytest.raises(Invalid):
            await reconciliation.keep_bill(writer, payee, DAY, bill)
