"""Support's hand and timeline, and live tickets."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.base import (
    Asked,
    Code,
    Free,
    Id,
    Told,
)
from domain.settlement import SplitState


class InterventionArgs(Asked):
    """What an action needs; see the glossary."""

    amount_fen: int | None = Field(default=None, ge=1, le=2**53)
    rider_id: Id | None = None
    extend_seconds: int | None = Field(default=None, ge=1, le=86_400)
    note_id: Id | None = None
    request_id: Id | None = None


class Intervention(Asked):
    """Support's envelope."""

    action: Literal[
        "cancel_refund", "refund", "reassign", "extend", "hold", "release", "note", "approve"
    ]
    reason_code: Code
    request_id: Id
    args: InterventionArgs = InterventionArgs()


class NewNote(Asked):
    """Free text about an order; kept encrypted with the customer's rows."""

    text: Free = Field(min_length=1, max_length=2_000)


class Note(Told):
    """A kept note; an intervention names it."""

    note_id: str


class TimelineLine(Told):
    """A public event or an inner line; `note` is the text that a line names."""

    at: datetime
    source: Literal["public", "inner"]
    kind: str
    data: dict[str, Any]
    actor: str
    request_id: str
    note: str | None = None


class Timeline(Told):
    """What happened to an order, oldest first."""

    items: list[TimelineLine]
    next_cursor: str | None


class Attempt(Told):
    """A try to pay at a channel."""

    out_trade_no: str
    purpose: Literal["order", "tip"] = "order"
    channel: str
    method: str
    account_id: str
    amount_fen: int
    state: str
    transaction_id: str
    failure_code: str
    created_at: datetime
    paid_at: datetime | None


class Refund(Told):
    """Money on its way back, or there."""

    out_refund_no: str
    out_trade_no: str
    cause: str
    source: str
    reason: str
    amount_fen: int = Field(description="By the channel.")
    credit_fen: int = Field(default=0, description="Platform credit, given back at once.")
    state: str
    refund_id: str
    created_at: datetime
    ended_at: datetime | None


class Split(Told):
    """A number of a settlement: a share asked for, or the rest unfrozen (`amount_fen` 0)."""

    out_order_no: str
    kind: Literal["split", "unfreeze"]
    receiver: str
    amount_fen: int
    state: SplitState
    reason: str = Field(description="The channel's code, where it was closed.")
    created_at: datetime
    ended_at: datetime | None


class Entry(Told):
    """A leg of a journal; `side` is D (借) or C (贷)."""

    account: str
    side: Literal["D", "C"]
    amount_fen: int


class Journal(Told):
    """What one event moved in the books."""

    key: str
    event: str
    outcome: Literal["applied", "declined"]
    posted_at: datetime
    entries: list[Entry]


class Money(Told):
    """Where an order's money is."""

    attempts: list[Attempt]
    refunds: list[Refund]
    splits: list[Split] = Field(default_factory=list)
    journals: list[Journal]


class LiveTicket(Told):
    """A pass for one live connection, as `?ticket=`."""

    ticket: str
    expires_at: datetime


class TracePoint(Told):
    """The centre of the cell, some 500 meters wide, that the rider was in."""

    at: datetime
    rider_id: str
    lat: float
    lng: float


class Trace(Told):
    """Where an order was carried; empty once that is deleted or the rider was erased."""

    trace: list[TracePoint]
