"""Tickets as their customer and as support see them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import Field

from api.schemas.base import Asked, Code, Free, Id, Told
from domain.tickets import Outcome, State

TicketId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Words = Annotated[Free, Field(min_length=1, max_length=2_000)]
"""Free text, kept encrypted with the rows of whom it concerns."""


Writer = Literal["customer", "support", "finance", "lead"]


class NewTicket(Asked):
    """Something is wrong with an order."""

    reason_code: Code
    text: Words


class NewMessage(Asked):
    """More words on a ticket."""

    text: Words


class AssignTicket(Asked):
    """Who shall look: a supporter's id."""

    assignee: Id


class EscalateTicket(Asked):
    """Why somebody above must look."""

    reason_code: Code


class ResolveTicket(Asked):
    """How it ended."""

    outcome: Outcome


class Ticket(Told):
    """A ticket as its customer sees it."""

    ticket_id: int
    order_id: str
    kind: str
    reason_code: str
    state: State
    outcome: str
    created_at: datetime
    resolved_at: datetime | None


class Message(Told):
    """What somebody wrote; `text` is missing once it was erased."""

    message_id: str
    by: Writer
    at: datetime
    text: str | None


class Evidence(Told):
    """A photo; its bytes have an address of their own."""

    evidence_id: str
    by: Writer
    at: datetime


class TicketView(Ticket):
    """A ticket with what was said and shown, oldest first."""

    messages: list[Message]
    evidence: list[Evidence]


class Tickets(Told):
    """The customer's tickets, newest first."""

    items: list[Ticket]
    next_cursor: str | None


class TicketEntry(Told):
    """One thing that was done to a ticket."""

    kind: str
    data: dict[str, Any]
    actor: str
    at: datetime


class SupportTicketLine(Ticket):
    """A ticket in support's list."""

    customer_id: str
    owner: str
    assignee: str
    due_at: datetime
    data: dict[str, Any]


class SupportTicket(SupportTicketLine):
    """A ticket with all that was said, shown and done."""

    messages: list[Message]
    evidence: list[Evidence]
    entries: list[TicketEntry]


class SupportTickets(Told):
    """Tickets of the site, newest first."""

    items: list[SupportTicketLine]
    next_cursor: str | None


class TicketDone(Told):
    """A ticket after a command."""

    ticket_id: int
    state: State
    owner: str
    assignee: str
    outcome: str


class MessageKept(Told):
    """The message is part of the ticket."""

    message_id: str


class EvidenceKept(Told):
    """The photo is part of the ticket; the same photo again is the same one."""

    evidence_id: str
