"""When and where a rider is free, from the work in his hands. Times in minutes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.planning.model import Place, Rider, Rules

Drive = Callable[[Place, Place], float]
"""Minutes from one place to another."""
ON_THE_WAY = 0.01
"""Who has not said that he is at the shop is not there yet."""


HALF_AN_ORDER = 0.5
"""Who has had no less than this below the others' is not owed anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A task that a rider has, or is being asked for."""

    order_id: str
    shop: Place
    place: Place
    """Where it goes."""
    ready_at: float
    since: float
    """When it came into its state."""
    at_store: bool = False
    carried: bool = False
    at_door: bool = False
    settled: bool = False
    """What is picked up together with it has been decided."""
    stop: int = 0
    """Its place among the hand-overs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboard:
    """A rider on shift."""

    rider_id: str
    place: Place
    free_since: float
    """When the last hand-over was done; whatever is past: long ago."""
    off_at: float
    owed: float = 0.0
    room: int = 5
    pace: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What a rider has had of a shift so far."""

    orders: int
    """Handed over."""
    hours: float
    whole_hours: float
    """As planned; as `hours` where no end is."""


def usual_rate(shifts: Sequence[Shift]) -> float:
    """Orders an hour of those on shift."""
    hours = sum(shift.hours for shift in shifts)
    return sum(shift.orders for shift in shifts) / hours if hours > 0 else 0.0


def owed(shift: Shift, *, guaranteed: float, usual: float) -> float:
    """Orders that a rider lacks for what the shift is guaranteed, an hour.

    Where nothing is guaranteed: for what the others have `usual`ly had so far.
    """
    if guaranteed:
        return guaranteed * shift.whole_hours - shift.orders
    return usual * shift.hours + HALF_AN_ORDER - shift.orders


def rider_of(
    who: Onboard, work: Sequence[Work], *, now: float, drive: Drive, rules: Rules
) -> Rider:
    """What the planner must know of a rider, whatever he is doing."""
    free_at, place, bound_for = who.free_since, who.place, ""
    bound = [one for one in work if not one.carried and not one.settled]
    if len(bound) < len(work):
        free_at, place = _after(
            who, [one for one in work if one.carried or one.settled], now, drive, rules
        )
    elif bound:
        first = next((one for one in bound if one.at_store), bound[0])
        bound_for, place = first.order_id, first.shop
        way = max(ON_THE_WAY, who.pace * drive(who.place, first.shop))
        free_at = first.since if first.at_store else now + way
    return Rider(
        rider_id=who.rider_id,
        place=place,
        free_at=free_at,
        off_at=who.off_at,
        bound_for=bound_for,
        owed=who.owed,
        room=who.room,
        pace=who.pace,
    )


def _after(
    who: Onboard, work: Sequence[Work], now: float, drive: Drive, rules: Rules
) -> tuple[float, Place]:
    """When and where all of it is handed over."""
    clock, place = now, who.place
    waiting = sorted(
        (one for one in work if not one.carried), key=lambda one: (not one.at_store, one.stop)
    )
    for shop in dict.fromkeys(one.shop for one in waiting):
        here = [one for one in waiting if one.shop == shop]
        arrived = [one.since for one in here if one.at_store]
        there = min(arrived) if arrived else clock + who.pace * drive(place, shop)
        goods = max(one.ready_at for one in here)
        clock = max(now, there + rules.pickup_half, goods) + rules.pickup_half
        place = shop
    if not waiting:
        taken = max((one.since for one in work if not one.at_door), default=now)
        clock = max(now, taken + rules.pickup_half)
    for one in sorted(work, key=lambda one: (not one.at_door, one.stop)):
        if one.at_door:
            clock = max(now, one.since + rules.dropoff_half) + rules.dropoff_half
        else:
            clock += who.pace * drive(place, one.place) + 2 * rules.dropoff_half
        place = one.place
    return clock, place
