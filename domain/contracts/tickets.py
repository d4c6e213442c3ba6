"""Contracts of a ticket's way to its end, and what its workflow is told."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.contracts.act import act
from domain.contracts.life import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketOf:
    """The input of the `Ticket` workflow: the row as it was found; seconds by the site's speed."""

    ticket_id: int
    site_id: str
    order_id: str
    kind: str
    state: str
    owner: str
    assignee: str
    due_at: datetime
    remind_before_seconds: float
    remind_every_seconds: float
    escalate_seconds: float
    look_seconds: float
    """Between looks whether it has settled itself; 0: it can't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignTicket(Command):
    """Somebody takes it, or is given it."""

    assignee: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketMessage(Command):
    """Somebody wrote; the text is a personal row of this id."""

    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketEvidence(Command):
    """Somebody sent a photo; it is stored under this id."""

    evidence_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalateTicket(Command):
    """Somebody above must look."""

    reason_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveTicket(Command):
    """It is over: one of `domain.tickets.Outcome`."""

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketStep:
    """One step of one ticket; `key` makes a repeat the same step, `data` holds ids and codes."""

    ticket_id: int
    key: str
    actor: str = "system"
    request_id: str = ""
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketNow:
    """The ticket as committed; also what callers learn and what the query `status` says."""

    ticket_id: int
    state: str
    owner: str
    assignee: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTicket:
    """Look after what the ticket is about, every so often."""

    ticket_id: int
    look_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketSettled:
    """Nobody needs to look any more; where a person was faster, their outcome stands."""

    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketRef:
    """The input of the `DisputeAnswers` workflow: a ticket of which a channel is to hear."""

    ticket_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """How much the channel was told, and how much of it it will never take."""

    told: int
    refused: int


TELL_CHANNEL = act("tickets.tell_channel", TicketRef, Answered)
REMIND = act("tickets.remind", TicketStep, TicketNow)
ESCALATE = act("tickets.escalate", TicketStep, TicketNow)
ASSIGN = act("tickets.assign", TicketStep, TicketNow)
ADD_MESSAGE = act("tickets.add_message", TicketStep, TicketNow)
ADD_EVIDENCE = act("tickets.add_evidence", TicketStep, TicketNow)
RESOLVE = act("tickets.resolve", TicketStep, TicketNow)
WATCH = act("tickets.watch", WatchTicket, TicketSettled)
