"""When and where a rider is free, from the work in his hands. Times in minutes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.planning.model import Place, Rider, Rules

Drive = Callable[[Place, Place], float]
"""Minutes from one place to another."""
ON_THE_WAY = 0.01
"""Who has not said that he is at the shop is not there yet."""


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
    waiting = [one for one in work if not one.carried]
    if waiting:
        shop = waiting[0].shop
        arrived = [one.since for one in waiting if one.at_store]
        there = min(arrived) if arrived else now + who.pace * drive(place, shop)
        goods = max(one.ready_at for one in waiting)
        clock = max(now, there + rules.pickup_half, goods) + rules.pickup_half
        place = shop
    else:
        taken = max((one.since for one in work if not one.at_door), default=now)
        clock = max(now, taken + rules.pickup_half)
    for one in sorted(work, key=lambda one: (not one.at_door, one.stop)):
        if one.at_door:
            clock = max(now, one.since + rules.dropoff_half) + rules.dropoff_half
        else:
            clock += who.pace * drive(place, one.place) + 2 * rules.dropoff_half
        place = one.place
    return clock, place
