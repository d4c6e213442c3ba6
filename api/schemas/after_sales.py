"""After-sale: what is asked back, how it is answered, and the public rules."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas.base import Asked, Code, Fen, Id, Told


class RefundLine(Asked):
    """Units of a line of the order; lines count from 1, as the order shows them."""

    line_no: int = Field(ge=1, le=50)
    quantity: int = Field(ge=1, le=99)


class NewRefund(Asked):
    """What the customer wants back, and why; amounts follow from what was paid."""

    lines: list[RefundLine] = Field(default_factory=list, max_length=50)
    delivery_fee: bool = False
    reason_code: Code
    evidence: list[Id] = Field(
        default_factory=list,
        max_length=9,
        description="Photos that the caller has shown on tickets of this order.",
    )


class RejectAfterSale(Asked):
    """Why the merchant refuses."""

    reason_code: Code


class DecideAfterSale(Asked):
    """Support's decision."""

    decision: Literal["approve", "reject"]
    reason_code: Code


class AfterSaleDone(Told):
    """An after-sale after a tap; the order's events up to `seq` tell it."""

    after_sale_id: str
    order_id: str
    state: str
    amount_fen: int
    seq: int
    outcome: Literal["done", "approval_requested"]


class RefundedLine(Told):
    """Units of a line of the order."""

    line_no: int
    quantity: int


class AfterSale(Told):
    """A wish for money back and its answer."""

    after_sale_id: str
    order_id: str
    state: str
    reason_code: str
    reason: str
    bearer: str
    lines: list[RefundedLine]
    delivery_fee: bool
    evidence: list[str]
    amount_fen: int
    answer_code: str
    out_refund_no: str
    asked_at: datetime
    changed_at: datetime


class AfterSales(Told):
    """All after-sales of an order, oldest first."""

    items: list[AfterSale]


class AfterSalesPage(Told):
    """After-sales of many orders, newest first."""

    items: list[AfterSale]
    next_cursor: str | None


class RefundReason(Told):
    """A reason: who bears it, what goes back, until when."""

    code: str
    name: str
    bearer: Literal["merchant", "platform", "rider"]
    answered_by: Literal["merchant", "support"]
    delivery_fee: bool
    window_seconds: int = Field(description="From delivery, at speed 1.")


class ClosedOrder(Told):
    """An order that ended early: what part of the money goes back, and who bears the end."""

    close_reason: str
    bearer: Literal["merchant", "platform", "customer"]
    refund_percent: int


class RefundPolicy(Told):
    """Refund rules."""

    version: str
    reasons: list[RefundReason]
    ended_early: list[ClosedOrder]
    refund_order: list[Literal["channel", "credit"]] = Field(
        description="What goes back first of an order that was paid by both."
    )
    auto_approve_fen: Fen = Field(description="A merchant's silence agrees up to this.")
    merchant_seconds: float
    escalate_seconds: float
    support_seconds: float
    two_person_fen: Fen = Field(description="Above it two of support must agree.")
    channel_age_seconds: float = Field(description="A payment older than this is not refunded.")
    channel_refunds: int = Field(description="Refunds of one payment.")
    channel_gap_seconds: float = Field(description="Between two refunds of one payment.")


class FeePolicy(Told):
    """A site's delivery fee: a base up to a distance, then a step per started kilometre."""

    version: str
    base_fen: int
    base_meters: int
    per_km_fen: int


class CompensationTier(Told):
    """From so many seconds late: a share of a base, capped."""

    late_seconds: int
    base: Literal["delivery_fee", "goods"]
    percent: int
    cap_fen: int


class CompensationPolicy(Told):
    """What is given for lateness without being asked; above the caps a person decides."""

    version: str
    tiers: list[CompensationTier]
    customer_day_fen: int
    site_day_fen: int
