"""Shifts, offers and tasks; a batch of positions has the same shape by MQTT."""

from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from api.schemas.after_sales import RefundLine
from api.schemas.base import (
    Asked,
    Code,
    Id,
    Lat,
    Lng,
    Token,
    Told,
)


class Shift(Asked):
    """Begin or end a shift, where the rider is."""

    on: bool
    lat: Lat | None = None
    lng: Lng | None = None
    ends_at: AwareDatetime | None = Field(default=None, description="When it ends by itself.")


class Pause(Asked):
    """Why no offers are wanted for a while."""

    reason_code: Code


class TaskToken(Asked):
    """The fencing token of an offer or claim."""

    token: Token


class Decline(TaskToken):
    """Why the rider says no to an offer; some reasons won't be asked again."""

    reason_code: Code = "other"


class PickUp(TaskToken):
    """The rider takes what is there; what is missing goes back to the customer as money."""

    missing: list[RefundLine] = Field(default_factory=list, max_length=50)


class Proof(TaskToken):
    """The four digits that the customer tells the rider, or a photo that was kept before."""

    code: str | None = Field(default=None, pattern=r"^[0-9]{4}$")
    photo_id: Id | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.code is None) == (self.photo_id is None):
            raise ValueError("prove it by code or by photo_id")
        return self


class CustomerCall(TaskToken):
    """How a call to the customer ended."""

    outcome: Literal["answered", "no_answer", "busy", "off"]


class Failure(TaskToken):
    """Why the rider can't go on; after an accident, where the goods are."""

    reason_code: Code
    goods_lat: Lat | None = None
    goods_lng: Lng | None = None


class DropOffWish(Asked):
    """In person, left at the door, or back to the shop when nobody can be reached."""

    wish: Literal["hand", "door", "return"]


class DropOffWished(Told):
    """The wish as it is now, at the order's `seq`."""

    order_id: str
    wish: str
    seq: int


class PhotoKept(Told):
    """What names the photo when the goods are handed over by it."""

    photo_id: str


class Place(Told):
    """A place, WGS-84 degrees; the middle of about a square kilometre where it is coarse."""

    lat: float
    lng: float


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
    earns_fen: int = Field(
        default=0, description="What the rider gets for it: by contract, and `bonus_fen`."
    )
    bonus_fen: int = Field(default=0, description="In it: what a long search pays more.")
    tip_fen: int = Field(default=0, description="Beside it: what the customer gave before, whole.")
    goods_area: Place | None = Field(
        default=None, description="Coarse; where the goods are, if another rider left them."
    )
    dropoff_area: Place | None = Field(
        default=None, description="Coarse; the place itself is told to who claims."
    )
    pickup_meters: int | None = Field(
        default=None,
        description="As the crow flies from the rider to the shop, or to the goods' area; "
        "absent where the rider's place is not known.",
    )
    ride_meters: int | None = Field(
        default=None, description="As the crow flies from goods to customer, rounded up."
    )


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
    settled: bool
    """False: other orders may still join; wait for `task.settled`. True and not picked up: fetch it
    before the first hand-over, of whatever shop it is."""
    stop: int
    """Its place among the hand-overs."""
    earns_fen: int = 0
    bonus_fen: int = Field(default=0, description="In `earns_fen`.")
    dropoff_wish: Literal["hand", "door", "return"] = "hand"
    at_store_at: datetime | None = None
    unreachable_until: datetime | None = Field(
        default=None, description="Till then the customer may say what they want."
    )
    goods: Place | None = Field(
        default=None, description="Where the goods wait instead of at the shop."
    )


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


class DeclineReason(Told):
    """A reason to say no to an offer; `bars`: that task is not offered again."""

    code: str
    name: str
    bars: bool


class PauseReason(Told):
    """A reason to pause, and after how many seconds support is told."""

    code: str
    name: str
    most_seconds: float


class RidingPolicy(Told):
    """A rider's rules; durations at speed 1."""

    declines: list[DeclineReason]
    pauses: list[PauseReason]
    kitchen_late_seconds: float
    unreachable_seconds: float


class ShiftView(Told):
    """A rider's shift: who pauses or is ending goes on with what is in hand."""

    state: Literal["on", "paused", "ending", "off"]
    pause_code: str
    paused_at: datetime | None
    started_at: datetime | None
    ends_at: datetime | None
    in_hand: int


class PositionsDone(Told):
    """How many positions were taken, and how many not, by reason."""

    accepted: int
    dropped: dict[str, int] = Field(
        description="`duplicate`, `old`, `stale`, `future`, `impossible`, `jump` or `off_shift`: "
        "not on shift, and nothing in hand."
    )
