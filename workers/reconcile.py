"""`python -m workers.reconcile`: one channel's day now, by the acts of every morning's workflow."""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Row
from temporalio.exceptions import ApplicationError

from activities.reconciliation import ReconciliationActs
from domain.channels import BillKind
from domain.contracts.reconciliation import BillOf
from domain.errors import DomainError
from domain.money import yuan
from domain.reconciliation import Verdict, day_of
from services import reconciliation
from services.channel import AccountUnreadable
from services.db import Database
from services.gateways import Gateways
from services.reconciliation import Payee, Summary
from services.settings import settings

HERE = frozenset({"imported", "known"})
UNREADABLE = (DomainError, ApplicationError, AccountUnreadable)
"""What keeps one account from being asked, and not the others."""


async def reconcile(
    acts: ReconciliationActs, *, channel: str, day: date, account_id: str = "", site_id: str = ""
) -> tuple[int, int]:
    """Each account's bills imported and compared, and printed; how many open, how many failed."""
    opened = failed = asked = 0
    counts: Counter[str] = Counter()
    async for who in _accounts(acts.database, channel, account_id, site_id):
        asked += 1
        try:
            said = await _compare(acts, who, day)
        except UNREADABLE as error:
            # An act's door has made its facts into failures of that type.
            named = getattr(error, "problem", None) or getattr(error, "type", None)
            said = named or "the account's keys can't be read"
        if isinstance(said, str):
            failed += 1
            _say(f"{who.account_id}  {day}  not compared: {said}")
            continue
        if said is None:
            _say(f"{who.account_id}  {day}  no bill, and no business that we know of")
            continue
        summary, differences = said
        counts += Counter(
            match=summary.matches,
            only_ours=summary.only_ours,
            only_theirs=summary.only_theirs,
            differs=summary.differs,
        )
        opened += sum(row.state == "open" for row in differences)
        for row in differences:
            _say(_line(row))
    if not asked:
        _say(f"no account of the channel {channel}")
        return 0, 1
    _say(f"{channel}  {day}  " + "  ".join(f"{one.value} {counts[one.value]}" for one in Verdict))
    return opened, failed


async def _accounts(
    database: Database, channel: str, account_id: str, site_id: str
) -> AsyncIterator[Payee]:
    """The channel's accounts: one, a site's, or all."""
    after = ""
    while True:
        async with database.read() as reader:
            page = await reconciliation.payees(reader, channel=channel, after=after)
        for who in page:
            if account_id in {"", who.account_id} and site_id in {"", who.site_id}:
                yield who
        if not page:
            return
        after = page[-1].account_id


async def _compare(
    acts: ReconciliationActs, who: Payee, day: date
) -> tuple[Summary, Sequence[Row[Any]]] | str | None:
    """What was found, or why nothing was compared; None where there is nothing to compare.

    A missing funds bill is only said.
    """
    for kind in BillKind:
        wanted = BillOf(account_id=who.account_id, day=str(day), kind=kind)
        state = (await acts.import_bill(wanted)).state
        if state == "not_ready" and kind is BillKind.TRADE:
            async with acts.database.read() as reader:
                if await reconciliation.is_quiet(reader, who, day):
                    return None
        if state not in HERE and kind is BillKind.TRADE:
            return f"trade bill {state}"
        if state not in HERE:
            _say(f"{who.account_id}  {day}  without funds: {kind} bill {state}")
    async with acts.database.write() as writer:
        summary = await reconciliation.compare(writer, who, day)
        return summary, await reconciliation.of_day(writer, who.account_id, day)


def _line(row: Row[Any]) -> str:
    ours, theirs = ("-" if fen is None else yuan(fen) for fen in (row.ours_fen, row.theirs_fen))
    state = row.state if row.state == "open" else f"closed ({row.reason_code})"
    words = (row.account_id, row.day, row.verdict, row.flaw, row.kind, row.number)
    return "  ".join((*words, f"ours {ours}", f"theirs {theirs}", state))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


async def _run(options: argparse.Namespace) -> int:
    known = settings()
    database, gateways = Database(known.database_url, pool_size=1), Gateways(known)
    try:
        opened, failed = await reconcile(
            ReconciliationActs(database, gateways),
            channel=options.channel,
            day=options.date,
            account_id=options.account,
            site_id=options.site,
        )
    finally:
        await gateways.close()
        await database.close()
    return 1 if opened or failed else 0


def main() -> int:
    """Print the four results and each difference; 1 if one is open, or a day was not compared."""
    yesterday = day_of(datetime.now(UTC)) - timedelta(days=1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channel", required=True)
    parser.add_argument("--date", type=date.fromisoformat, default=yesterday)
    parser.add_argument("--account", default="")
    parser.add_argument("--site", default="")
    return asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
