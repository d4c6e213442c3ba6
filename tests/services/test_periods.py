"""A closed period stays as it was closed: the database refuses what would change it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.errors import ActionNotAllowed, NotFound
from domain.reconciliation import day_of, span
from services import laws, ledger, periods, statements
from services.db import Database
from services.statements import Party
from tests.ledger import post_at
from tests.services.test_statements import DAY, LATE, life

FIN = "finance:fay"


async def live(database: Database, site_id: str) -> None:
    async with database.write() as writer:
        for each in life(site_id, "o1"):
            await post_at(writer, each, span(DAY)[0] + LATE)


async def close(database: Database, site_id: str, days: int = 0) -> datetime:
    async with database.write() as writer:
        closed = await periods.close(writer, site_id, DAY + timedelta(days=days), actor=FIN)
        until: datetime = closed.until
        return until


async def broken(database: Database, site_id: str) -> list[str]:
    async with database.read() as reader:
        return [one.law for one in await laws.check(reader, site_id) if one.broken]


async def test_a_closed_period_is_corrected_by_a_new_journal_only(
    database: Database, site_id: str
) -> None:
    await live(database, site_id)
    assert await close(database, site_id) == await close(database, site_id) == span(DAY)[1]
    with pytest.raises(IntegrityError, match="closed period"):
        async with database.write() as writer:
            await post_at(writer, life(site_id, "o2")[2], span(DAY)[1] - LATE)
    async with database.write() as writer:
        assert (await ledger.post(writer, life(site_id, "o3")[2])).status == "applied"
        await post_at(writer, life(site_id, "o4")[2], span(DAY)[1])
    await close(database, site_id, days=1)
    async with database.read() as reader:
        found = {row.account: row for row in await periods.totals(reader, site_id, DAY, limit=99)}
        assert sum(row.balance_fen for row in found.values()) == 0
        assert found["merchant:m:payable"].balance_fen == -2_500
        assert (found["rider:r:payable"].debit_fen, found["rider:r:payable"].credit_fen) == (0, 500)
        later = await periods.totals(reader, site_id, DAY + timedelta(days=1), limit=99)
        assert {row.account: row.balance_fen for row in later}["rider:r:payable"] == -1_000
        assert [row.closed_by for row in await periods.page(reader, site_id, limit=9)] == [FIN] * 2
        rider = await statements.whose(reader, site_id, Party.ACCOUNT, "rider:r:payable")
        whole = await statements.statement(reader, rider, span(DAY)[1], datetime.now(UTC))
        assert (whole.opening_fen, whole.closing_fen) == (500, 1_500)
        with pytest.raises(NotFound):
            await periods.totals(reader, site_id, DAY - timedelta(days=1), limit=99)
    assert await broken(database, site_id) == []


@pytest.mark.parametrize("table", ["ledger_periods", "ledger_period_totals"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET until = until + '1 day'"])
async def test_what_was_closed_stays_written(
    database: Database, site_id: str, table: str, change: str
) -> None:
    await live(database, site_id)
    await close(database, site_id)
    with pytest.raises(IntegrityError, match="append-only"):
        async with database.write() as writer:
            await writer.run(text(change.format(table) + " WHERE site_id = :s"), {"s": site_id})


async def test_who_posts_into_a_day_is_waited_for(database: Database, site_id: str) -> None:
    """A transaction that began before midnight commits after it, while the day is being closed."""
    await live(database, site_id)
    async with database.write() as writer:
        await post_at(writer, life(site_id, "slow")[2], span(DAY)[1] - LATE)
        await writer.run(text("SET CONSTRAINTS ALL IMMEDIATE"))
        closing = asyncio.create_task(close(database, site_id))
        await asyncio.sleep(0.3)
        assert not closing.done()
    await closing
    async with database.read() as reader:
        found = {row.account: row for row in await periods.totals(reader, site_id, DAY, limit=99)}
    assert found["rider:r:payable"].credit_fen == 1_000
    assert await broken(database, site_id) == []


async def test_who_posts_into_a_day_that_was_closed_meanwhile_is_refused(
    database: Database, site_id: str
) -> None:
    await live(database, site_id)

    async def post_slowly() -> None:
        async with database.write() as writer:
            await post_at(writer, life(site_id, "slow")[2], span(DAY)[1] - LATE)
            await close(database, site_id)

    with pytest.raises(IntegrityError, match="closed period"):
        await post_slowly()
    assert await broken(database, site_id) == []


async def test_totals_that_are_not_the_ledgers_break_the_law(
    database: Database, site_id: str
) -> None:
    await live(database, site_id)
    async with database.write() as writer:
        await writer.run(
            text("INSERT INTO ledger_periods VALUES (:s, :until, :by)"),
            {"s": site_id, "until": span(DAY)[1], "by": FIN},
        )
    assert await broken(database, site_id) == ["1 a closed period is what was closed"]


async def test_books_close_in_order_when_days_are_over_and_reconciled(
    database: Database, site_id: str
) -> None:
    today = day_of(datetime.now(UTC))
    async with database.write() as writer:
        with pytest.raises(ActionNotAllowed, match="not over"):
            await periods.close(writer, site_id, today, actor=FIN)
    account = {"id": f"{site_id}-account", "site": site_id, "at": span(DAY)[0] + LATE}
    async with database.write() as writer:
        for statement in (
            "INSERT INTO channel_accounts VALUES (:id, :site, 'm', 'wechat', 'm1', '', '')",
            """INSERT INTO payment_attempts (out_trade_no, site_id, order_id, attempt, account_id,
              channel, method, amount_fen, state, paid_at, expires_at)
            VALUES (:site, :site, :site, 1, :id, 'wechat', 'native', 1, 'paid', :at, :at)""",
        ):
            await writer.run(text(statement), account)
    with pytest.raises(ActionNotAllowed) as refused:
        await close(database, site_id)
    day = {"account_id": account["id"], "day": str(DAY)}
    assert refused.value.data == {"unreconciled": [day], "differences": []}
    async with database.write() as writer:
        await writer.run(
            text("""INSERT INTO reconciliations (account_id, day, site_id, channel, trade_version,
              matches, only_ours, only_theirs, differs)
            VALUES (:account_id, :day, :site, 'wechat', 1, 0, 1, 0, 0)"""),
            day | {"site": site_id},
        )
        difference = await writer.scalar(
            text("""INSERT INTO differences (site_id, account_id, channel, day, verdict, flaw, kind,
              number, order_id, ticket_key)
            VALUES (:site, :account_id, 'wechat', :day, 'only_ours', 'missing_payment', 'payment',
              :site, '', '') RETURNING id"""),
            day | {"site": site_id},
        )
    with pytest.raises(ActionNotAllowed) as refused:
        await close(database, site_id)
    assert refused.value.data == {"unreconciled": [], "differences": [difference]}
    async with database.write() as writer:
        closed = text("UPDATE differences SET state = 'closed' WHERE id = :id")
        await writer.run(closed, {"id": difference})
    await close(database, site_id)
    with pytest.raises(ActionNotAllowed, match="later"):
        await close(database, site_id, days=-1)
