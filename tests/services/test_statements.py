"""Statements join, add up to nothing over all accounts, and are kept once per day."""

import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from domain.books import journal
from domain.ledger import Journal
from domain.reconciliation import span
from domain.settlement import SplitState
from services import laws, ledger, settlement, statements
from services.db import Database, Writer
from services.statements import Party, Statement, Whose
from tests.ledger import post_at

DAY = date(2026, 3, 4)
LATE = timedelta(hours=1)
"""After the business day began, which is the evening before in UTC."""


def life(site_id: str, order: str) -> list[Journal]:
    """Paid 30.00, settled to the merchant; the rider earned 5.00."""
    of = {"site_id": site_id, "order_id": f"{site_id}-{order}"}
    return [
        journal(
            "payment_captured",
            **of,
            channel="wechat",
            mchid="m1",
            out_trade_no=f"{of['order_id']}p01",
            amount_fen=3_000,
        ),
        journal(
            "order_settled",
            **of,
            merchant_id="m",
            merchant_fen=2_500,
            commission_fen=300,
            delivery_fen=200,
        ),
        journal("rider_earned", **of, rider_id="r", amount_fen=500),
    ]


async def live(database: Database, site_id: str) -> None:
    """One order on each of three days, one of them with nothing between."""
    for number in (0, 1, 3):
        async with database.write() as writer:
            for each in life(site_id, f"o{number}"):
                await post_at(writer, each, span(DAY + timedelta(days=number))[0] + LATE)


def of_merchant(site_id: str) -> Whose:
    account = "merchant:m:payable"
    return Whose(site_id=site_id, party=Party.MERCHANT, party_id="m", account=account)


async def test_consecutive_statements_join_and_their_lines_make_them(
    database: Database, site_id: str
) -> None:
    await live(database, site_id)
    who = of_merchant(site_id)
    begin = span(DAY)[0]
    cuts = [begin, begin + LATE, begin + timedelta(days=2), begin + timedelta(days=9)]
    closing = 0
    async with database.read() as reader:
        for since, until in itertools.pairwise(cuts):
            found = await statements.statement(reader, who, since, until)
            assert found.opening_fen == closing
            lines, page, after = [], None, None
            while page is None or page:
                page = await statements.lines(reader, who, since, until, after=after, limit=1)
                lines += page
                after = (page[-1].at, page[-1].journal_id, page[-1].line) if page else after
            assert found.in_fen - found.out_fen == sum(one.in_fen - one.out_fen for one in lines)
            assert found.lines == len(lines)
            closing = found.closing_fen
        assert closing == 7_500
        [first] = await statements.lines(reader, who, begin, cuts[2], limit=1)
        assert (first.event, first.order_id) == ("order_settled", f"{site_id}-o0")


async def test_all_statements_of_a_site_add_up_to_nothing(database: Database, site_id: str) -> None:
    await live(database, site_id)
    moments = (span(DAY)[0], span(DAY + timedelta(days=1))[1])
    async with database.read() as reader:
        sides = await reader.all(
            text("SELECT code, normal_side FROM ledger_accounts WHERE site_id = :s"),
            {"s": site_id},
        )
        sums = [0, 0]
        for row in sides:
            who = await statements.whose(reader, site_id, Party.ACCOUNT, row.code)
            found = await statements.statement(reader, who, *moments)
            sign = 1 if row.normal_side == "D" else -1
            sums[0] += sign * found.opening_fen
            sums[1] += sign * found.closing_fen
            assert found.in_fen + found.out_fen > 0
        assert (len(sides), sums) == (7, [0, 0])
        assert await ledger.trial_balance(reader, site_id) == {"CNY": 0}


async def test_statements_that_do_not_add_up_break_the_law(
    database: Database, site_id: str
) -> None:
    await live(database, site_id)
    one_leg = """INSERT INTO ledger_entries
      (journal_id, line, site_id, account, currency, side, amount_fen, posted_at)
      SELECT journal_id, 99, site_id, account, currency, side, 1, posted_at FROM ledger_entries
      WHERE site_id = :s LIMIT 1"""
    async with database.engine.connect() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))
        await connection.execute(text(one_leg), {"s": site_id})
        broken = [one.law for one in await laws.check(Writer(connection), site_id) if one.broken]
        await connection.rollback()
    assert any("add up to its trial balance" in law for law in broken)


