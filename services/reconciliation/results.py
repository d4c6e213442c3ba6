"""Days compared: their four results, and every difference with its ticket until it is closed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Row, text

from domain import reconciliation
from domain.errors import ActionNotAllowed, NotFound
from domain.reconciliation import Finding, Verdict
from services.db import Reader, Writer
from services.events import dumps
from services.reconciliation.bills import LOCK, ROWS_MAX, Payee, current_bills, known, names_of
from services.reconciliation.fees import book_fees

GONE = "gone"
"""Why a difference is closed that a later comparison no longer finds; it may come back."""
TICKET_DUE = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One day's four results."""

    account_id: str
    day: str
    matches: int
    only_ours: int
    only_theirs: int
    differs: int


_FINDINGS = """
WITH found AS (SELECT * FROM jsonb_to_recordset(CAST(:findings AS jsonb)) AS f(verdict text,
  flaw text, kind text, number text, order_id text, ours_fen bigint, theirs_fen bigint))
"""
_DIFFERENCES = text(
    _FINDINGS
    + """
INSERT INTO differences AS d (site_id, account_id, channel, day, verdict, flaw, kind, number,
  order_id, ours_fen, theirs_fen, ticket_key)
SELECT :site_id, :account_id, :channel, :day, verdict, flaw, kind, number, order_id, ours_fen,
  theirs_fen,
  concat_ws('/', 'difference', CAST(:account_id AS text), CAST(:day AS text), flaw, kind, number)
FROM found
ON CONFLICT (account_id, day, flaw, kind, number) DO UPDATE SET
  verdict = EXCLUDED.verdict, order_id = EXCLUDED.order_id, ours_fen = EXCLUDED.ours_fen,
  theirs_fen = EXCLUDED.theirs_fen, state = 'open', reason_code = '', closed_by = '',
  closed_at = NULL
WHERE d.state = 'open' OR d.reason_code = :gone
"""
)
_GONE = text(
    _FINDINGS
    + """
UPDATE differences d SET state = 'closed', reason_code = :gone, closed_by = 'system',
  closed_at = now()
WHERE d.account_id = :account_id AND d.day = :day AND d.state = 'open' AND NOT EXISTS (
  SELECT FROM found f WHERE (f.flaw, f.kind, f.number) = (d.flaw, d.kind, d.number))
"""
)
_TICKETS = text("""
INSERT INTO tickets AS t (site_id, order_id, kind, key, owner, data, due_at)
SELECT site_id, '', 'difference', ticket_key, 'finance',
  jsonb_build_object('difference_id', id, 'order_id', order_id, 'flaw', flaw), now() + :due
FROM differences WHERE account_id = :account_id AND day = :day AND state = 'open'
ON CONFLICT (order_id, key) DO UPDATE SET state = 'open', outcome = '', resolved_at = NULL,
  followed_at = NULL
WHERE t.outcome = 'settled_itself'
""")
_TICKETS_DONE = text("""
UPDATE tickets t SET state = 'resolved', resolved_at = now(),
  outcome = CASE d.reason_code WHEN :gone THEN 'settled_itself' ELSE 'solved' END
FROM differences d
WHERE t.order_id = '' AND t.key = d.ticket_key AND t.state <> 'resolved'
  AND d.account_id = :account_id AND d.day = :day AND d.state = 'closed'
""")
_SUMMARY = text("""
INSERT INTO reconciliations (account_id, day, site_id, channel, trade_version, funds_version,
  matches, only_ours, only_theirs, differs)
VALUES (:account_id, :day, :site_id, :channel, :trade_version, :funds_version, :match, :only_ours,
  :only_theirs, :differs)
ON CONFLICT (account_id, day) DO UPDATE SET trade_version = EXCLUDED.trade_version,
  funds_version = EXCLUDED.funds_version, matches = EXCLUDED.matches,
  only_ours = EXCLUDED.only_ours, only_theirs = EXCLUDED.only_theirs,
  differs = EXCLUDED.differs, compared_at = now()
""")
_COMPARED = text("""
SELECT day FROM reconciliations WHERE account_id = :account_id AND day IN (:before, :after)
""")
_ASK = text("""
INSERT INTO tickets (site_id, order_id, kind, key, owner, data, due_at)
VALUES (:site_id, '', :kind, :key, 'finance', CAST(:data AS jsonb), now() + :due)
ON CONFLICT (order_id, key) DO NOTHING
""")
_LIST = text("""
SELECT account_id, day, channel, matches, only_ours, only_theirs, differs, compared_at,
  (SELECT count(*) FROM differences d WHERE d.account_id = r.account_id AND d.day = r.day
    AND d.state = 'open') AS open
FROM reconciliations r WHERE site_id = :site_id AND (:day = '' OR (day, account_id) < (:day, :id))
ORDER BY day DESC, account_id DESC LIMIT :limit
""")
_DIFFERENCE = """
SELECT id, site_id, account_id, channel, day, verdict, flaw, kind, number, order_id, ours_fen,
  theirs_fen, state, reason_code, closed_by, created_at, closed_at FROM differences
"""
_DIFFERENCE_PAGE = text(
    _DIFFERENCE
    + """WHERE site_id = :site_id AND (:state = '' OR state = :state)
AND (:after = 0 OR id < :after) ORDER BY id DESC LIMIT :limit"""
)
_OF_DAY = text(
    _DIFFERENCE
    + "WHERE account_id = :account_id AND day = :day ORDER BY state DESC, flaw, number LIMIT :limit"
)
_ONE = text(_DIFFERENCE + "WHERE id = :id AND site_id = :site_id FOR UPDATE")
_COUNT_OPEN = text("""
SELECT channel, count(*) FILTER (WHERE state = 'open') AS open FROM differences GROUP BY channel
""")
_CLOSE = text("""
UPDATE differences SET state = 'closed', reason_code = :reason_code, closed_by = :actor,
  closed_at = now() WHERE id = :id RETURNING account_id, day
""")


