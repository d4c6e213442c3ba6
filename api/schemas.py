"""What comes in, checked and bounded, and what goes out, as OpenAPI tells it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

PAGE_ITEMS = 100
Id = Annotated[str, StringConstraints(pattern=r"^[\w.:@~-]{1,64}$")]
"""Letters of any script, digits and `_ . : @ ~ -`."""
Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
"""A word of a list, never free text."""
Lat = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Lng = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Token = Annotated[int, Field(ge=0, le=2**31 - 1)]
Fen = Annotated[int, Field(ge=0, le=2**53)]
Outcome = Literal["done", "asked", "approval_requested"]


class Asked(BaseModel):
    """A body; a field that nobody knows is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """An answer."""


class Problem(Told):
    """RFC 9457; more members by type."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


# Shops and menus ------------------------------------------------------------------------


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


class Menu(Told):
    """What a shop offers."""

    shop_id: str
    items: list[Item]


class SwitchShop(Asked):
    """What is left out stays as it is."""

    open: bool | None = None
    paused: bool | None = None
    auto_accept: bool | None = None


class SetAvailability(Asked):
    """Whether an item is sold; `stock` left out: unchanged; null: no limit."""

    shop_id: Id
    available: bool
    stock: int | None = Field(default=None, ge=0, le=1_000_000)


# Addresses and quotes ---------------------------------------------------------------------


class NewAddress(Asked):
    """Where somebody lives; kept encrypted."""

    name: str = Field(min_length=1, max_length=50)
    phone: str = Field(pattern=r"^\+?[0-9 -]{5,20}$")
    text: str = Field(min_length=1, max_length=200)
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
    address_id: Id
    lines: list[WishedLine] = Field(min_length=1, max_length=50)
    fulfilment: Literal["delivery", "self_pickup"] = "delivery"
    requested_window: Window | None = None


class PricedLine(Told):
    """A line with its price."""

    item_id: str
    name: str
    quantity: int
    choices: dict[str, str]
    unit_fen: int
    packing_fen: int
    total_fen: int


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
    total_fen: int
    distance_meters: int
    promise_minutes: int
    payment_methods: list[str]


# Orders -----------------------------------------------------------------------------------


class Paying(Asked):
    """How the customer pays."""

    channel: Literal["wechat"]
    method: Literal["jsapi", "native"]


class NewOrder(Asked):
    """An order by quote."""

    quote_id: Id
    address_id: Id
    remark: str = Field(default="", max_length=200)
    tableware: int = Field(default=0, ge=0, le=20)
    payment: Paying


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
    total_fen: int
    paid_fen: int
    refunded_fen: int
    placed_at: datetime
    pay_by: datetime
    promised_at: datetime | None
    rider_id: str
    handover_code: str | None = Field(default=None, description="For the customer only.")


class PayableOrder(Order):
    """An order and what to pay it with; neither where nothing is to be paid any more."""

    payment_parameters: dict[str, str] | None = None
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


class Events(Told):
    """Events after `since`, oldest first."""

    items: list[Event]


class Done(Told):
    """A command's answer: the order's state at `seq`."""

    order_id: str
    status: str
    seq: int
    outcome: str


class RejectOrder(Asked):
    """Why the shop can't take it."""

    reason_code: Code


class DecideCancel(Asked):
    """The merchant's answer to a wish to cancel."""

    decision: Literal["agree", "decline"]


# Riders -------------------------------------------------------------------------------------


class Shift(Asked):
    """Begin or end a shift, where the rider is."""

    on: bool
    lat: Lat | None = None
    lng: Lng | None = None


class Position(Asked):
    """Where a rider was."""

    lat: Lat
    lng: Lng
    at: AwareDatetime


class Positions(Asked):
    """A batch of positions; the newest is the one that counts."""

    positions: list[Position] = Field(min_length=1, max_length=100)


class TaskToken(Asked):
    """The fencing token of an offer or claim."""

    token: Token


class Proof(TaskToken):
    """The four digits that the customer tells the rider."""

    code: str = Field(pattern=r"^[0-9]{4}$")


class Failure(TaskToken):
    """Why the rider can't go on."""

    reason_code: Code


class ShopPlace(Told):
    """Where the food is."""

    shop_id: str
    name: str
    lat: float
    lng: float


class DropOff(Told):
    """Where the food goes; null after the customer's erasure."""

    name: str
    phone: str
    text: str
    lat: float
    lng: float


class Offer(Told):
    """A task that may be claimed until `expires_at`."""

    task_id: str
    order_id: str
    token: int
    expires_at: datetime
    shop: ShopPlace
    food_ready_at: datetime
    promised_at: datetime
    delivery_fee_fen: int


class Task(Told):
    """A task the rider has."""

    task_id: str
    order_id: str
    token: int
    state: str
    shop: ShopPlace
    food_ready_at: datetime
    promised_at: datetime
    dropoff: DropOff | None
    remark: str
    ready: bool


class Work(Told):
    """A rider's screen."""

    offers: list[Offer]
    tasks: list[Task]


class TaskDone(Told):
    """A task after a rider's tap."""

    task_id: str
    order_id: str
    state: str
    token: int
    seq: int
    dropoff: DropOff | None = None


class ShiftDone(Told):
    """The shift as it is now."""

    on: bool


class PositionsDone(Told):
    """How many positions were taken."""

    accepted: int


# Support ------------------------------------------------------------------------------------


class InterventionArgs(Asked):
    """What an action needs; see the glossary."""

    amount_fen: int | None = Field(default=None, ge=1, le=2**53)
    rider_id: Id | None = None
    extend_seconds: int | None = Field(default=None, ge=1, le=86_400)
    note_id: Id | None = None
    request_id: Id | None = None


class Intervention(Asked):
    """Support's envelope."""

    action: Literal[
        "cancel_refund", "refund", "reassign", "extend", "hold", "release", "note", "approve"
    ]
    reason_code: Code
    request_id: Id
    args: InterventionArgs = InterventionArgs()


class NewNote(Asked):
    """Free text about an order; kept encrypted with the customer's rows."""

    text: str = Field(min_length=1, max_length=2_000)


class Note(Told):
    """A kept note; an intervention names it."""

    note_id: str


class TimelineLine(Told):
    """A public event or an inner line; `note` is the text that a line names."""

    at: datetime
    source: Literal["public", "inner"]
    kind: str
    data: dict[str, Any]
    actor: str
    request_id: str
    note: str | None = None


class Timeline(Told):
    """What happened to an order, oldest first."""

    items: list[TimelineLine]
    next_cursor: str | None


class LiveTicket(Told):
    """A pass for one live connection, as `?ticket=`."""

    ticket: str
    expires_at: datetime
