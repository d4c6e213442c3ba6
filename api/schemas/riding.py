"""Shifts, offers and tasks; a batch of positions has the same shape by MQTT."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import (
    Asked,
    Code,
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
    """How many positions were taken, and how many not, by reason."""

    accepted: int
    dropped: dict[str, int]
