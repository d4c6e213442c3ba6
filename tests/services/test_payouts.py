"""Payouts as rows: two persons, a rider's money in one batch only, and each end booked once."""

import asyncio
import uuid
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.books import journal
from domain.errors import ActionNotAllowed, NotFound
from domain.payouts import SecondPersonNeeded
from services import laws, ledger, payouts
from services.db import Database
from services.payouts import End

FAY, FRED = "finance:fay", "finance:fred"


async def town(database: Database, site_id: str, **owed_fen: int) -> None:
    """A site with a bank account of its own, and riders with what they have earned."""
    async with database.write() as writer:
        await writer.run(
            text("""
            INSERT INTO channel_accounts (account_id, site_id, merchant_id, channel, mchid, appid,
              keys_ref) VALUES (:site || '-bank', :site, '', 'bank', '10000001', '', :site)
            """),
            {"site": site_id},
        )
        for rider_id, fen in owed_fen.items():
            await writer.run(
                text(
                    "INSERT INTO riders (site_id, rider_id, zone_id, payee) VALUES (:s, :r, '', :p)"
                ),
                {"s": site_id, "r": rider_id, "p": f"payee-{rider_id}"},
            )
            await earn(database, site_id, rider_id, fen)


async def earn(database: Database, site_id: str, rider_id: str, fen: int) -> None:
    earned = journal(
        "rider_earned",
        site_id=site_id,
        order_id=uuid.uuid4().hex,
        rider_id=rider_id,
        amount_fen=fen,
    )
    async with database.write() as writer:
        assert (await ledger.post(writer, earned)).status == "applied"


async def propose(database: Database, site_id: str, minimum_fen: int = 100, **more: str) -> Any:
    async with database.write() as writer:
        return await payouts.propose(
            writer,
            site_id=site_id,
            batch_id=more.get("batch_id") or uuid.uuid4().hex,
            actor=FAY,
            minimum_fen=minimum_fen,
        )


async def decide(
    database: Database, site_id: str, batch_id: str, actor: str = FRED, *, approve: bool = True
) -> Any:
    async with database.write() as writer:
        return await payouts.decide(
            writer, site_id=site_id, batch_id=batch_id, actor=actor, approve=approve
        )


async def book(database: Database, batch_id: str) -> str:
    async with database.write() as writer:
        return await payouts.book(writer, batch_id)


async def lines(database: Database, batch_id: str) -> dict[str, Any]:
    async with database.read() as reader:
        return {row.rider_id: row for row in await payouts.lines(reader, batch_id)}


async def owed(database: Database, site_id: str) -> dict[str, int]:
    async with database.read() as reader:
        assert [one.law for one in await laws.check(reader, site_id) if one.broken] == []
        found = await ledger.balances(reader, site_id)
    return {one.code.removesuffix(":payable"): one.balance_fen for one in found}


async def test_a_batch_is_booked_sent_and_ended_line_by_line(
    database: Database, site_id: str
) -> None:
    await town(database, site_id, amy=5_000, ben=3_000, cy=99)
    await earn(database, site_id, "no-token", 700)
    batch = await propose(database, site_id)
    assert (batch.lines, batch.amount_fen, batch.state) == (2, 8_000, "proposed")
    again = await propose(database, site_id, batch_id=batch.batch_id)
    assert again == batch
    with pytest.raises(ActionNotAllowed, match="nobody"):
        await propose(database, site_id)
    approved = await decide(database, site_id, batch.batch_id)
    assert approved == await decide(database, site_id, batch.batch_id)
    assert [await book(database, batch.batch_id) for _ in range(2)] == ["sent", "sent"]
    assert (await owed(database, site_id))[f"payout:{site_id}:in_flight"] == 8_000
    found = await lines(database, batch.batch_id)
    ends = [
        End(line_id=found["amy"].line_id, paid=True, transfer_id="t1"),
        End(line_id=found["ben"].line_id, paid=False, transfer_id="t2", reason="ACCOUNT_CLOSED"),
    ]
    for number, failures in ((1, 0), (2, 1), (2, 0)):
        async with database.write() as writer:
            state, failed = await payouts.end(writer, batch.batch_id, ends[:number])
        assert (state, len(failed)) == ("sent" if number == 1 else "finished", failures)
    balances = await owed(database, site_id)
    assert (balances["rider:amy"], balances["rider:ben"]) == (0, 3_000)
    assert balances[f"payout:{site_id}:in_flight"] == 0
    assert balances[f"platform:{site_id}:bank"] == -5_000
    next_batch = await propose(database, site_id)
    assert list(await lines(database, next_batch.batch_id)) == ["ben"]


async def test_who_proposed_it_does_not_decide(database: Database, site_id: str) -> None:
    await town(database, site_id, amy=5_000)
    batch_id = (await propose(database, site_id)).batch_id
    for approve in (True, False):
        with pytest.raises(SecondPersonNeeded):
            await decide(database, site_id, batch_id, FAY, approve=approve)
    with pytest.raises(IntegrityError, match="two_persons"):
        async with database.write() as writer:
            await writer.run(
                text("UPDATE payout_batches SET decided_by = proposed_by WHERE batch_id = :b"),
                {"b": batch_id},
            )
    with pytest.raises(NotFound):
        await decide(database, "elsewhere", batch_id)
    assert (await decide(database, site_id, batch_id, approve=False)).state == "declined"
    with pytest.raises(ActionNotAllowed):
        await decide(database, site_id, batch_id)
    with pytest.raises(ActionNotAllowed):
        await decide(database, site_id, batch_id, "finance:flo", approve=False)
    assert await book(database, batch_id) == "declined"
    assert (await propose(database, site_id)).amount_fen == 5_000


