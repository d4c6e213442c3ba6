"""Refund rules as tables: who bears which reason, what of the fee goes back, until when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from domain.channels import Ability
from domain.errors import ActionNotAllowed, Invalid

VERSION = "3"
"""Of these tables, as quotes name it; raised with every change."""
GOES_BACK = ("channel", "credit")
"""Of an order that was paid by both: first the channel's money, then platform credit."""
AUTO_APPROVE_FEN = 3_000
"""Up to here a merchant's silence agrees; above it support decides."""
DAY = timedelta(days=1)
USUAL = Ability(methods=())
"""A channel that says nothing else keeps these bounds on refunds."""


class Bearer(StrEnum):
    """Who bears a refund."""

    MERCHANT = "merchant"
    """商家承担"""
    PLATFORM = "platform"
    """平台承担"""
    RIDER = "rider"
    """骑手责任: paid by the platform, settled with its riders apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a customer wants money back after delivery."""

    code: str
    name: str
    bearer: Bearer
    """Only the merchant's own money is the merchant's to give: all others ask support."""
    delivery_fee: bool
    """Whether the delivery fee may go back with it."""
    window: timedelta = DAY
    """From delivery, at speed 1."""


REASONS = {
    reason.code: reason
    for reason in (
        Reason(code="missing_item", name="商品漏送", bearer=Bearer.MERCHANT, delivery_fee=False),
        Reason(code="wrong_item", name="商品送错", bearer=Bearer.MERCHANT, delivery_fee=True),
        Reason(code="quality", name="质量问题", bearer=Bearer.MERCHANT, delivery_fee=True),
        Reason(
            code="food_safety",
            name="食品安全问题",
            bearer=Bearer.MERCHANT,
            delivery_fee=True,
            window=7 * DAY,
        ),
        Reason(code="agreed", name="与商家协商一致", bearer=Bearer.MERCHANT, delivery_fee=False),
        Reason(code="damaged", name="配送中洒漏破损", bearer=Bearer.RIDER, delivery_fee=True),
        Reason(
            code="not_received",
            name="未收到商品",
            bearer=Bearer.RIDER,
            delivery_fee=True,
            window=7 * DAY,
        ),
        Reason(code="other", name="其他原因", bearer=Bearer.PLATFORM, delivery_fee=False),
    )
}


def reason_of(code: str) -> Reason:
    """The reason of a code; raises Invalid."""
    if code not in REASONS:
        raise Invalid("no such reason", reason_code=code, known=sorted(REASONS))
    return REASONS[code]


def ensure_in_window(
    reason: Reason, *, delivered_at: datetime | None, now: datetime, speed: float
) -> None:
    """Refuse what was not delivered (it is cancelled instead), or was too long ago."""
    if delivered_at is None:
        raise ActionNotAllowed("nothing was delivered yet", reason="not_delivered")
    until = delivered_at + reason.window / speed
    if now > until:
        raise ActionNotAllowed(
            "the time for this reason is over", reason="after_deadline", until=until.isoformat()
        )


def ensure_channel_takes(
    ability: Ability,
    *,
    paid_at: datetime | None,
    refunds: int,
    refunded_at: datetime | None,
    now: datetime,
) -> None:
    """Refuse what the payment's channel refunds no more, or not yet."""
    if paid_at is None:
        raise ActionNotAllowed("nothing was paid", reason="not_paid")
    if now > paid_at + ability.refund_age:
        raise ActionNotAllowed("the payment is too old to be refunded", reason="payment_too_old")
    if refunds >= ability.refund_count:
        raise ActionNotAllowed(
            f"a payment has at most {ability.refund_count} refunds", reason="too_many_refunds"
        )
    if refunded_at is not None and now < refunded_at + ability.refund_gap:
        wait = refunded_at + ability.refund_gap - now
        raise ActionNotAllowed(
            "the last refund was a moment ago",
            reason="too_soon",
            retry_after_seconds=wait.total_seconds(),
        )
