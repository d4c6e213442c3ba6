"""Riding in straight lines: where somebody is on the way; where to ride is the rider's."""

import math
from dataclasses import dataclass

from sandbox.people.habits import Place

ROUNDING = 1e-3
"""By what share of a step a ride may exceed a whole number of them."""
METERS_PER_DEGREE = 111_194.926
"""Of latitude, on a sphere of 6,371 km."""


def meters_between(a: Place, b: Place) -> float:
    """Straight distance; good to 0.1 % within a city."""
    north = (b.lat - a.lat) * METERS_PER_DEGREE
    east = (b.lng - a.lng) * METERS_PER_DEGREE * math.cos(math.radians((a.lat + b.lat) / 2))
    return math.hypot(north, east)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """A ride from one place to another between two moments of one clock, seconds."""

    origin: Place
    target: Place
    begins: float
    ends: float

    def at(self, moment: float) -> Place:
        """Where the rider is; before the leg at its origin, after it at its target."""
        span = self.ends - self.begins
        share = 1.0 if span <= 0 else min(1.0, max(0.0, (moment - self.begins) / span))
        return Place(
            lat=self.origin.lat + share * (self.target.lat - self.origin.lat),
            lng=self.origin.lng + share * (self.target.lng - self.origin.lng),
        )


def standing(place: Place) -> Leg:
    """Somebody who stays where they are."""
    return Leg(origin=place, target=place, begins=0, ends=0)


def ride(
    origin: Place, target: Place, *, begins: float, meters_per_second: float, whole: float = 0
) -> Leg:
    """A ride that starts now; it takes a multiple of `whole` seconds, if that isn't 0."""
    seconds = meters_between(origin, target) / meters_per_second
    if whole:
        seconds = math.ceil(seconds / whole - ROUNDING) * whole
    return Leg(origin=origin, target=target, begins=begins, ends=begins + seconds)
