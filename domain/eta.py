"""How long an order takes, as a window with its reasons: the plain formula, and the words for it.

The formula answers where no model was trained; its factors are guesses that a model replaces.
Unknown weather or traffic counts as the usual one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any

from domain.geo import Point, distance_meters

FORMULA = "formula"
"""The version of a window that no model answered for."""
ASSIGNMENT_MINUTES = 2.0
HAND_OVER_MINUTES = 3.0
SLACK_MINUTES = 5
"""From what is likely to what is promised."""
EARLY_SHARE = 0.8
AT_EASE = 4
"""Orders that a kitchen cooks side by side without anyone noticing."""
KITCHEN_MINUTES_PER_ORDER = 1.0
WAIT_MINUTES_PER_TASK = 3.0
"""For each waiting task beyond one for every free rider, shared among the riders."""
QUEUE_MINUTES_MAX = 30.0
WORTH_TELLING_MINUTES = 1.0
MINUTE = timedelta(minutes=1)
HINTS_MAX = 3


class Vehicle(StrEnum):
    """What a rider rides."""

    ON_FOOT = "on_foot"
    """步行"""
    BICYCLE = "bicycle"
    """自行车"""
    E_BIKE = "e_bike"
    """电动车: what is meant where nothing is known."""
    MOTORCYCLE = "motorcycle"
    """摩托车, with an engine or as fast as one: motor scooters too."""
    CAR = "car"
    """汽车"""


class Weather(StrEnum):
    """What the sky does to a ride."""

    CLEAR = "clear"
    """晴"""
    FOG = "fog"
    """雾"""
    RAIN = "rain"
    """雨"""
    STORM = "storm"
    """暴雨"""
    SNOW = "snow"
    """雪"""


class Traffic(StrEnum):
    """How full the streets are."""

    FREE = "free"
    """畅通"""
    SLOW = "slow"
    """缓行"""
    JAM = "jam"
    """拥堵"""


METERS_PER_MINUTE: Mapping[Vehicle, float] = {
    Vehicle.ON_FOOT: 65,
    Vehicle.BICYCLE: 200,
    Vehicle.E_BIKE: 250,
    Vehicle.MOTORCYCLE: 350,
    Vehicle.CAR: 350,
}
"""Along the straight line, stops included."""
WEATHER_FACTOR: Mapping[Weather, float] = {
    Weather.CLEAR: 1.0,
    Weather.FOG: 1.15,
    Weather.RAIN: 1.3,
    Weather.SNOW: 1.5,
    Weather.STORM: 1.6,
}
TRAFFIC_FACTOR: Mapping[Traffic, float] = {
    Traffic.FREE: 1.0,
    Traffic.SLOW: 1.2,
    Traffic.JAM: 1.5,
}
FULL_STREETS: Mapping[Vehicle, float] = {Vehicle.CAR: 1.0, Vehicle.MOTORCYCLE: 0.5}
"""How much of a jam a vehicle feels; the others pass by it at half."""
PASSES_BY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What goes on around a shop; None: nobody could say."""

    cooking: int = 0
    """Orders that the shop's kitchen has in hand."""
    waiting: int = 0
    """Tasks of the zone that look for a rider."""
    riders: int = 0
    """Free riders of the zone."""
    weather: Weather | None = None
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known when an order is promised; nothing of it is a person's."""

    shop_id: str
    prep_minutes: int
    meters: int
    hour: int
    """On the site's clock."""
    weekday: int
    """ISO: Monday is 1."""
    vehicle: Vehicle = Vehicle.E_BIKE
    moment: Moment = Moment()

    def features(self) -> dict[str, Any]:
        """As they are stored with the quote, and learnt from."""
        flat = asdict(self)
        del flat["moment"]
        return flat | asdict(self.moment)


