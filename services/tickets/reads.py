"""Tickets as people see them: lists, one ticket, what was done to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain.errors import NotFound
from domain.tickets import ENTRIES_MAX, REMINDERS_MAX
from services.db import Reader

ENTRIES_SHOWN = ENTRIES_MAX + 2 * REMINDERS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket's row; `subject` is under whose key its words and photos lie."""

    ticket_id: int
    site_id: str
    order_id: str
    kind: str
    customer_id: str
    subject: str
    owner: str
    assignee: str
    state: str
    outcome: str
    data: dict[str, Any]
    created_at: datetime
    due_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that was done to a ticket."""

    kind: str
    data: dict[str, Any]
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which tickets of a site; what is empty does not narrow."""

    site_id: str
    customer_id: str = ""
    kind: str = ""
    state: str = ""
    owner: str = ""


_TICKETS = """
SELECT t.ticket_id, t.site_id, t.order_id, t.kind, t.customer_id, t.owner, t.assignee, t.state,
  t.outcome, t.data, t.created_at, t.due_at, t.resolved_at,
  coalesce('customer:' || s.customer_id, 'ticket:' || t.ticket_id) AS subject
FROM tickets t LEFT JOIN order_streams s ON s.order_id = t.order_id
WHERE t.site_id = :site_id
"""
_NARROW = {
    "customer_id": " AND t.customer_id = :customer_id",
    "kind": " AND t.kind = :kind",
    "state": " AND t.state = :state",
    "owner": " AND t.owner = :owner",
}
_BEFORE = " AND t.ticket_id < :before"
_NEWEST_FIRST = " ORDER BY t.ticket_id DESC LIMIT :limit"
_ONE = " AND t.ticket_id = :ticket_id"
_ENTRIES = text("""
SELECT kind, data, actor, at FROM ticket_entries
WHERE ticket_id = :ticket_id ORDER BY id LIMIT :limit
""")


async def page(reader: Reader, which: Filter, *, before: int | None, limit: int) -> list[Ticket]:
    """At most `limit` tickets, newest first, older than the ticket `before`."""
    statement, parameters = _narrowed(which)
    if before is not None:
        statement, parameters["before"] = statement + _BEFORE, before
    rows = await reader.all(text(statement + _NEWEST_FIRST), parameters | {"limit": limit})
    return [_ticket(row) for row in rows]


async def find(reader: Reader, which: Filter, ticket_id: int) -> Ticket:
    """One ticket among those; raises NotFound for any other."""
    statement, parameters = _narrowed(which)
    row = await reader.first(text(statement + _ONE), parameters | {"ticket_id": ticket_id})
    if row is None:
        raise NotFound("there is no such ticket")
    return _ticket(row)


async def entries(reader: Reader, ticket_id: int) -> list[Line]:
    """What was done to a ticket, oldest first."""
    rows = await reader.all(_ENTRIES, {"ticket_id": ticket_id, "limit": ENTRIES_SHOWN})
    return [Line(**row._mapping) for row in rows]  # noqa: SLF001


def _narrowed(which: Filter) -> tuple[str, dict[str, Any]]:
    statement, parameters = _TICKETS, dict[str, Any](site_id=which.site_id)
    for name, clause in _NARROW.items():
        if value := getattr(which, name):
            statement += clause
            parameters[name] = value
    return statement, parameters


def _ticket(row: Row[Any]) -> Ticket:
    return Ticket(**row._mapping)  # noqa: SLF001
