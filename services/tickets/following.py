"""Which tickets need a workflow, with what input, and whether a ticket has settled itself."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, text

from domain import tickets
from domain.contracts.tickets import TicketOf
from domain.tickets import Settles
from services.db import Reader, Writer

PAGE_ROWS = 200
QUIET_SECONDS = 30

_OPEN = """
SELECT t.*, coalesce(s.speed, 1) AS speed FROM tickets t LEFT JOIN sites s USING (site_id)
WHERE t.state <> 'resolved'
"""
_UNFOLLOWED = text(_OPEN + "AND t.followed_at IS NULL ORDER BY t.ticket_id LIMIT :limit")
_QUIET = text(
    _OPEN
    + """AND t.followed_at < now() - make_interval(secs => :quiet_seconds)
AND t.ticket_id > :after ORDER BY t.ticket_id LIMIT :limit"""
)
_OF = text(_OPEN + "AND t.ticket_id = ANY(:ticket_ids)")
_FOLLOWED = text("""
UPDATE tickets SET followed_at = now() WHERE ticket_id = :ticket_id AND followed_at IS NULL
""")
_COUNTS = text("""
SELECT kind, count(*) AS open, count(*) FILTER (WHERE due_at < now()) AS overdue
FROM tickets WHERE state <> 'resolved' GROUP BY kind
""")
_KIND = text("SELECT kind, state, outcome FROM tickets WHERE ticket_id = :ticket_id")
_ORDER = """
SELECT 'settled_itself' AS outcome FROM tickets t JOIN orders o USING (order_id) {more}
WHERE t.ticket_id = :ticket_id AND {so}
"""
_OVER = "(o.ended_at IS NOT NULL OR o.status = 'delivered')"
_SETTLED = {
    Settles.ORDER_OVER: text(_ORDER.format(more="", so=_OVER)),
    Settles.ORDER_CANCELLED: text(_ORDER.format(more="", so="o.status = 'cancelled'")),
    Settles.HOLD_OVER: text(_ORDER.format(more="", so=f"(NOT o.held OR {_OVER})")),
    Settles.RIDER_FOUND: text(
        _ORDER.format(
            more="LEFT JOIN delivery_tasks d USING (order_id)",
            so=f"(d.state IN ('assigned', 'at_store', 'picked_up', 'arrived') OR {_OVER})",
        )
    ),
    Settles.DISPUTE_DECIDED: text("""
SELECT CASE WHEN data ->> 'state' = 'closed' THEN 'settled_itself' ELSE data ->> 'state' END
  AS outcome
FROM tickets WHERE ticket_id = :ticket_id AND data ->> 'state' IN ('won', 'lost', 'closed')
"""),
    Settles.REFUND_DONE: text("""
SELECT 'settled_itself' AS outcome
FROM tickets t JOIN refunds r ON r.out_refund_no = t.data ->> 'out_refund_no'
WHERE t.ticket_id = :ticket_id AND r.state = 'success'
"""),
    Settles.PAUSE_OVER: text("""
SELECT 'settled_itself' AS outcome FROM tickets t LEFT JOIN riders r
  ON r.site_id = t.site_id AND r.rider_id = t.data ->> 'rider_id'
WHERE t.ticket_id = :ticket_id AND (r.paused_at IS NULL OR r.paused_at > t.created_at)
"""),
    Settles.GIFT_DECIDED: text("""
SELECT 'settled_itself' AS outcome
FROM tickets t JOIN credit_gifts g ON g.grant_id = t.data ->> 'grant_id'
WHERE t.ticket_id = :ticket_id AND g.state <> 'proposed'
"""),
}


async def unfollowed(reader: Reader) -> list[TicketOf]:
    """The oldest open tickets whose workflow nobody has started yet."""
    return [_input(row) for row in await reader.all(_UNFOLLOWED, {"limit": PAGE_ROWS})]


async def quiet(reader: Reader, after: int) -> list[TicketOf]:
    """A page of open tickets whose workflow was started a while ago, beyond this id."""
    page = {"after": after, "limit": PAGE_ROWS, "quiet_seconds": QUIET_SECONDS}
    return [_input(row) for row in await reader.all(_QUIET, page)]


async def of(reader: Reader, ticket_ids: Collection[int]) -> list[TicketOf]:
    """Those of these tickets that are open."""
    return [_input(row) for row in await reader.all(_OF, {"ticket_ids": list(ticket_ids)})]


async def followed(writer: Writer, ticket_id: int) -> None:
    """Its workflow was started."""
    await writer.run(_FOLLOWED, {"ticket_id": ticket_id})


async def counts(reader: Reader) -> dict[str, tuple[int, int]]:
    """Kind → how many tickets are open, and how many of them overdue."""
    return {row.kind: (row.open, row.overdue) for row in await reader.all(_COUNTS)}


async def settled(reader: Reader, ticket_id: int) -> str | None:
    """The outcome once nobody needs to look any more: it is over, or a person was there."""
    named = {"ticket_id": ticket_id}
    row = await reader.first(_KIND, named)
    if row is None or row.state == tickets.State.RESOLVED:
        return row.outcome if row else tickets.Outcome.SETTLED_ITSELF
    asked = _SETTLED.get(tickets.rule_of(row.kind).settles)
    found = None if asked is None else await reader.first(asked, named)
    return None if found is None else str(found.outcome)


def _input(row: Row[Any]) -> TicketOf:
    rule, speed = tickets.rule_of(row.kind), row.speed
    watched = rule.settles is not Settles.NEVER
    return TicketOf(
        ticket_id=row.ticket_id,
        site_id=row.site_id,
        order_id=row.order_id,
        kind=row.kind,
        state=row.state,
        owner=row.owner,
        assignee=row.assignee,
        due_at=row.due_at,
        remind_before_seconds=rule.remind_before_seconds / speed,
        remind_every_seconds=rule.remind_every_seconds / speed,
        escalate_seconds=rule.escalate_seconds / speed,
        look_seconds=rule.look_seconds / speed if watched else 0.0,
    )
