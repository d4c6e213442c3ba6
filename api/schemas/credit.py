"""Platform credit as its customer sees it, and as support gives it."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from api.schemas.base import Asked, Code, Id, Told


class CreditGrant(Told):
    """Credit of one source; `order_id`: the order that it makes up for, empty for a gift."""

    grant_id: str
    reason: str
    order_id: str
    amount_fen: int
    left_fen: int
    expires_at: datetime


class Credit(Told):
    """What a customer may spend on orders, those grants first that expire first."""

    available_fen: int
    items: list[CreditGrant]
    next_cursor: str | None


class NewGift(Asked):
    """Credit for a customer, and why."""

    customer_id: Id
    amount_fen: int = Field(ge=1, le=2**53)
    reason_code: Code
    expires_at: AwareDatetime


class Gift(Told):
    """Credit that support gives: `given` at once, or `proposed` until a second person decides."""

    grant_id: str
    customer_id: str
    amount_fen: int
    expires_at: datetime
    state: Literal["given", "proposed", "declined"]
    proposed_by: str
    decided_by: str


class Gifts(Told):
    """A page of gifts, newest first."""

    items: list[Gift]
    next_cursor: str | None
