"""Paying an order: its page, the ways left, why it failed, and what is kept for next time."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.base import Told
from api.schemas.catalogue import Way


class PaymentFailure(Told):
    """Why the last try failed."""

    reason: str
    chinese: str
    english: str
    advice: Literal["retry", "other_method", "contact_bank", "wait", "sign_again"]


class PaymentPage(Told):
    """Where an order's payment is; `payment_parameters` are there while it can be paid."""

    order_id: str
    state: Literal["open", "checking", "authorized", "paid", "failed", "expired", "closed"] = Field(
        description="checking: not certain yet, ask again; authorized: held until the shop accepts."
    )
    ask_again_after_seconds: int | None
    amount_fen: int
    pay_by: datetime
    failure: PaymentFailure | None
    payment_channel: str | None
    payment_method: str | None
    payment_parameters: dict[str, Any] | None
    ways: list[Way] = Field(description="What is left to pay by; what just failed comes last.")


class UsedWay(Told):
    """How the customer paid last."""

    channel: str
    method: str


class SavedCard(Told):
    """A card kept at a merchant's channel: a token, and what may be shown of it."""

    saved_method: str
    channel: str
    merchant_id: str
    brand: str
    last4: str
    expires: str


class PaymentMethods(Told):
    """What makes paying one tap."""

    last_used: UsedWay | None
    saved: list[SavedCard]
    complete: bool = Field(description="False: a channel did not answer, there may be more.")