async def count_open(reader: Reader) -> dict[str, int]:
    """Open differences by channel; a channel that has only closed ones counts 0."""
    return {row.channel: int(row.open) for row in await reader.all(_COUNT_OPEN)}


async def compare(writer: Writer, who: Payee, day: date) -> Summary:
    """Compare a day, and again its neighbours that were compared: what was at the edge is settled.

    Raises:
        NotFound: there is no trade bill of this day.
    """
    await writer.run(LOCK, {"account_id": who.account_id})
    summary = await _compare_one(writer, who, day)
    around = {
        "before": str(day - timedelta(days=1)),
        "after": str(day + timedelta(days=1)),
        "account_id": who.account_id,
    }
    for row in await writer.all(_COMPARED, around):
        await _compare_one(writer, who, date.fromisoformat(row.day))
    return summary


async def ask_person(
    writer: Writer, who: Payee, *, kind: str, key: str, data: Mapping[str, str]
) -> None:
    """A ticket of finance about an account; a repeat of `key` is one ticket."""
    body = {"account_id": who.account_id, "channel": who.channel, **data}
    ticket = {"site_id": who.site_id, "kind": kind, "key": key, "due": TICKET_DUE}
    await writer.run(_ASK, ticket | {"data": dumps(body)})


async def reconciled(
    reader: Reader, site_id: str, *, after: tuple[str, str] = ("", ""), limit: int
) -> Sequence[Row[Any]]:
    """Compared days of a site, newest first, beyond (day, account)."""
    place = {"day": after[0], "id": after[1]}
    return await reader.all(_LIST, {"site_id": site_id, "limit": limit, **place})


async def differences(
    reader: Reader, site_id: str, *, state: str = "", after: int = 0, limit: int
) -> Sequence[Row[Any]]:
    """Differences of a site, newest first, below an id; `state` empty: all."""
    where = {"site_id": site_id, "state": state, "after": after, "limit": limit}
    return await reader.all(_DIFFERENCE_PAGE, where)


async def of_day(reader: Reader, account_id: str, day: date) -> Sequence[Row[Any]]:
    """An account's differences of one day, the open ones first."""
    return await reader.all(_OF_DAY, {"account_id": account_id, "day": str(day), "limit": ROWS_MAX})


async def close(
    writer: Writer, site_id: str, difference_id: int, *, reason_code: str, actor: str
) -> Row[Any]:
    """A person ends a difference, and with it its ticket; it stays closed. Repeatable.

    Raises:
        NotFound: the site has no such difference.
        ActionNotAllowed: it was closed for another reason.
    """
    which = {"id": difference_id, "site_id": site_id}
    row = await writer.first(_ONE, which)
    if row is None:
        raise NotFound
    if row.state == "open" or row.reason_code == GONE:
        done = await writer.first(_CLOSE, which | {"reason_code": reason_code, "actor": actor})
        if done is not None:
            day = {"account_id": done.account_id, "day": done.day}
            await writer.run(_TICKETS_DONE, day | {"gone": GONE})
    elif row.reason_code != reason_code:
        raise ActionNotAllowed("this difference was closed for another reason")
    closed = await writer.first(_ONE, which)
    if closed is None:
        raise NotFound
    return closed


async def _compare_one(writer: Writer, who: Payee, day: date) -> Summary:
    current = await current_bills(writer, who, day)
    if "trade" not in current:
        raise NotFound("there is no bill of this day")
    all_known = await known(writer, who, day, current)
    findings = reconciliation.compare(all_known)
    await book_fees(writer, who, reconciliation.fees(all_known, findings))
    flawed = [_finding(one) for one in findings if one.flaw is not None]
    where = names_of(who, day)
    named = where | {"findings": dumps(flawed), "gone": GONE}
    await writer.run(_DIFFERENCES, named)
    await writer.run(_GONE, named)
    await writer.run(_TICKETS, where | {"due": TICKET_DUE})
    await writer.run(_TICKETS_DONE, where | {"gone": GONE})
    counts = {verdict.value: sum(one.verdict is verdict for one in findings) for verdict in Verdict}
    funds = current.get("funds")
    versions = {
        "trade_version": current["trade"].version,
        "funds_version": funds.version if funds is not None else None,
    }
    await writer.run(_SUMMARY, where | versions | counts)
    counts["matches"] = counts.pop(Verdict.MATCH.value)
    return Summary(account_id=who.account_id, day=str(day), **counts)


def _finding(one: Finding) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}
