"""A ticket's row: opened once per key, then changed by steps, each with its line in the entries."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text

from domain import tickets
from domain.contracts.tickets import TicketNow, TicketStep
from domain.errors import ActionNotAllowed, NotFound
from domain.tickets import EVIDENCE_MAX
from services import events
from services.db import Writer
from services.events import dumps

SYSTEM = "system"


class Entry(StrEnum):
    """What happened to a ticket."""

    REMINDED = "reminded"
    ESCALATED = "escalated"
    ASSIGNED = "assigned"
    MESSAGE = "message"
    EVIDENCE = "evidence"
    RESOLVED = "resolved"


TO_CHANNEL = frozenset({Entry.MESSAGE, Entry.RESOLVED})
ON_TIMELINE = frozenset({Entry.ESCALATED, Entry.RESOLVED})
"""What whoever reads the order's timeline must know of its tickets."""

_OPEN = text("""
INSERT INTO tickets (site_id, order_id, kind, key, customer_id, owner, data, due_at)
VALUES (:site_id, :order_id, :kind, :key, :customer_id, :owner, CAST(:data AS jsonb),
  least(CAST(:due_at AS timestamptz), now() + make_interval(secs => :due_seconds
    / coalesce((SELECT speed FROM sites WHERE site_id = :site_id), 1))))
ON CONFLICT (order_id, key) DO NOTHING RETURNING ticket_id
""")
_BY_KEY = text("SELECT ticket_id FROM tickets WHERE order_id = :order_id AND key = :key")
_LOCK = text("SELECT * FROM tickets WHERE ticket_id = :ticket_id FOR UPDATE")
_SEEN = text("SELECT FROM ticket_entries WHERE ticket_id = :ticket_id AND key = :key")
_ENTRY = text("""
INSERT INTO ticket_entries (site_id, ticket_id, kind, key, data, actor, request_id, channel_heard)
VALUES (:site_id, :ticket_id, :kind, :key, CAST(:data AS jsonb), :actor, :request_id,
  :channel_heard)
""")
_COLUMNS = {
    Entry.ESCALATED: text("UPDATE tickets SET owner = :owner WHERE ticket_id = :ticket_id"),
    Entry.ASSIGNED: text("""
UPDATE tickets SET assignee = :assignee, state = 'assigned' WHERE ticket_id = :ticket_id
"""),
    Entry.RESOLVED: text("""
UPDATE tickets SET state = 'resolved', outcome = :outcome, resolved_at = now()
WHERE ticket_id = :ticket_id
"""),
}
_ADD = text("""
UPDATE ticket_evidence SET added_at = now()
WHERE evidence_id = :evidence_id AND ticket_id = :ticket_id AND added_at IS NULL
  AND (SELECT count(*) FROM ticket_evidence
    WHERE ticket_id = :ticket_id AND added_at IS NOT NULL) < :most
""")


async def open_ticket(
    writer: Writer,
    *,
    site_id: str,
    order_id: str,
    kind: str,
    key: str,
    customer_id: str = "",
    data: Mapping[str, Any] | None = None,
    due_at: datetime | None = None,
) -> int:
    """Open a ticket, due as its kind is, in the caller's transaction; a repeat of `key` is one.

    `customer_id`: who may read and write it, beside support. `due_at`: a deadline that somebody
    else has set; it may be due earlier, never later. Gives its id.
    """
    rule = tickets.rule_of(kind)
    named = {"order_id": order_id, "key": key}
    opened = await writer.scalar(
        _OPEN,
        named
        | {
            "site_id": site_id,
            "kind": kind,
            "customer_id": customer_id,
            "owner": rule.owner.value,
            "data": dumps(data or {}),
            "due_seconds": rule.due_seconds,
            "due_at": due_at,
        },
    )
    return int(opened or await writer.scalar(_BY_KEY, named))


async def change(writer: Writer, step: TicketStep, kind: Entry) -> TicketNow:
    """One step: lock, recognise, write the row and its entry; the ticket after it.

    A ticket that is over stays as it is: people are refused (ActionNotAllowed), the clock is told.
    """
    row = await writer.first(_LOCK, {"ticket_id": step.ticket_id})
    if row is None:
        raise NotFound
    named = {"ticket_id": step.ticket_id, "key": step.key}
    if await writer.first(_SEEN, named) is not None:
        return _now(row)
    if step.actor == SYSTEM and row.state == tickets.State.RESOLVED:
        return _now(row)
    tickets.ensure_open(row.state)
    said = {"actor": step.actor, "request_id": step.request_id}
    hears = kind in TO_CHANNEL and tickets.channel_hears(
        row.kind, step.actor, step.data.get("outcome", "")
    )
    said["channel_heard"] = "waiting" if hears else ""
    await writer.run(
        _ENTRY,
        named | said | {"site_id": row.site_id, "kind": kind.value, "data": dumps(step.data)},
    )
    if kind in ON_TIMELINE and row.order_id:
        await events.note(
            writer,
            order_id=row.order_id,
            site_id=row.site_id,
            kind=f"ticket.{kind}",
            key=f"ticket:{step.ticket_id}:{step.key}",
            data={"ticket_id": step.ticket_id, "ticket_kind": row.kind, **step.data},
            actor=step.actor,
            request_id=step.request_id,
        )
    if kind not in _COLUMNS:
        return _now(row)
    await writer.run(_COLUMNS[kind], {"ticket_id": step.ticket_id, **step.data})
    return _now(await writer.first(_LOCK, {"ticket_id": step.ticket_id}))


async def add_evidence(writer: Writer, step: TicketStep) -> TicketNow:
    """Make a stored photo part of the ticket, within the bound that all of them have together."""
    now = await change(writer, step, Entry.EVIDENCE)
    added = await writer.run(_ADD, {"ticket_id": step.ticket_id, "most": EVIDENCE_MAX, **step.data})
    if not added and not await writer.scalar(
        text("SELECT added_at IS NOT NULL FROM ticket_evidence WHERE evidence_id = :evidence_id"),
        step.data,
    ):
        raise ActionNotAllowed(f"a ticket has at most {EVIDENCE_MAX} photos", most=EVIDENCE_MAX)
    return now


def _now(row: Row[Any] | None) -> TicketNow:
    assert row is not None  # noqa: S101 - locked before
    return TicketNow(
        ticket_id=row.ticket_id,
        state=row.state,
        owner=row.owner,
        assignee=row.assignee,
        outcome=row.outcome,
    )
