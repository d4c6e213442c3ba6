"""A rider's work as rules: declines, pauses, waits at the shop, and the ways out at a silent door.

Who is offered which task is `domain.matching`'s; spans are seconds at speed 1.
"""

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import ActionNotAllowed, Invalid
from domain.geo import Point

MINUTE = 60.0
KITCHEN_LATE_SECONDS = 5 * MINUTE
"""A rider who has waited so long at the shop may say that the kitchen is late."""
CALLS_MAX = 20
"""To the customer, that are written down for one task."""
PHOTO_DAYS = 30
"""After an order's end, for how long the photos of its hand-over are kept."""
ACCIDENT = "accident"
"""The reason of a failure after which the goods may lie where they are, and of the pause then."""
AREA_DEGREES = 0.01
"""The grid of places that are shown coarsely: about a kilometre."""
METERS_STEP = 100
"""What a way to a coarse place is rounded up to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declining:
    """Why a rider says no to an offer."""

    name: str
    bars: bool = False
    """It won't change: the rider is not asked about this task again."""


DECLINES = {
    "too_far": Declining(name="距离太远", bars=True),
    "too_large": Declining(name="装不下", bars=True),
    "unsafe_place": Declining(name="地点不安全", bars=True),
    "shift_ends": Declining(name="即将收工", bars=True),
    "busy": Declining(name="手上订单多"),
    "vehicle": Declining(name="车辆问题"),
    "traffic": Declining(name="交通状况"),
    "other": Declining(name="其他原因"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Why a rider takes no offers for a while."""

    name: str
    most_seconds: float
    """Beyond it support is told."""


PAUSES = {
    "meal": Pause(name="用餐", most_seconds=45 * MINUTE),
    "rest": Pause(name="休息", most_seconds=20 * MINUTE),
    "vehicle": Pause(name="换电修车", most_seconds=60 * MINUTE),
    "private": Pause(name="私事", most_seconds=30 * MINUTE),
    ACCIDENT: Pause(name="意外", most_seconds=10 * MINUTE),
}


class Call(StrEnum):
    """How a rider's call to the customer ended; the number is never kept."""

    ANSWERED = "answered"
    """已接通"""
    NO_ANSWER = "no_answer"
    """无人接听"""
    BUSY = "busy"
    """占线"""
    OFF = "off"
    """关机或停机"""


class DropOff(StrEnum):
    """How a customer wants the order handed over."""

    HAND = "hand"
    """当面交付: in person, against the code."""
    DOOR = "door"
    """放门口: left at the door, a photo proves it."""
    RETURN = "return"
    """无人则退回: back to the shop when nobody can be reached."""


class Way(StrEnum):
    """A way out of a delivery whose customer doesn't come."""

    PHOTO = "photo"
    """拍照留置: left in a safe place, a photo proves it: delivered."""
    RETURN = "return"
    """退回商家: the goods go back, the order ends; the customer bears it."""


def ways(wish: DropOff, *, unreachable: bool, waited: bool) -> frozenset[Way]:
    """What the rider may do without a code; `waited`: the customer's time to answer is over."""
    if wish is DropOff.DOOR:
        return frozenset({Way.PHOTO, Way.RETURN}) if waited else frozenset({Way.PHOTO})
    if unreachable and wish is DropOff.RETURN:
        return frozenset({Way.RETURN})
    return frozenset(Way) if waited else frozenset()


def ensure_way(way: Way, wish: DropOff, *, unreachable: bool, waited: bool) -> None:
    """Refuse a way out that neither the customer's wish nor the timer has opened."""
    open_ways = ways(wish, unreachable=unreachable, waited=waited)
    if way not in open_ways:
        raise ActionNotAllowed(f"{way} is not open yet", dropoff=wish.value, ways=sorted(open_ways))


def declining(code: str) -> Declining:
    """The reason of a code; raises Invalid."""
    if code not in DECLINES:
        raise Invalid("no such reason", reason_code=code, known=sorted(DECLINES))
    return DECLINES[code]


def pause(code: str) -> Pause:
    """The pause of a code; raises Invalid."""
    if code not in PAUSES:
        raise Invalid("no such pause", reason_code=code, known=sorted(PAUSES))
    return PAUSES[code]


def area(place: Point) -> Point:
    """The middle of the grid's cell that holds a place: all that an offer shows of it."""

    def middle(degrees: float) -> float:
        return round((degrees // AREA_DEGREES + 0.5) * AREA_DEGREES, 6)

    return Point(middle(place.lat), middle(place.lng))


def coarse_meters(meters: int) -> int:
    """A way's length, rounded up, so that it tells no address."""
    return -(-meters // METERS_STEP) * METERS_STEP
