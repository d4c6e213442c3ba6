"""Contracts of a refund's way home."""

from dataclasses import dataclass
from enum import StrEnum

from domain.contracts.act import act


class RefundState(StrEnum):
    """Where a refund is."""

    CREATED = "created"
    """Its number is stored; the gateway may not have heard of it."""
    PROCESSING = "processing"
    """退款处理中 at the gateway."""
    SUCCESS = "success"
    """退款成功"""
    CLOSED = "closed"
    """退款关闭: a person must look."""
    ABNORMAL = "abnormal"
    """退款异常: the customer's card can't take it; a person must look."""
    RETRYING = "retrying"
    """A person has sent an abnormal one on its way again; the gateway may not have heard of it."""


REFUND_ENDS = frozenset({RefundState.SUCCESS, RefundState.CLOSED, RefundState.ABNORMAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """The input of the `Refund` workflow."""

    out_refund_no: str
    order_id: str
    poll_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOf:
    """A stored refund, by our number at the gateway."""

    out_refund_no: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowRefund:
    """Ask after a refund; `waits_seconds` are the pauses between asks."""

    out_refund_no: str
    waits_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSaid:
    """What the gateway says of the refund, one of `RefundState`."""

    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRefund:
    """Book the refund's end, or open a ticket where a person must look."""

    out_refund_no: str
    state: str


REQUEST = act("refunds.request", RefundOf, RefundSaid)
FOLLOW = act("refunds.follow", FollowRefund, RefundSaid)
FINISH = act("refunds.finish", EndRefund, RefundSaid)