@dataclass(frozen=True, slots=True)
class Hint:
    """What makes this order longer or shorter than others, minutes."""

    cause: str
    minutes: float

    def words(self) -> str:
        """For the customer: `rain: +4 min`."""
        return f"{self.cause}: {round(self.minutes):+d} min"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Minutes from the shop's acceptance to the customer's door."""

    low: float
    middle: float
    high: float
    hints: tuple[Hint, ...] = ()
    """The most telling first."""
    version: str = FORMULA

    @property
    def promise_minutes(self) -> int:
        """What the order is late against."""
        return math.ceil(self.high)

    def told(self) -> dict[str, Any]:
        """As customers see it."""
        return {
            "low_minutes": math.floor(self.low),
            "likely_minutes": round(self.middle),
            "high_minutes": self.promise_minutes,
            "hints": [hint.words() for hint in self.hints],
        }


def travel_minutes(
    meters: float,
    vehicle: Vehicle = Vehicle.E_BIKE,
    weather: Weather | None = None,
    traffic: Traffic | None = None,
) -> float:
    """The ride alone."""
    return meters / METERS_PER_MINUTE[vehicle] * slowing(vehicle, weather, traffic)


def slowing(
    vehicle: Vehicle = Vehicle.E_BIKE,
    weather: Weather | None = None,
    traffic: Traffic | None = None,
) -> float:
    """How many times as long a ride takes as in clear weather on free streets."""
    felt = FULL_STREETS.get(vehicle, PASSES_BY)
    jam = 1 + (TRAFFIC_FACTOR[traffic or Traffic.FREE] - 1) * felt
    return WEATHER_FACTOR[weather or Weather.CLEAR] * jam


def pace(vehicle: Vehicle, weather: Weather | None = None, traffic: Traffic | None = None) -> float:
    """How many times as long as an e-bike's its rides take then."""
    ours = travel_minutes(1, vehicle, weather, traffic)
    return ours / travel_minutes(1, Vehicle.E_BIKE, weather, traffic)


def formula(known: Known) -> Window:
    """Kitchen, wait for a rider, ride and hand-over, with what the moment adds to each."""
    moment = known.moment
    ride = math.ceil(travel_minutes(known.meters, known.vehicle))
    usual = known.prep_minutes + ASSIGNMENT_MINUTES + ride + HAND_OVER_MINUTES
    extra = (
        _busy(moment),
        _few_riders(moment),
        *outside(known.meters, known.vehicle, moment),
    )
    middle = usual + sum(hint.minutes for hint in extra)
    return Window(
        low=usual * EARLY_SHARE,
        middle=middle,
        high=middle + SLACK_MINUTES,
        hints=telling(extra),
    )


def until_ready(known: Known) -> Window:
    """The kitchen alone, for those who fetch their food: from acceptance to the counter."""
    busy = _busy(known.moment)
    middle = known.prep_minutes + busy.minutes
    return Window(
        low=known.prep_minutes * EARLY_SHARE,
        middle=middle,
        high=middle + SLACK_MINUTES,
        hints=telling((busy,)),
    )


def outside(meters: float, vehicle: Vehicle, moment: Moment) -> tuple[Hint, Hint]:
    """What weather and traffic add to a ride, in this order: together all they add."""
    dry = travel_minutes(meters, vehicle)
    wet = travel_minutes(meters, vehicle, moment.weather)
    full = travel_minutes(meters, vehicle, moment.weather, moment.traffic)
    return (
        Hint(moment.weather or Weather.CLEAR, wet - dry),
        Hint("traffic", full - wet),
    )


def promised_from(
    told: Mapping[str, Any] | None, promised_at: datetime, promise_seconds: float
) -> datetime | None:
    """When the promised window begins; None: the promise was no window.

    `promise_seconds` are the whole promise as it was given, already divided by the site's speed.
    """
    if not told:
        return None
    share = 1 - told["low_minutes"] / told["high_minutes"]
    return promised_at - timedelta(seconds=promise_seconds * share)


def telling(hints: tuple[Hint, ...]) -> tuple[Hint, ...]:
    """The few worth a customer's attention, the largest first."""
    worth = [hint for hint in hints if abs(hint.minutes) >= WORTH_TELLING_MINUTES]
    return tuple(sorted(worth, key=lambda hint: -abs(hint.minutes))[:HINTS_MAX])


def _busy(moment: Moment) -> Hint:
    return Hint("busy kitchen", _bounded(KITCHEN_MINUTES_PER_ORDER * (moment.cooking - AT_EASE)))


def _few_riders(moment: Moment) -> Hint:
    per_rider = (moment.waiting - moment.riders) / max(1, moment.riders)
    return Hint("few riders", _bounded(WAIT_MINUTES_PER_TASK * per_rider))


