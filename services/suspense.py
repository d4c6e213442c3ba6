"""Money in suspense: how much per site, how old, and a ticket for what does not go home."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from services.db import Writer

OLD = timedelta(hours=24)
"""In a site of speed 1: refunds of late money are done within hours."""
TICKET_DUE = timedelta(hours=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A site's money in suspense."""

    site_id: str
    all_fen: int
    old_fen: int


_PER_ORDER = """
WITH held AS (
  SELECT e.site_id, j.order_id, e.account, min(j.posted_at)
      < now() - :old / max(coalesce(s.speed, 1)) AS is_old,
    sum(CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END)::bigint AS fen
  FROM ledger_accounts a
  JOIN ledger_entries e ON (e.site_id, e.account, e.currency) = (a.site_id, a.code, a.currency)
  JOIN ledger_journals j ON j.id = e.journal_id
  LEFT JOIN sites s ON s.site_id = e.site_id
  WHERE starts_with(a.code, 'suspense:')
  GROUP BY e.site_id, j.order_id, e.account
)
"""
_SITES = text(
    _PER_ORDER
    + """
SELECT site_id, sum(fen)::bigint AS all_fen,
  coalesce(sum(fen) FILTER (WHERE is_old), 0)::bigint AS old_fen
FROM held GROUP BY site_id
"""
)
_TICKETS = text(
    _PER_ORDER
    + """
INSERT INTO tickets AS t (site_id, order_id, kind, key, owner, data, due_at)
SELECT site_id, order_id, 'suspense_old', 'suspense_old/' || account, 'finance',
  jsonb_build_object('account', account, 'amount_fen', fen), now() + :due
FROM held WHERE is_old AND fen <> 0
ON CONFLICT (order_id, key) DO UPDATE SET state = 'open', outcome = '', resolved_at = NULL,
  followed_at = NULL
WHERE t.outcome = 'settled_itself'
"""
)
_WENT_HOME = text(
    _PER_ORDER
    + """
UPDATE tickets t SET state = 'resolved', outcome = 'settled_itself', resolved_at = now()
WHERE t.kind = 'suspense_old' AND t.state <> 'resolved'
AND NOT EXISTS (SELECT FROM held h WHERE h.order_id = t.order_id AND h.site_id = t.site_id
  AND t.key = 'suspense_old/' || h.account AND h.fen <> 0)
"""
)


async def look(writer: Writer) -> list[Held]:
    """Every site that ever had suspense; a ticket per order with old money, until it is gone."""
    age: dict[str, Any] = {"old": OLD}
    await writer.run(_TICKETS, age | {"due": TICKET_DUE})
    await writer.run(_WENT_HOME, age)
    rows = await writer.all(_SITES, age)
    return [
        Held(site_id=row.site_id, all_fen=int(row.all_fen), old_fen=int(row.old_fen))
        for row in rows
    ]
