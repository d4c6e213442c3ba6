"""Where riders are: which reported fixes are believed, and who may see how much of them.

A fix is judged against what is known of its rider, in the order of its phone's time; phones' clocks
are wrong, so others hear of it in ours. What is dropped has a reason; nobody logs where it was.
"""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from domain.eta import Vehicle
from domain.geo import Point, distance_meters
from domain.orders import CARRYING, FINAL, Delivery, Status

CLOCK_SECONDS = 600
"""Of real time: how far a fix's time may lie from ours. Phones' clocks are wrong by less, and one
that was without a network for longer tells nothing of now."""
ACCURACY_MAX_METERS = 1_000.0
SLACK_METERS = 150.0
"""What satellites are wrong by between houses is no ride."""
MS_PER_MINUTE = 60_000
CONSISTENT_FIXES = 3
"""So many fixes that agree with each other are believed against the one before."""
FASTEST_METERS_PER_MINUTE: Mapping[Vehicle, float] = {
    Vehicle.ON_FOOT: 400,
    Vehicle.BICYCLE: 900,
    Vehicle.E_BIKE: 1_500,
    Vehicle.MOTORCYCLE: 2_400,
    Vehicle.CAR: 3_000,
}
"""Along the straight line. Guesses, written down as such: a sprint, and what each reaches downhill
with the wind; an e-bike may be tuned, a car may be on a motorway."""
PlacesOf = Callable[[str, Sequence[str]], Awaitable[Mapping[str, Point]]]
"""Where riders of a site are, those of whom it is known."""
CELL_METERS = 500.0
METERS_PER_DEGREE = 111_195.0
"""Of latitude, on the sphere of `domain.geo`."""
POLAR_COSINE = 0.01
APPROACHING = frozenset({Delivery.ASSIGNED, Delivery.AT_STORE})
OVER = FINAL | {Status.DELIVERED}


class Sight(StrEnum):
    """How exactly an order's people are shown its rider."""

    NOTHING = "nothing"
    """Before assignment, after the end."""
    COARSE = "coarse"
    """A cell, on the way to the shop."""
    EXACT = "exact"
    """The position, while the order is carried."""


class Fix(NamedTuple):
    """One reported position: WGS-84 degrees, the phone's time in Unix milliseconds."""

    lat: float
    lng: float
    at_ms: int
    accuracy_m: float = 0.0
    """Radius; 0: not told."""

    @property
    def place(self) -> Point:
        """Where."""
        return Point(self.lat, self.lng)


class Track(NamedTuple):
    """What is known of a rider: the newest fix that is believed, and one that is not yet."""

    newest: Fix | None = None
    suspect: Fix | None = None
    """The newest of fixes that lie too far away."""
    suspects: int = 0
    """How many of them agree with each other."""
    behind_ms: int | None = None
    """How far the phone's clock is behind ours at most: no fix comes before it was taken, so it is
    the shortest delay of those believed. None: no phone has told, the newest is by our clock."""

    @property
    def shown(self) -> Fix | None:
        """The newest fix, by our clock."""
        if self.newest is None or not self.behind_ms:
            return self.newest
        return self.newest._replace(at_ms=self.newest.at_ms + self.behind_ms)


class Dropped(StrEnum):
    """Why a fix is not taken."""

    DUPLICATE = "duplicate"
    """Of the same moment as the newest."""
    OLD = "old"
    """Before the newest of the same phone."""
    STALE = "stale"
    """From longer ago than a clock's fault or a lost network explains."""
    FUTURE = "future"
    """Later than any clock's fault explains."""
    IMPOSSIBLE = "impossible"
    """No place on earth, the zero of a cold receiver, or a guess of kilometers."""
    JUMP = "jump"
    """Further away than the vehicle can have come, until enough fixes say so."""
    OFF_SHIFT = "off_shift"
    """Its rider is not on shift and has nothing in hand: whatever it says is nobody's business."""


def judge(
    track: Track, fix: Fix, now_ms: int, *, speed: float = 1, vehicle: Vehicle = Vehicle.E_BIKE
) -> tuple[Track, Dropped | None]:
    """The track after a fix, and why the fix was dropped, or None: it is the newest now.

    `speed` is the site's: how many seconds of its life pass in one of the clock's.
    """
    newest, suspect, ours = track.newest, track.suspect, track.behind_ms is None
    reason = _wrong(fix, now_ms) or (None if ours else _late(fix, newest))
    if reason:
        return track, reason
    delay_ms = now_ms - fix.at_ms
    behind_ms = delay_ms if track.behind_ms is None else min(track.behind_ms, delay_ms)
    meters_per_ms = FASTEST_METERS_PER_MINUTE[vehicle] * speed / MS_PER_MINUTE
    comparable = fix._replace(at_ms=now_ms) if ours else fix
    if newest is None or _in_reach(newest, comparable, meters_per_ms):
        return Track(fix, behind_ms=behind_ms), None
    reason = _late(fix, suspect)
    if reason:
        return track, reason
    agree = suspect is not None and _in_reach(suspect, fix, meters_per_ms)
    suspects = track.suspects + 1 if agree else 1
    if suspects >= CONSISTENT_FIXES:
        return Track(fix, behind_ms=behind_ms), None
    return Track(newest, fix, suspects, track.behind_ms), Dropped.JUMP


def sight(*, status: str, delivery: str, shop: bool = False) -> Sight:
    """What an order's people may see of its rider; its shop, nothing after the pick-up."""
    if status in OVER:
        return Sight.NOTHING
    if delivery in CARRYING:
        return Sight.NOTHING if shop else Sight.EXACT
    return Sight.COARSE if delivery in APPROACHING else Sight.NOTHING


def cell(place: Point) -> Point:
    """The centre of the cell, about CELL_METERS on each side, that the place lies in."""
    north = CELL_METERS / METERS_PER_DEGREE
    lat = (math.floor(place.lat / north) + 0.5) * north
    east = north / max(POLAR_COSINE, math.cos(math.radians(lat)))
    lng = (math.floor(place.lng / east) + 0.5) * east
    return Point(round(lat, 6), round(lng, 6))


def _wrong(fix: Fix, now_ms: int) -> Dropped | None:
    """Whether it is wrong by itself, whoever sent it."""
    # NaN is in no range.
    possible = (
        -90 <= fix.lat <= 90
        and -180 <= fix.lng <= 180
        and 0 <= fix.accuracy_m <= ACCURACY_MAX_METERS
        and not (fix.lat == 0 and fix.lng == 0)
    )
    if not possible:
        return Dropped.IMPOSSIBLE
    if fix.at_ms > now_ms + CLOCK_SECONDS * 1_000:
        return Dropped.FUTURE
    return Dropped.STALE if fix.at_ms < now_ms - CLOCK_SECONDS * 1_000 else None


def _late(fix: Fix, before: Fix | None) -> Dropped | None:
    if before is None or fix.at_ms > before.at_ms:
        return None
    return Dropped.DUPLICATE if fix.at_ms == before.at_ms else Dropped.OLD


def _in_reach(before: Fix, after: Fix, meters_per_ms: float) -> bool:
    meters = distance_meters(before.place, after.place)
    slack = SLACK_METERS + before.accuracy_m + after.accuracy_m
    return meters <= slack + meters_per_ms * (after.at_ms - before.at_ms)