async def test_a_line_names_the_gateways_number(database: Database, site_id: str) -> None:
    order = f"{site_id}-o9"
    now = datetime.now(UTC)
    async with database.write() as writer:
        for each in life(site_id, "o9"):
            await ledger.post(writer, each)
        await writer.run(
            text("""
            INSERT INTO payment_attempts (out_trade_no, site_id, order_id, attempt, account_id,
              channel, method, amount_fen, state, transaction_id, expires_at)
            VALUES (:no, :site, :order, 1, :site, 'wechat', 'native', 3000, 'paid', '4200', now())
            """),
            {"no": f"{order}p01", "site": site_id, "order": order},
        )
    async with database.read() as reader:
        for code, number in (
            ("psp:wechat:m1:clearing", "4200"),
            ("merchant:m:payable", "4200"),
            ("rider:r:payable", "4200"),
        ):
            who = await statements.whose(reader, site_id, Party.ACCOUNT, code)
            [line] = await statements.lines(reader, who, now - LATE, now + LATE, limit=9)
            assert (line.gateway_number, line.in_fen) == (number, line.in_fen or None)


async def test_a_line_of_a_share_names_the_gateways_number_of_it(
    database: Database, site_id: str
) -> None:
    order = f"{site_id}-o8"
    now = datetime.now(UTC)
    async with database.write() as writer:
        for number in ("s01", "s02"):
            await ledger.post(
                writer,
                journal(
                    "platform_share_split",
                    site_id=site_id,
                    order_id=order,
                    channel="wechat",
                    mchid="m1",
                    out_order_no=order + number,
                    amount_fen=7,
                ),
            )
            await writer.run(
                text("""INSERT INTO splits (out_order_no, site_id, order_id, number, kind, receiver,
                  amount_fen, state) VALUES (:o || :n, :s, :o, substr(:n, 2)::int, 'split', 'r', 7,
                  'asked')"""),
                {"o": order, "n": number, "s": site_id},
            )
        await settlement.mark(writer, f"{order}s01", SplitState.ASKED, name="3008")
        await settlement.mark(writer, f"{order}s01", SplitState.SUCCESS)
    async with database.read() as reader:
        code = f"platform:{site_id}:receivable"
        who = await statements.whose(reader, site_id, Party.ACCOUNT, code)
        found = await statements.lines(reader, who, now - LATE, now + LATE, limit=9)
    assert [line.gateway_number for line in found] == ["3008", f"{order}s02"]


async def test_a_days_figures_are_kept_once_and_never_change(
    database: Database, site_id: str
) -> None:
    await live(database, site_id)
    days = [DAY + timedelta(days=number) for number in range(4)]
    for again in (False, True):
        kept = []
        for day in days:
            async with database.write() as writer:
                kept.append(await statements.keep_day(writer, site_id, day))
        assert kept == ([0] * 4 if again else [2, 2, 0, 2])
    async with database.read() as reader:
        who = of_merchant(site_id)
        newest, middle, oldest = await statements.kept(reader, who, limit=9)
        assert (oldest.day, oldest.opening_fen, oldest.closing_fen) == (str(DAY), 0, 2_500)
        assert (middle.closing_fen, newest.closing_fen) == (newest.opening_fen, 7_500)
        assert len({one.sha256 for one in (newest, middle, oldest)}) == 3
        assert [one.law for one in await laws.check(reader, site_id) if one.broken] == []
    for change in ("UPDATE statements SET lines = 0", "DELETE FROM statements"):
        with pytest.raises(IntegrityError, match="append-only"):
            async with database.write() as writer:
                await writer.run(text(f"{change} WHERE site_id = :s"), {"s": site_id})


async def test_what_the_ledger_no_longer_says_breaks_the_law(
    database: Database, site_id: str
) -> None:
    await live(database, site_id)
    async with database.write() as writer:
        await statements.keep_day(writer, site_id, DAY)
    async with database.write() as writer:
        await post_at(writer, life(site_id, "late")[2], span(DAY)[0] + LATE)
    async with database.read() as reader:
        [broken] = [one for one in await laws.check(reader, site_id) if one.broken]
    assert broken.law.startswith("1 a kept statement")


async def test_who_never_had_an_account_moved_nothing(database: Database, site_id: str) -> None:
    nothing = Statement(opening_fen=0, in_fen=0, out_fen=0, closing_fen=0, lines=0)
    async with database.read() as reader:
        found = await statements.statement(reader, of_merchant(site_id), *span(DAY))
    assert found == nothing
