"""What people are like and what they are asked to do; how they act is in the personas' files.

All spans are seconds of life: a session divides them by its speed.
"""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, le=864_000)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Told(BaseModel):
    """What the control interface is told; unknown words are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(Told):
    """A place, WGS-84 degrees."""

    lat: float = Field(ge=-90, le=90)
    lng: float = Field(ge=-180, le=180)


class CustomerHabits(Told):
    """How a customer pays and whether they change their mind."""

    pays: Literal["yes", "no", "late"] = "yes"
    """`late`: only when the order's own deadline has passed."""
    pay_after_seconds: Seconds = 5
    cancels_after_seconds: Seconds | None = None
    """From placement; None: never."""
    fetches_after_seconds: Seconds | None = 60
    """From ready, where they fetch it themselves; None: they never come."""
    rates: int | None = Field(default=None, ge=1, le=5)
    """Stars for food and ride, after delivery; None: says nothing."""
    dropoff: Literal["hand", "door", "return"] = "hand"
    """How they want it handed over; told once it is placed."""
    opens: bool = True
    """False: nobody comes to the door, nor answers a call."""


class MerchantHabits(Told):
    """How a shop answers and cooks."""

    accepts_after_seconds: Seconds | Literal["silent"] = 15
    rejects: Probability = 0
    tells_prep: bool = False
    """Says when the food will be ready, as soon as it is begun."""
    cooks_seconds: Seconds = 600
    """From acceptance, unless the order says when it is ready."""
    agrees_to_cancel: Literal["yes", "no", "silent"] = "yes"


class Rain(Told):
    """A spell of rain, real time, and what share of their speed it leaves to riders."""

    from_at: AwareDatetime
    until_at: AwareDatetime
    slows_to: float = Field(gt=0, le=1)


class RiderHabits(Told):
    """How a rider answers, rides and hands over."""

    start: Place
    on_at: AwareDatetime | None = None
    """Real time, not scaled; None: at once."""
    off_at: AwareDatetime | None = None
    """Real time; begun deliveries are finished afterwards. None: never."""
    claims: Probability = 1
    declines: Probability = 1
    """Of the offers not claimed; the others are left to expire."""
    decline_reason: str = Field(default="other", pattern=r"^[a-z_]{1,40}$")
    pauses_after_seconds: Seconds | None = None
    """From the shift's beginning; None: never."""
    pauses_for_seconds: Seconds = 600
    pause_reason: str = Field(default="meal", pattern=r"^[a-z_]{1,40}$")
    misses: Probability = 0
    """That a unit of the first line is not in the bag, if something else is."""
    answers_after_seconds: Seconds = 3
    speed_meters_per_minute: float = Field(default=320, gt=0, le=60_000)
    service_seconds_pickup: Seconds = 240
    """Half on arrival, half after the food is taken (benchmarks' convention)."""
    service_seconds_dropoff: Seconds = 240
    leg_seconds: Seconds = 0
    """Every ride takes a multiple of this (benchmarks' convention: a minute); 0: as it comes."""
    waits_settled_seconds: Seconds = 120
    """With the food ready, for the word that nothing more of this shop is coming along."""
    goes_silent: Literal["never", "after_claim", "after_pickup"] = "never"
    rain: list[Rain] = Field(default=[], max_length=20)


class SessionWish(Told):
    """A group of people around one API."""

    api_url: str = Field(pattern=r"^https?://", max_length=200)
    speed: float = Field(default=1, gt=0, le=10_000)
    session_id: str | None = Field(default=None, pattern=r"^[a-z0-9-]{1,64}$")
    """Give the old one to go on after a restart of this process."""
    seed: int = 0
    """Of all chances that people take."""


class Person(Told):
    """Who a person is at the platform: their id there and a bearer token."""

    id: str = Field(min_length=1, max_length=100)
    token: str = Field(min_length=1, max_length=4_000)


class Customer(Person):
    """Somebody who orders."""

    habits: CustomerHabits = CustomerHabits()


class Merchant(Person):
    """Somebody who cooks."""

    habits: MerchantHabits = MerchantHabits()


class Rider(Person):
    """Somebody who rides."""

    habits: RiderHabits


class OrderWish(Told):
    """One order to place: what, where to, and how it is paid."""

    customer_id: str
    shop_id: str
    lines: list[dict[str, Any]] = Field(min_length=1, max_length=50)
    """As in `POST /v1/quotes`."""
    place: Place
    key: str = Field(min_length=1, max_length=64)
    """The Idempotency-Key; asking again under it asks for the same order."""
    remark: str = Field(default="", max_length=200)
    tableware: int = Field(default=0, ge=0, le=20)
    channel: str = "wechat"
    method: str | None = None
    """None: the first that the quote offers at the channel."""
    fulfilment: Literal["delivery", "self_pickup"] = "delivery"
    tip_fen: int = Field(default=0, ge=0)
    credit_fen: int = Field(default=0, ge=0)
    """What the customer's platform credit pays of it."""
    instalments: Literal[0, 3, 6, 12] = 0
    clicked_at: AwareDatetime | None = None
    """When the day says that they tap; None: now. Waits of the kitchen count from here."""
    ready_after_seconds: Seconds | None = None
    """When the food is ready, counted from the tap; None: by the shop's habit."""
    habits: CustomerHabits | None = None
    """This order's own; None: the customer's."""
