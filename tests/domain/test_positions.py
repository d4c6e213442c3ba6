"""Which fixes are believed, and how much of them is shown to whom."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.eta import Vehicle
from domain.geo import Point, distance_meters
from domain.positions import (
    CELL_METERS,
    CLOCK_SECONDS,
    CONSISTENT_FIXES,
    METERS_PER_DEGREE,
    SLACK_METERS,
    Dropped,
    Fix,
    Track,
    cell,
    judge,
)

NOW = 1_800_000_000_000
HERE = Fix(31.23, 121.47, NOW - 60_000)
KNOWN = Track(HERE, behind_ms=60_000)


def later(seconds: float, *, north: float = 0.0, accuracy_m: float = 0.0) -> Fix:
    """A fix so much after HERE, so many degrees to the north."""
    return Fix(HERE.lat + north, HERE.lng, HERE.at_ms + round(seconds * 1_000), accuracy_m)


@pytest.mark.parametrize(
    ("fix", "reason"),
    [
        (later(10, north=0.001), None),
        (HERE, Dropped.DUPLICATE),
        (later(-1), Dropped.OLD),
        (HERE._replace(at_ms=NOW - CLOCK_SECONDS * 1_000 - 1), Dropped.STALE),
        (HERE._replace(at_ms=NOW + CLOCK_SECONDS * 1_000), None),
        (HERE._replace(at_ms=NOW + CLOCK_SECONDS * 1_000 + 1), Dropped.FUTURE),
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
    assert judge(Track(), HERE, NOW + CLOCK_SECONDS * 1_000)[1] == Dropped.STALE


@pytest.mark.parametrize("wrong_seconds", [-540, -300, 0, 300, 540])
def test_a_phone_whose_clock_is_wrong_is_believed_from_its_first_fix_on(
    wrong_seconds: float,
) -> None:
    """A shift begins by our clock; fixes come by the phone's, and are shown by ours."""
    begun = track = Track(HERE._replace(at_ms=NOW))
    wrong_ms = round(wrong_seconds * 1_000)
    for number in range(1, 4):
        now_ms = NOW + number * 15_000
        taken = Fix(HERE.lat + number / 10_000, HERE.lng, now_ms - 200 + wrong_ms)
        before, (track, why) = track, judge(track, taken, now_ms)
        assert (why, track.newest) == (None, taken)
        assert track.shown == taken._replace(at_ms=now_ms)
        assert judge(track, taken, now_ms)[1] == Dropped.DUPLICATE
        if before is not begun:
            assert judge(track, before.newest or taken, now_ms)[1] == Dropped.OLD


def test_a_shift_that_has_just_begun_is_left_no_faster_than_any_place() -> None:
    begun, minute_later = Track(HERE._replace(at_ms=NOW)), NOW + 60_000
    for meters, reason in ((1_500, None), (1_500 + 2 * SLACK_METERS, Dropped.JUMP)):
        far = Fix(HERE.lat + meters / METERS_PER_DEGREE, HERE.lng, minute_later - 300_000)
        assert judge(begun, far, minute_later)[1] == reason


def test_what_was_late_at_first_is_no_slow_clock() -> None:
    late, soon = later(0), later(70)
    track, _ = judge(judge(Track(), late, NOW)[0], soon, soon.at_ms + 1_000)
    assert track.shown == soon._replace(at_ms=soon.at_ms + 1_000)
    _, why = judge(track, late, NOW + 20_000)
    assert why == Dropped.OLD


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
    assert (home, why) == (Track(later(20), behind_ms=40_000), None)


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
