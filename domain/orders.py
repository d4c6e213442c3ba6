"""An order's states and what each allows; who may cancel, and at what price."""

from datetime import datetime
from enum import StrEnum

from domain.errors import ActionNotAllowed


class Status(StrEnum):
    """Where the order is in its life; it only moves down this list (law 7)."""

    AWAITING_PAYMENT = "awaiting_payment"
    """待付款: placed, stock held, the customer may pay."""
    UNDER_REVIEW = "under_review"
    """审核中: risk asks a person."""
    AWAITING_ACCEPTANCE = "awaiting_acceptance"
    """待接单: paid, the shop has not answered."""
    PREPARING = "preparing"
    """备餐中: accepted, the kitchen cooks, a rider is looked for."""
    AWAITING_PICKUP = "awaiting_pickup"
    """待取餐: the food is ready, the rider has not taken it."""
    DELIVERING = "delivering"
    """配送中: the rider has the food."""
    DELIVERED = "delivered"
    """已送达: handed over with proof, by a rider or the shop; after-sale is open."""
    COMPLETED = "completed"
    """已完成: after-sale is over, money settled."""
    CANCELLED = "cancelled"
    """已取消: ended early, `close_reason` says why."""


STATUS_ORDER = tuple(Status)
FINAL = frozenset({Status.COMPLETED, Status.CANCELLED})
COOKING = frozenset({Status.PREPARING, Status.AWAITING_PICKUP})
ACCEPTED = COOKING | {Status.DELIVERING}
OPEN = frozenset(Status) - FINAL


class Payment(StrEnum):
    """Where the customer's money is."""

    UNPAID = "unpaid"
    """未支付"""
    AUTHORIZED = "authorized"
    """已授权: held at the channel, not taken."""
    PAID = "paid"
    """已支付"""
    REFUNDING = "refunding"
    """退款中"""
    PARTIALLY_REFUNDED = "partially_refunded"
    """部分退款"""
    REFUNDED = "refunded"
    """已退款"""
    UNKNOWN = "unknown"
    """结果未知: being queried."""


class Fulfilment(StrEnum):
    """How the customer gets the food."""

    DELIVERY = "delivery"
    """配送: a rider brings it."""
    SELF_PICKUP = "self_pickup"
    """自取: no rider, no task; the shop hands over against the customer's code."""


class Kitchen(StrEnum):
    """What the kitchen does."""

    NONE = "none"
    """未开始"""
    PREPARING = "preparing"
    """备餐中"""
    READY = "ready"
    """已出餐"""


class Delivery(StrEnum):
    """What the delivery task does; it may step back on a reassignment."""

    NONE = "none"
    """无配送"""
    SEARCHING = "searching"
    """寻找骑手"""
    OFFERED = "offered"
    """已派单, the rider has not answered."""
    ASSIGNED = "assigned"
    """已接单"""
    AT_STORE = "at_store"
    """已到店"""
    PICKED_UP = "picked_up"
    """已取餐"""
    ARRIVED = "arrived"
    """已到达 at the customer."""
    DELIVERED = "delivered"
    """已送达"""
    FAILED = "failed"
    """配送失败"""


BEFORE_PICKUP = frozenset(
    {Delivery.SEARCHING, Delivery.OFFERED, Delivery.ASSIGNED, Delivery.AT_STORE}
)
CARRYING = frozenset({Delivery.PICKED_UP, Delivery.ARRIVED})


class CloseReason(StrEnum):
    """Why an order ended early, or without its food."""

    PAYMENT_EXPIRED = "payment_expired"
    """超时未支付"""
    CUSTOMER_CANCELLED = "customer_cancelled"
    """用户取消"""
    MERCHANT_REJECTED = "merchant_rejected"
    """商家拒单"""
    MERCHANT_SILENT = "merchant_silent"
    """商家未接单"""
    NO_RIDER = "no_rider"
    """无骑手接单"""
    RISK_REFUSED = "risk_refused"
    """风控拒绝"""
    DELIVERY_FAILED = "delivery_failed"
    """配送失败"""
    SUPPORT_CANCELLED = "support_cancelled"
    """客服取消"""
    PAYMENT_REFUSED = "payment_refused"
    """支付渠道拒绝"""
    NOT_READY = "not_ready"
    """商家未出餐: to be fetched, and never ready."""
    NOT_COLLECTED = "not_collected"
    """用户未取餐: ready, and nobody came. The order is `completed`: the customer bears it."""
    CUSTOMER_UNREACHABLE = "customer_unreachable"
    """联系不上用户: nobody at the door, the goods went back to the shop."""


