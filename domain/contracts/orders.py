"""Contracts of the acts that write an order's row."""

from dataclasses import dataclass
from datetime import UTC, datetime

from domain.contracts.act import act
from domain.contracts.life import Missing, Order

NO_DEADLINE = datetime(9999, 1, 1, tzinfo=UTC)
"""Nobody has set one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one order; `key` makes a repeat of the act the same act."""

    order_id: str
    key: str
    actor: str = "system"
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The public state after an act: events up to `seq` are committed."""

    seq: int
    status: str
    payment: str
    kitchen: str
    refund_nos: tuple[str, ...] = ()
    """Refunds that the act stored and whose workflows are to be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptStep(Step):
    """Accepted: the kitchen starts, a delivery task appears."""

    promised_at: datetime
    food_ready_at: datetime
    search_from: datetime
    support_at: datetime
    give_up_at: datetime
    offer_seconds: float
    rider_silence_seconds: float
    unreachable_seconds: float = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderStep(Step):
    """A rider's pick-up or hand-over; won only by the task's rider with its token."""

    rider_id: str
    token: int
    missing: tuple[Missing, ...] = ()
    photo_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStep(Step):
    """End early: close the task unless it was picked up, release, and send the money home."""

    reason: str
    even_after_pickup: bool = False
    """Support and a failed delivery end it even with the food on the road."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDone(Done):
    """`ended` False: a rider won the task row first; nothing has changed."""

    ended: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStep(Step):
    """Give `amount_fen` back while the order goes on."""

    amount_fen: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportStep(Step):
    """Ask support: a ticket of `kind`, due as that is, or by an earlier deadline."""

    kind: str
    due_at: datetime = NO_DEADLINE


@dataclass(frozen=True, slots=True, kw_only=True)
class ReassignStep(Step):
    """Take the task from its rider; to `rider_id` if named."""

    rider_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendStep(Step):
    """Give dispatch more time, as the order's own clock gets it."""

    extend_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineStep(Step):
    """Write a line that only support and operations see."""

    kind: str
    data: dict[str, str]


RESERVE = act("orders.reserve", Order, Done)
MARK_ACCEPTED = act("orders.mark_accepted", AcceptStep, Done)
REMIND_MERCHANT = act("orders.remind_merchant", Step, Done)
MARK_READY = act("orders.mark_ready", Step, Done)
ASK_CANCEL = act("orders.ask_cancel", Step, Done)
DECLINE_CANCEL = act("orders.decline_cancel", Step, Done)
MARK_PICKED_UP = act("orders.mark_picked_up", RiderStep, Done)
MARK_DELIVERED = act("orders.mark_delivered", RiderStep, Done)
REMIND_CUSTOMER = act("orders.remind_customer", Step, Done)
MARK_COLLECTED = act("orders.mark_collected", Step, Done)
MARK_UNCOLLECTED = act("orders.mark_uncollected", Step, Done)
COMPENSATE_LATE = act("orders.compensate_late", Step, Done)
ASK_SUPPORT = act("orders.ask_support", SupportStep, Done)
REFUND_PART = act("orders.refund_part", RefundStep, Done)
REASSIGN = act("orders.reassign", ReassignStep, Done)
EXTEND = act("orders.extend", ExtendStep, Done)
HOLD = act("orders.hold", Step, Done)
RELEASE = act("orders.release", Step, Done)
END = act("orders.end", EndStep, EndDone)
COMPLETE = act("orders.complete", Step, Done)
NOTE = act("orders.note", TimelineStep, Done)
