"""Shops, menus, addresses and quotes."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field

from api.schemas.base import (
    Asked,
    Code,
    Free,
    Id,
    Lat,
    Lng,
    MaybeId,
    Told,
)
from api.schemas.ratings import RatingSums
from domain.prices import TIP_MAX_FEN

PREP_MINUTES_MAX = 180


class Shop(Told):
    """A shop; `open`: it takes orders now."""

    shop_id: str
    name: str
    merchant_id: str
    open: bool
    paused: bool
    auto_accept: bool
    prep_minutes: int
    lat: float
    lng: float
    delivery_area: list[list[float]]
    self_pickup: bool = False
    paused_until: datetime | None = Field(default=None, description="It rests, and comes back.")
    rating: RatingSums | None = None


class Shops(Told):
    """A page of shops."""

    items: list[Shop]
    next_cursor: str | None


class Choice(Told):
    """One choice of an option."""

    choice_id: str
    name: str
    add_fen: int


class Option(Told):
    """A group of choices."""

    option_id: str
    name: str
    required: bool
    choices: list[Choice]


class Item(Told):
    """An item; `stock` null: no limit."""

    item_id: str
    name: str
    price_fen: int
    packing_fen: int
    available: bool
    stock: int | None
    options: list[Option]
    load: int = Field(default=0, description="Room it takes in a rider's box.")
    needs: list[str] = Field(default=[], description="What its rider must have.")


class Menu(Told):
    """What a shop offers."""

    shop_id: str
    items: list[Item]


class SwitchShop(Asked):
    """What is left out stays as it is."""

    open: bool | None = None
    paused: bool | None = None
    auto_accept: bool | None = None
    self_pickup: bool | None = None
    prep_minutes: int | None = Field(default=None, ge=1, le=PREP_MINUTES_MAX)
    paused_until: AwareDatetime | None = Field(
        default=None, description="No new orders until then; null ends a pause."
    )


class SetAvailability(Asked):
    """Whether an item is sold; `stock` left out: unchanged; null: no limit."""

    shop_id: Id
    available: bool
    stock: int | None = Field(default=None, ge=0, le=1_000_000)


class SetCarriage(Asked):
    """What an item takes of a rider's box, and what its rider must have; whole."""

    shop_id: Id
    load: int = Field(ge=0, le=100)
    needs: list[Code] = Field(max_length=10)


class NewAddress(Asked):
    """Where somebody lives; kept encrypted."""

    name: Free = Field(min_length=1, max_length=50)
    phone: str = Field(pattern=r"^\+?[0-9 -]{5,20}$")
    text: Free = Field(min_length=1, max_length=200)
    lat: Lat
    lng: Lng


class Address(Told):
    """A customer's own address."""

    address_id: str
    name: str
    phone: str
    text: str
    lat: float
    lng: float


class Addresses(Told):
    """All addresses of a customer."""

    items: list[Address]
    next_cursor: str | None


class WishedLine(Asked):
    """An item by id, how many, and the choices by option."""

    item_id: Id
    quantity: int = Field(ge=1, le=99)
    choices: dict[Id, Id] = Field(default_factory=dict, max_length=20)


class Window(Asked):
    """When the customer would like it."""

    from_: AwareDatetime = Field(alias="from")
    to: AwareDatetime


class NewQuote(Asked):
    """A basket to be priced."""

    shop_id: Id
    address_id: MaybeId = Field(default="", description="Empty where the customer fetches it.")
    lines: list[WishedLine] = Field(min_length=1, max_length=50)
    fulfilment: Literal["delivery", "self_pickup"] = "delivery"
    requested_window: Window | None = Field(
        default=None, description="Within a day. The order is late against its end."
    )
    tip_fen: int = Field(default=0, ge=0, le=TIP_MAX_FEN, description="For the rider.")


class PricedLine(Told):
    """A line with its price."""

    item_id: str
    name: str
    quantity: int
    choices: dict[str, str]
    unit_fen: int
    packing_fen: int
    total_fen: int
    discount_fen: int = 0
    paid_fen: int | None = Field(
        default=None, description="Goods and packing less the discount; null before they were told."
    )


class Discount(Told):
    """An amount off the whole order, and who bears it."""

    code: str
    name: str
    bearer: Literal["platform", "merchant"]
    amount_fen: int


class PolicyName(Told):
    """Rules that hold for an order, and where to read them."""

    version: str
    path: str


class Way(Told):
    """A channel the customer may pay by."""

    channel: str
    methods: list[str]
    instalments: list[int]
    can_be_saved: bool


class Promise(Told):
    """How long an order takes, from the shop's acceptance to the door: a window, and why."""

    low_minutes: int
    likely_minutes: int
    high_minutes: int
    hints: list[str] = Field(description="What the moment adds: `rain: +4 min`.")


class Quote(Told):
    """A price that holds until `expires_at`, if nothing changes."""

    quote_id: str
    expires_at: datetime
    shop_id: str
    address_id: str
    lines: list[PricedLine]
    goods_fen: int
    packing_fen: int
    delivery_fee_fen: int
    tip_fen: int = 0
    discounts: list[Discount]
    channel_fee_fen: int = Field(description="The payment channel's fee, if the customer bears it.")
    total_fen: int
    credit_available_fen: int = Field(description="Platform credit that an order may name.")
    refund_order: list[Literal["channel", "credit"]] = Field(
        description="What goes back first of an order that is paid by both."
    )
    distance_meters: int
    promise_minutes: int = Field(description="From acceptance; the end of the promised window.")
    promise: Promise | None = None
    payment_methods: list[str] = Field(description="Of WeChat Pay; see `payments` for all.")
    payments: list[Way]
    policies: dict[str, PolicyName] = Field(description="By `refunds`, `fees`, `compensation`.")