MERCHANT_FAULT = frozenset(
    {CloseReason.MERCHANT_REJECTED, CloseReason.MERCHANT_SILENT, CloseReason.NOT_READY}
)
"""Ends whose refund the merchant bears; after acceptance all others leave the merchant paid."""
CUSTOMER_FAULT = frozenset({CloseReason.NOT_COLLECTED, CloseReason.CUSTOMER_UNREACHABLE})
"""Ends that give nothing back by themselves: shop and rider are paid as for a delivery."""


def bearer_of(reason: CloseReason) -> str:
    """Who bears an early end after acceptance: `merchant`, `customer` or `platform`."""
    if reason in MERCHANT_FAULT:
        return "merchant"
    return "customer" if reason in CUSTOMER_FAULT else "platform"


class Action(StrEnum):
    """A command that people give to an order."""

    OPEN_PAYMENT = "open_payment"
    ACCEPT = "accept"
    REJECT = "reject"
    READY = "ready"
    CANCEL = "cancel"
    DECIDE_CANCEL = "decide_cancel"
    PICKUP = "pickup"
    DELIVER = "deliver"
    HAND_OVER = "hand_over"


ALLOWED: dict[Action, frozenset[Status]] = {
    Action.OPEN_PAYMENT: frozenset({Status.AWAITING_PAYMENT}),
    Action.ACCEPT: frozenset({Status.AWAITING_ACCEPTANCE}),
    Action.REJECT: frozenset({Status.AWAITING_ACCEPTANCE}),
    Action.READY: frozenset({Status.PREPARING}),
    Action.CANCEL: frozenset({Status.AWAITING_PAYMENT, Status.AWAITING_ACCEPTANCE}) | COOKING,
    Action.DECIDE_CANCEL: COOKING,
    Action.PICKUP: COOKING,
    Action.DELIVER: frozenset({Status.DELIVERING}),
    Action.HAND_OVER: COOKING,
}


def ensure_allowed(action: Action, status: Status) -> None:
    """Refuse an action that the status does not allow, naming the status."""
    if status not in ALLOWED[action]:
        raise ActionNotAllowed(f"{action} is not allowed while {status}", status=status.value)


def needs_merchant_consent(status: Status) -> bool:
    """A customer's cancel is free before acceptance; while cooking the merchant is asked."""
    return status in COOKING


def waits_seconds(wished_by: datetime, now: datetime, promise_seconds: float) -> float:
    """For how long an order accepted now rests until it must be begun to be there by then."""
    return max(0.0, (wished_by - now).total_seconds() - promise_seconds)


def may_follow(before: Status, after: Status) -> bool:
    """Whether the status may move so (law 7: never backwards, never out of an end)."""
    if before in FINAL:
        return False
    if after is Status.CANCELLED:
        return True
    return STATUS_ORDER.index(after) > STATUS_ORDER.index(before)


class Intervention(StrEnum):
    """What support may do to a living order."""

    CANCEL_REFUND = "cancel_refund"
    """End the order, everything paid goes back."""
    REFUND = "refund"
    """Give `amount_fen` back, the order goes on."""
    REASSIGN = "reassign"
    """Take the task from its rider (to `rider_id` if given)."""
    EXTEND = "extend"
    """Move the running deadline by `extend_seconds`."""
    HOLD = "hold"
    """Nothing ends by a timer until released."""
    RELEASE = "release"
    """Back to the normal path."""
    NOTE = "note"
    """Pin a note (posted before, named by `note_id`) to the timeline."""
    APPROVE = "approve"
    """A second person agrees to the request `request_id` named in args."""


MONEY_INTERVENTIONS = frozenset({Intervention.CANCEL_REFUND, Intervention.REFUND})