async def test_proposals_at_once_hold_each_rider_once(database: Database, site_id: str) -> None:
    await town(database, site_id, amy=5_000, ben=3_000)
    answers = await asyncio.gather(
        *(propose(database, site_id) for _ in range(6)), return_exceptions=True
    )
    made = [one for one in answers if not isinstance(one, BaseException)]
    assert [(one.lines, one.amount_fen) for one in made] == [(2, 8_000)]
    assert {type(one) for one in answers if isinstance(one, BaseException)} == {ActionNotAllowed}


async def test_a_rider_who_is_no_longer_owed_as_much_is_dropped(
    database: Database, site_id: str
) -> None:
    await town(database, site_id, amy=5_000, ben=3_000)
    batch_id = (await propose(database, site_id)).batch_id
    await decide(database, site_id, batch_id)
    taken = journal(
        "rider_payout_sent", site_id=site_id, rider_id="amy", line_id="other", amount_fen=1
    )
    back = journal(
        "rider_payout_failed", site_id=site_id, rider_id="ben", line_id="other", amount_fen=1
    )
    async with database.write() as writer:
        assert (await ledger.post(writer, taken)).status == "applied"
        assert (await ledger.post(writer, back)).status == "applied"
    assert await book(database, batch_id) == "sent"
    found = await lines(database, batch_id)
    assert (found["amy"].state, found["amy"].reason) == ("dropped", "overdraft")
    assert found["ben"].state == "sent"
    assert (await owed(database, site_id))["rider:amy"] == 4_999


async def test_a_site_without_a_bank_account_pays_nobody(database: Database, site_id: str) -> None:
    with pytest.raises(ActionNotAllowed, match="bank account"):
        await propose(database, site_id)


async def shop(database: Database, site_id: str, *, free_fen: int, coming_fen: int) -> None:
    """A merchant with a token: subsidies of two orders, one of them with its settlement open."""
    orders = {f"{site_id}-free": free_fen, f"{site_id}-open": coming_fen}
    async with database.write() as writer:
        await writer.run(
            text("""INSERT INTO merchants (site_id, merchant_id, name, payee)
            VALUES (:s, 'mo', '', 'payee-mo')"""),
            {"s": site_id},
        )
        for order_id, fen in orders.items():
            paid = journal(
                "merchant_paid_by_platform",
                site_id=site_id,
                order_id=order_id,
                merchant_id="mo",
                amount_fen=fen,
            )
            await ledger.post(writer, paid)
        await writer.run(
            text("""INSERT INTO settlements (order_id, site_id, merchant_id, out_trade_no,
              account_id, merchant_fen, commission_fen, delivery_fen)
            VALUES (:o, :s, 'mo', '', '', 0, 0, 0)"""),
            {"s": site_id, "o": f"{site_id}-open"},
        )


async def owe(database: Database, site_id: str, fen: int) -> None:
    """The merchant keeps a share that no split has brought."""
    owes = journal(
        "share_owed",
        site_id=site_id,
        order_id=f"{site_id}-owed",
        merchant_id="mo",
        channel="card",
        mchid="m",
        amount_fen=fen,
    )
    async with database.write() as writer:
        await ledger.post(writer, owes)


async def merchant(database: Database, site_id: str) -> tuple[int, int]:
    """What they are owed, and what they owe."""
    balances = await balances_of(database, site_id)
    return balances["merchant:mo:payable"], balances.get("merchant:mo:owes", 0)


async def balances_of(database: Database, site_id: str) -> dict[str, int]:
    async with database.read() as reader:
        assert await ledger.check(reader) == []
        return {one.code: one.balance_fen for one in await ledger.balances(reader, site_id)}


async def test_merchants_are_paid_beyond_open_settlements_and_less_what_they_owe(
    database: Database, site_id: str
) -> None:
    await town(database, site_id, amy=5_000)
    await shop(database, site_id, free_fen=900, coming_fen=400)
    await owe(database, site_id, 250)
    batch = await propose(database, site_id)
    assert (batch.lines, batch.amount_fen) == (2, 5_650)
    await decide(database, site_id, batch.batch_id)
    assert await book(database, batch.batch_id) == "sent"
    assert await merchant(database, site_id) == (400, 0)
    async with database.read() as reader:
        rows = {row.merchant_id: row for row in await payouts.lines(reader, batch.batch_id)}
    line = rows["mo"]
    assert (line.amount_fen, line.set_off_fen, line.state) == (650, 250, "sent")
    failed = [End(line_id=line.line_id, paid=False, reason="ACCOUNT_CLOSED")]
    async with database.write() as writer:
        await payouts.end(writer, batch.batch_id, failed)
    assert await merchant(database, site_id) == (1_050, 0)
    again = await propose(database, site_id)
    assert (again.lines, again.amount_fen) == (1, 650)


async def test_a_merchants_line_never_takes_what_a_settlement_is_to_bring(
    database: Database, site_id: str
) -> None:
    await town(database, site_id)
    await shop(database, site_id, free_fen=900, coming_fen=400)
    batch = await propose(database, site_id)
    await decide(database, site_id, batch.batch_id)
    taken = journal(
        "refund_opened",
        site_id=site_id,
        order_id=f"{site_id}-free",
        payer="merchant",
        merchant_id="mo",
        channel="wechat",
        out_refund_no=f"{site_id}-r01",
        amount_fen=1,
    )
    async with database.write() as writer:
        assert (await ledger.post(writer, taken)).status == "applied"
    assert await book(database, batch.batch_id) == "finished"
    assert await merchant(database, site_id) == (1_299, 0)
