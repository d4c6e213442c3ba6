"""Which fixes are believed, and how much of them is shown to whom."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.eta import Vehicle
from domain.geo import Point, distance_meters
from domain.positions import (
    CELL_METERS,
    CONSISTENT_FIXES,
    FUTURE_SECONDS,
    METERS_PER_DEGREE,
    OLD_SECONDS,
    SLACK_METERS,
    Dropped,
    Fix,
    Track,
    cell,
    judge,
)

NOW = 1_800_000_000_000
HERE = Fix(31.23, 121.47, NOW - 60_000)
KNOWN = Track(HERE)


def later(seconds: float, *, north: float = 0.0, accuracy_m: float = 0.0) -> Fix:
    """A fix so much after HERE, so many degrees to the north."""
    return Fix(HERE.lat + north, HERE.lng, HERE.at_ms + round(seconds * 1_000), accuracy_m)


@pytest.mark.parametrize(
    ("fix", "reason"),
    [
        (later(10, north=0.001), None),
        (HERE, Dropped.DUPLICATE),
        (later(-1), Dropped.OLD),
        (HERE._replace(at_ms=NOW - OLD_SECONDS * 1_000 - 1), Dropped.OLD),
        (HERE._replace(at_ms=NOW + FUTURE_SECONDS * 1_000), None),
        (HERE._replace(at_ms=NOW + FUTURE_SECONDS * 1_000 + 1), Dropped.FUTURE),
        (later(1)._replace(lat=math.nan), Dropped.IMPOSSIBLE),
        (later(1)._replace(lng=math.inf), Dropped.IMPOSSIBLE),
        (later(1)._replace(lat=90.1), Dropped.IMPOSSIBLE),
        (later(1)._replace(lat=0, lng=0), Dropped.IMPOSSIBLE),
        (later(1, accuracy_m=1_001), Dropped.IMPOSSIBLE),
        (later(1, accuracy_m=-1), Dropped.IMPOSSIBLE),
        (later(1, north=0.01), Dropped.JUMP),
        (later(1, north=0.01, accuracy_m=999), None),
    ],
)
def test_a_fix_is_kept_or_dropped_for_a_reason(fix: Fix, reason: Dropped | None) -> None:
    after, why = judge(KNOWN, fix, NOW)
    assert why == reason
    assert after.newest == (HERE if reason else fix)


def test_the_first_fix_of_a_rider_is_believed() -> None:
    assert judge(Track(), HERE, NOW) == (KNOWN, None)
    assert judge(Track(), HERE, NOW + OLD_SECONDS * 1_000)[1] == Dropped.OLD


@pytest.mark.parametrize(
    ("vehicle", "meters"),
    [("on_foot", 400), ("bicycle", 900), ("e_bike", 1_500), ("motorcycle", 2_400), ("car", 3_000)],
)
def test_how_far_a_minute_takes_a_vehicle(vehicle: str, meters: float) -> None:
    for more, reason in ((-10, None), (10, Dropped.JUMP)):
        far = later(60, north=(meters + SLACK_METERS + more) / METERS_PER_DEGREE)
        assert judge(KNOWN, far, NOW, vehicle=Vehicle(vehicle))[1] == reason


def test_time_passes_faster_on_a_fast_site() -> None:
    far = later(60, north=0.02)  # 2,224 meters
    assert judge(KNOWN, far, NOW, vehicle=Vehicle.BICYCLE)[1] == Dropped.JUMP
    assert judge(KNOWN, far, NOW, vehicle=Vehicle.BICYCLE, speed=20)[1] is None


def test_a_rider_who_really_is_there_is_believed_again() -> None:
    track, reasons = KNOWN, list[Dropped | None]()
    for number in range(CONSISTENT_FIXES + 1):
        track, why = judge(track, later(1 + number, north=0.5 + number / 10_000), NOW)
        reasons.append(why)
    assert reasons == [Dropped.JUMP] * (CONSISTENT_FIXES - 1) + [None, None]


def test_fixes_that_do_not_agree_are_never_believed() -> None:
    track = KNOWN
    for number in range(3 * CONSISTENT_FIXES):
        track, why = judge(track, later(1 + number, north=1.0 + number % 2), NOW)
        assert (why, track.newest) == (Dropped.JUMP, HERE)
    assert judge(track, track.suspect or HERE, NOW)[1] == Dropped.DUPLICATE
    home, why = judge(track, later(20), NOW)
    assert (home, why) == (Track(later(20)), None)


@given(st.floats(-89.9, 89.9), st.floats(-180, 180))
def test_a_cell_says_no_more_than_its_size(lat: float, lng: float) -> None:
    centre = cell(Point(lat, lng))
    assert cell(centre) == centre
    assert distance_meters(Point(lat, lng), centre) <= CELL_METERS


def test_near_places_are_not_told_apart() -> None:
    centre = cell(HERE.place)
    near = Point(centre.lat + 0.001, centre.lng - 0.001)
    assert cell(near) == centre
    assert cell(Point(centre.lat + 0.005, centre.lng)) != centre
