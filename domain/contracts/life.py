"""What goes into an order's workflow and comes out: its input, commands, facts and answers."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from domain.orders import Fulfilment

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""Long ago: an order that nobody wishes for later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Every silence that has a timer (law 4), in seconds, already divided by the site's speed."""

    payment_seconds: float = 900
    """Customer does not pay."""
    notice_seconds: float = 30
    """No notice came: start asking the gateway."""
    poll_seconds: tuple[float, ...] = (5, 30, 60, 180, 300, 600)
    """Waits between questions to the gateway (the advised schedule)."""
    merchant_remind_seconds: float = 180
    merchant_seconds: float = 300
    merchant_agree_seconds: float = 180
    """The merchant is asked to agree to a cancel."""
    promise_seconds: float = 2_400
    """From acceptance to the promised delivery."""
    kitchen_seconds: float = 900
    """From acceptance to food ready, as estimated."""
    rider_ahead_seconds: float = 600
    """Riders are looked for this long before the food is ready."""
    offer_seconds: float = 30
    search_support_seconds: float = 1_200
    search_seconds: float = 1_800
    rider_silence_seconds: float = 180
    unreachable_seconds: float = 600
    """Nobody opens the door nor answers: the customer's time to say what they want."""
    late_seconds: float = 600
    late_support_seconds: float = 1_800
    late_fail_seconds: float = 10_800
    after_sale_seconds: float = 86_400
    collect_remind_seconds: tuple[float, ...] = (900, 3_600)
    """The food is ready to be fetched: its customer is reminded so long after."""
    collect_seconds: float = 7_200
    """Nobody came."""
    hold_remind_seconds: float = 6_300
    hold_seconds: float = 7_200
    refund_poll_seconds: tuple[float, ...] = (60, 300, 600, 1_200, 1_800)

    def scaled(self, speed: float) -> "Timers":
        """The same timers on a site that lives `speed` times faster."""
        return Timers(**{name: _divided(getattr(self, name), speed) for name in self.__slots__})


def _divided(value: float | tuple[float, ...], speed: float) -> Any:  # noqa: ANN401
    return tuple(one / speed for one in value) if isinstance(value, tuple) else value / speed


@dataclass(frozen=True, slots=True, kw_only=True)
class PayWishes:
    """What a customer wishes beside channel and method, as `domain.channels.Create` names it."""

    instalments: int = 0
    fee_by_seller: bool = False
    save: bool = False
    saved_method: str = ""
    device_ref: str = ""
    """Names the personal row that holds the address of the payer's device; never the address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The input of `TakeawayOrder`: ids, amounts and times only."""

    order_id: str
    site_id: str
    customer_id: str
    merchant_id: str
    shop_id: str
    quote_id: str
    channel: str
    method: str
    wishes: PayWishes = PayWishes()
    total_fen: int
    credit_fen: int = 0
    """What of the total platform credit pays; all of it: no channel is asked."""
    auto_accept: bool
    fulfilment: str = Fulfilment.DELIVERY
    tableware: int
    pay_by: datetime
    wished_by: datetime = AT_ONCE
    """The end of the window that the customer wishes for."""
    timers: Timers
    approval_limit_fen: int = 20_000
    """Support's refunds above it need a second person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverOrder:
    """The input of `Recover`; `poll_seconds` are the pauses between asks after its refunds."""

    order_id: str
    poll_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A tap by a person: who, and which request asked."""

    actor: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPayment(Command):
    """Pay again, by another method, or through another channel."""

    channel: str
    method: str
    wishes: PayWishes = PayWishes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject(Command):
    """The shop can't take the order."""

    reason_code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideCancel(Command):
    """The merchant's answer to a customer's wish to cancel: `agree` or `decline`."""

    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Units of an order's line that are not there; lines count from 1."""

    line_no: int
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderCommand(Command):
    """A rider's tap on a task, under the fencing token of the claim."""

    rider_id: str
    token: int
    missing: tuple[Missing, ...] = ()
    """At pick-up: what the shop did not hand out."""
    photo_id: str = ""
    """At the door: what proves the hand-over instead of the customer's code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervene:
    """Support's hand: one envelope for the update, the signal and the Temporal UI."""

    action: str
    order: str
    reason_code: str
    request_id: str
    args: dict[str, Any] = field(default_factory=dict)
    actor: str = "support:temporal"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSettled:
    """A fact: the gateway said something about a payment, stored as inbox row `notice_id`."""

    notice_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoRider:
    """A fact: dispatch has given up."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundEnded:
    """A fact: a refund of this order ended."""

    out_refund_no: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command's caller learns: the order's state at `seq`."""

    order_id: str
    status: str
    seq: int
    outcome: str = "done"
    """`done`; for a payment `opened`, `unknown`; for a cancel `asked`; else a word of the act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The query `status`: what the workflow believes; delivery is the task row's."""

    order_id: str
    status: str
    payment: str
    kitchen: str
    held: bool
    seq: int
    close_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What an order's workflow returns."""

    order_id: str
    status: str
    """A final status, or `not_placed`."""
    close_reason: str = ""
