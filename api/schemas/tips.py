"""Tips after delivery: what is asked, and what the customer sees of them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.base import Asked, Told
from api.schemas.catalogue import Way
from api.schemas.orders import Paying
from domain.prices import TIP_MAX_FEN

TipState = Literal["open", "checking", "paid", "failed", "closed", "returned"]


class NewTip(Asked):
    """How much for the rider, and how it is paid."""

    amount_fen: int = Field(gt=0, le=TIP_MAX_FEN)
    payment: Paying


class Tip(Told):
    """A tip after delivery."""

    tip_id: str
    amount_fen: int
    state: TipState = Field(
        description="checking: not certain yet; returned: it came too late, or wrong."
    )
    created_at: datetime


class Tips(Told):
    """An order's tips, oldest first, and how one may be paid."""

    items: list[Tip]
    ways: list[Way]


class TipDone(Told):
    """A tip and what the customer pays it with, while it can be paid."""

    order_id: str
    tip_id: str
    amount_fen: int
    state: TipState
    payment_channel: str | None = None
    payment_method: str | None = None
    payment_parameters: dict[str, Any] | None = None
    code_url: str | None = None
