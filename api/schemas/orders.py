"""Orders and their events."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from api.schemas.after_sales import RefundedLine
from api.schemas.base import (
    Asked,
    Code,
    Fen,
    Free,
    Id,
    MaybeId,
    Told,
)
from api.schemas.catalogue import PREP_MINUTES_MAX, Discount, PricedLine, Promise
from domain.contracts.life import PayWishes


class Paying(Asked):
    """How the customer pays."""

    channel: Code
    method: Code
    instalments: Literal[0, 3, 6, 12] = Field(default=0, description="Periods; 0: all at once.")
    fee_by_seller: bool = Field(default=False, description="Who bears the instalments' fee.")
    save: bool = Field(default=False, description="Keep the method for next time: I consent.")
    saved_method: Id | None = Field(default=None, description="Pay at once by this one.")

    def wishes(self) -> PayWishes:
        """All of it but channel and method."""
        return PayWishes(
            instalments=self.instalments,
            fee_by_seller=self.fee_by_seller,
            save=self.save,
            saved_method=self.saved_method or "",
        )


class NewOrder(Asked):
    """An order by quote."""

    quote_id: Id
    address_id: MaybeId = ""
    remark: Free = Field(default="", max_length=200)
    tableware: int = Field(default=0, ge=0, le=20)
    credit_fen: Fen = Field(default=0, description="What platform credit pays of it.")
    payment: Paying | None = Field(
        default=None,
        description="How the rest is paid; left out: as last time, where the shop offers it.",
    )


class Delay(Told):
    """By how much an order will be later than promised, as things are."""

    minutes: int
    hints: list[str]


class RiderAtStore(Told):
    """When a rider will be at the store, as things are."""

    rider_id: str
    at: datetime


class Order(Told):
    """The public state of an order at `seq`."""

    model_config = ConfigDict(extra="allow")

    seq: int
    order_id: str
    number: int
    site_id: str
    shop_id: str
    shop_name: str
    merchant_id: str
    status: str
    payment: str
    kitchen: str
    held: bool
    delivery: str
    after_sale: str
    close_reason: str
    cancel_request: str
    fulfilment: str
    requested_window: dict[str, Any] | None
    tableware: int
    lines: list[PricedLine]
    goods_fen: int
    packing_fen: int
    delivery_fee_fen: int
    tip_fen: int = Field(default=0, description="For the rider who delivers, all of it.")
    discounts: list[Discount] = Field(default_factory=list)
    channel_fee_fen: int = 0
    total_fen: int
    credit_fen: int = Field(default=0, description="What platform credit pays of it.")
    paid_fen: int
    refunded_fen: int
    placed_at: datetime
    pay_by: datetime
    promise: Promise | None = None
    promised_from: datetime | None = None
    promised_at: datetime | None
    food_ready_at: datetime | None = Field(default=None, description="Told where it changed.")
    estimated_at: datetime | None = Field(default=None, description="Told where it changed.")
    delay: Delay | None = Field(default=None, description="A delay that is coming, and why.")
    rider_at_store: RiderAtStore | None = Field(
        default=None, description="While `delivery` is `assigned`; `at_store` says they are there."
    )
    rating: dict[str, Any] | None = Field(default=None, description="Stars and tags, if rated.")
    rider_id: str
    missing: list[RefundedLine] = Field(
        default_factory=list, description="Not handed out by the shop at pick-up: refunded."
    )
    dropoff: Literal["hand", "door", "return"] = "hand"
    unreachable_until: datetime | None = Field(
        default=None,
        description="While `arrived`: say by then how it is to be handed over. While `held` it "
        "stands still; the release moves it.",
    )
    photo_id: str | None = Field(default=None, description="What proves that it was left there.")
    handover_code: str | None = Field(default=None, description="For the customer only.")


class PayableOrder(Order):
    """An order and what to pay it with; neither where nothing is to be paid any more."""

    payment_channel: str | None = None
    payment_method: str | None = None
    payment_parameters: dict[str, Any] | None = None
    code_url: str | None = None


class PendingOrder(Told):
    """The gateway's answer is not known yet: ask again under the same key."""

    order_id: str
    status: str
    payment: Literal["unknown"]
    retry_after_seconds: int


class Orders(Told):
    """A page of orders, newest first."""

    items: list[Order]
    next_cursor: str | None


class Event(Told):
    """A public event; `data` is what of the order changed."""

    order_id: str
    seq: int
    type: str
    at: datetime
    data: dict[str, Any]


class RiderPlace(Told):
    """Where the order's rider is: a cell's centre (`coarse`) until the pick-up, then the place."""

    lat: float
    lng: float
    at: datetime
    coarse: bool = False


class Events(Told):
    """Events after `since`, oldest first; beside them the rider's newest place, if it is shown."""

    items: list[Event]
    poll_again_seconds: int = Field(default=0, description="When the next poll is worth it.")
    ways: list[str] = Field(
        default_factory=list, description="How this server can be followed, best first."
    )
    position: RiderPlace | None = None


class Done(Told):
    """A command's answer: the order's state at `seq`."""

    order_id: str
    status: str
    seq: int
    outcome: str


class RejectOrder(Asked):
    """Why the shop can't take it."""

    reason_code: Code


class ChangePrep(Asked):
    """When the food will be ready, minutes from now (at speed 1)."""

    minutes: float = Field(ge=0, le=PREP_MINUTES_MAX)


class PrepChanged(Told):
    """What the customer has been told."""

    order_id: str
    seq: int
    food_ready_at: datetime
    estimated_at: datetime
    delay: Delay | None


class PickupCode(Asked):
    """The four digits that the customer tells the shop."""

    code: str = Field(pattern=r"^[0-9]{4}$")


class DecideCancel(Asked):
    """The merchant's answer to a wish to cancel."""

    decision: Literal["agree", "decline"]
