"""关账: a site's books closed up to the end of a business day, for good.

A closed period is corrected by a new journal only: the database refuses any other.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from domain.errors import ActionNotAllowed, NotFound
from domain.reconciliation import span
from services.db import Reader, Writer

SHOWN = 20
"""Reasons of each kind why books can't be closed."""

# A transaction lives for seconds: whoever still posts into the period does so into its last day.
_LOCK = text("""
SELECT pg_advisory_xact_lock(hashtextextended('periods/' || :site_id, 0)),
  pg_advisory_xact_lock(ledger_day_lock(:site_id, :last))
""")
_OVER = text("SELECT :until <= clock_timestamp()")
_LAST = text("""
SELECT until, closed_by, closed_at FROM ledger_periods WHERE site_id = :site_id
ORDER BY until DESC LIMIT 1
""")
_UNRECONCILED = text("""
SELECT DISTINCT account_id, day FROM (
  SELECT c.account_id, to_char(m.at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD') AS day
  FROM channel_accounts c CROSS JOIN LATERAL (
    SELECT paid_at AS at FROM payment_attempts
    WHERE account_id = c.account_id AND paid_at >= :since AND paid_at < :until
    UNION ALL
    SELECT ended_at FROM refunds
    WHERE account_id = c.account_id AND ended_at >= :since AND ended_at < :until
  ) m WHERE c.site_id = :site_id
) moved
WHERE NOT EXISTS (SELECT FROM reconciliations r
  WHERE r.account_id = moved.account_id AND r.day = moved.day)
ORDER BY day, account_id LIMIT :limit
""")
_DIFFERENCES = text("""
SELECT id FROM differences WHERE site_id = :site_id AND state = 'open' AND day <= :day
ORDER BY id LIMIT :limit
""")
_CLOSE = text("""
INSERT INTO ledger_periods (site_id, until, closed_by) VALUES (:site_id, :until, :actor)
""")
_TOTALS = text("""
INSERT INTO ledger_period_totals (site_id, until, account, currency, debit_fen, credit_fen,
  balance_fen)
SELECT a.site_id, :until, a.code, a.currency, m.debit_fen, m.credit_fen,
  coalesce(t.balance_fen, 0) + m.debit_fen - m.credit_fen
FROM ledger_accounts a
CROSS JOIN LATERAL ledger_movement(a.site_id, a.code, a.currency, :since, :until) m
LEFT JOIN ledger_period_totals t
  ON (t.site_id, t.account, t.currency, t.until) = (a.site_id, a.code, a.currency, :since)
WHERE a.site_id = :site_id
""")
_PAGE = text("""
SELECT until, closed_by, closed_at FROM ledger_periods
WHERE site_id = :site_id AND until < :before ORDER BY until DESC LIMIT :limit
""")
_SUMS = text("""
SELECT account, currency, debit_fen, credit_fen, balance_fen FROM ledger_period_totals
WHERE site_id = :site_id AND until = :until AND account > :after ORDER BY account LIMIT :limit
""")
_BEGINNING = "-infinity"


async def close(writer: Writer, site_id: str, day: date, *, actor: str) -> Row[Any]:
    """Close the books up to the end of a day; a repeat finds them closed. (until, closed_by, …).

    Raises:
        ActionNotAllowed: the day is not over, a later one is closed, or a day with money is not
            reconciled or a difference open; `data` names at most SHOWN of each.
    """
    begin, until = span(day)
    named = {"site_id": site_id, "until": until, "day": str(day), "limit": SHOWN}
    await writer.run(_LOCK, named | {"last": begin})
    last = await writer.first(_LAST, named)
    if last is not None and last.until == until:
        return last
    if last is not None and last.until > until:
        raise ActionNotAllowed("a later period is closed", until=last.until.isoformat())
    if not await writer.scalar(_OVER, named):
        raise ActionNotAllowed("this day is not over", day=str(day))
    named["since"] = last.until if last is not None else _BEGINNING
    unreconciled = await writer.all(_UNRECONCILED, named)
    differences = await writer.all(_DIFFERENCES, named)
    if unreconciled or differences:
        raise ActionNotAllowed(
            "days are not reconciled, or differences are open",
            unreconciled=[{"account_id": one.account_id, "day": one.day} for one in unreconciled],
            differences=[one.id for one in differences],
        )
    await writer.run(_CLOSE, named | {"actor": actor})
    await writer.run(_TOTALS, named)
    closed = await writer.first(_LAST, named)
    assert closed is not None  # noqa: S101 - written just now
    return closed


async def page(
    reader: Reader, site_id: str, *, before: datetime | None = None, limit: int
) -> Sequence[Row[Any]]:
    """A site's closed periods, newest first."""
    place = {"before": before or "infinity", "limit": limit}
    return await reader.all(_PAGE, {"site_id": site_id} | place)


async def totals(
    reader: Reader, site_id: str, day: date, *, after: str = "", limit: int
) -> Sequence[Row[Any]]:
    """What each account moved in the period that ends with `day`, and its balance then.

    The balance is debits less credits: over all accounts it is zero. Raises NotFound.
    """
    until = span(day)[1]
    before = until + timedelta(microseconds=1)
    found = await page(reader, site_id, before=before, limit=1)
    if not found or found[0].until != until:
        raise NotFound("no period ends there")
    where = {"site_id": site_id, "until": until, "after": after, "limit": limit}
    return await reader.all(_SUMS, where)