def _bounded(minutes: float) -> float:
    return min(QUEUE_MINUTES_MAX, max(0.0, minutes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where an order's rider is, and all that lies on the way to its door."""

    store: Point
    """Where the last of the goods are fetched that go along."""
    door: Point
    rider: Point | None = None
    """None: nobody knows."""
    first: Sequence[Point] = ()
    """Doors and other stores that come before the store."""
    before: Sequence[Point] = ()
    """Doors that come between the store, or the rider who has it all, and this door."""

    def to_store(self) -> Sequence[float]:
        """Meters from stop to stop until the rider has the goods; none: nobody knows."""
        return _legs((self.rider, *self.first, self.store)) if self.rider else ()

    def to_door(self, *, carried: bool) -> Sequence[float]:
        """Meters from stop to stop after that, or from the rider who carries them."""
        start = self.rider if carried and self.rider else self.store
        return _legs((start, *self.before, self.door))


def _legs(places: Sequence[Point]) -> Sequence[float]:
    return [distance_meters(*ends) for ends in pairwise(places)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an accepted order has come."""

    searching: bool
    """No rider has it."""
    ready: bool
    """The food is, and whatever is picked up together with it."""
    arrived: bool
    food_ready_at: datetime
    """As expected, or as it was."""
    picked_up_at: datetime | None
    """None: its rider has not got all that goes along."""
    meters: int
    """From the store to the door, as quoted."""
    moment: Moment
    """`waiting`: the tasks beside this one."""
    vehicle: Vehicle = Vehicle.E_BIKE
    """Of whoever has it."""
    way: Way | None = None
    """None: from the store straight to the door."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """When an order will be there as things are, and what keeps it."""

    at: datetime
    hints: tuple[Hint, ...]


def arrival(progress: Progress, now: datetime, *, speed: float) -> Estimate:
    """What is still to be done, one after the other, on a site of this speed."""
    minute, carried = MINUTE / speed, progress.picked_up_at is not None
    if progress.arrived:
        return Estimate(at=now + HAND_OVER_MINUTES * minute, hints=())
    leaves, waits = _leaves(progress, now, minute)
    legs: Sequence[float] = (progress.meters,)
    alone = legs
    if way := progress.way:
        legs, alone = (one.to_door(carried=carried) for one in (way, replace(way, before=())))
    ride = _minutes(legs, progress)
    hints = (
        *waits,
        Hint("other orders first", ride - _minutes(alone, progress)),
        *outside(sum(legs), progress.vehicle, progress.moment),
    )
    there = max(now, leaves + ride * minute)
    return Estimate(at=there + HAND_OVER_MINUTES * minute, hints=telling(hints))


def _leaves(
    progress: Progress, now: datetime, minute: timedelta
) -> tuple[datetime, tuple[Hint, ...]]:
    """When the ride that counts begins, and what it waits for."""
    way = progress.way
    if progress.picked_up_at is not None:
        return (now if way and way.rider else progress.picked_up_at), ()
    food_at = now if progress.ready else max(now, progress.food_ready_at)
    few = _few_riders(progress.moment)
    comes_in = _minutes(way.to_store(), progress) if way else 0.0
    if progress.searching:
        comes_in = ASSIGNMENT_MINUTES + few.minutes
    held = max(0.0, comes_in - (food_at - now) / minute)
    overdue = max(0.0, (now - progress.food_ready_at) / minute)
    hints = [Hint("the kitchen takes longer", overdue * (not progress.ready))]
    if progress.searching:
        hints.append(Hint("no rider yet", overdue * progress.ready))
        hints.append(Hint("few riders", min(few.minutes, held)))
    else:
        hints.append(Hint("the rider is on the way", held))
    return food_at + held * minute, tuple(hints)


def _minutes(legs: Sequence[float], progress: Progress) -> float:
    """Rides by these legs; each stop between takes a hand-over's time, be it door or store."""
    moment = progress.moment
    rides = travel_minutes(sum(legs), progress.vehicle, moment.weather, moment.traffic)
    return rides + HAND_OVER_MINUTES * max(0, len(legs) - 1)


def at_store(
    place: Point, store: Point, now: datetime, *, speed: float, vehicle: Vehicle, moment: Moment
) -> datetime:
    """When a rider who goes there straight away is at the store, on a site of this speed."""
    meters = distance_meters(place, store)
    ride = travel_minutes(meters, vehicle, moment.weather, moment.traffic)
    at = now + ride * MINUTE / speed
    return at - timedelta(microseconds=at.microsecond)


def delay_minutes(estimate: Estimate, promised_at: datetime, *, speed: float) -> int:
    """By how much it will be later than promised, whole minutes of the site; 0: in time."""
    return max(0, math.floor((estimate.at - promised_at) * speed / MINUTE))
