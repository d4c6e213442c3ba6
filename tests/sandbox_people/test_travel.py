"""Straight rides: distances agree with the platform's, positions lie on the line and in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.geo import Point, distance_meters
from sandbox.people.habits import Place
from sandbox.people.riders import POSITIONS_MAX, Track
from sandbox.people.travel import meters_between, ride, standing

HOME = Place(lat=30.25, lng=120.15)
near = st.builds(
    Place, lat=st.floats(min_value=30.2, max_value=30.3), lng=st.floats(120.1, max_value=120.2)
)


@given(near, near)
def test_distances_agree_with_the_platforms(a: Place, b: Place) -> None:
    theirs = distance_meters(Point(a.lat, a.lng), Point(b.lat, b.lng))
    assert meters_between(a, b) == pytest.approx(theirs, rel=1e-3, abs=1)


def test_a_ride_takes_its_time_and_stays_on_the_line() -> None:
    north = Place(lat=HOME.lat + 0.01, lng=HOME.lng)
    leg = ride(HOME, north, begins=100, meters_per_second=10)
    assert leg.ends - 100 == pytest.approx(111.19, abs=0.1)
    assert leg.at(0) == HOME
    assert leg.at(leg.ends + 1) == north
    halfway = leg.at((leg.begins + leg.ends) / 2)
    assert halfway.lat == pytest.approx(HOME.lat + 0.005)
    assert halfway.lng == HOME.lng


def test_a_ride_of_no_length_is_over_at_once() -> None:
    leg = ride(HOME, HOME, begins=5, meters_per_second=10)
    assert leg.ends == 5
    assert leg.at(5) == HOME


def test_positions_fill_the_time_since_the_last_report_and_are_bounded() -> None:
    track = Track(standing(HOME), reported_at=100.0)
    first = track.positions(101.0, 0.25)
    assert len(first) == 4
    assert [one["at"] for one in first] == sorted(one["at"] for one in first)
    assert track.reported_at == 101.0
    assert len(track.positions(101.1, 0.25)) == 1
    assert len(track.positions(10_000.0, 0.25)) <= POSITIONS_MAX
