"""Distances on the globe, and what lies inside a delivery area."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.geo import EARTH_RADIUS_METERS, Point, contains, distance_meters

DEGREE_METERS = 111_195
"""A degree of a meridian on a sphere of radius 6,371 km."""
HALF_ROUND_METERS = 20_015_087
SQUARE = (Point(0, 0), Point(0, 10), Point(10, 10), Point(10, 0))
L_SHAPE = (Point(0, 0), Point(0, 10), Point(5, 10), Point(5, 5), Point(10, 5), Point(10, 0))

points = st.builds(Point, st.floats(-90, 90), st.floats(-180, 180))


@pytest.mark.parametrize(
    ("a", "b", "meters"),
    [
        (Point(31, 121), Point(31, 121), 0),
        (Point(31, 121), Point(32, 121), DEGREE_METERS),
        (Point(0, 121), Point(0, 122), DEGREE_METERS),
        (Point(60, 10), Point(60, 11), 55_597),
        (Point(0, 0), Point(0, 180), HALF_ROUND_METERS),
        (Point(90, 0), Point(-90, 77), HALF_ROUND_METERS),
        (Point(0, 179.5), Point(0, -179.5), DEGREE_METERS),
    ],
)
def test_known_distances(a: Point, b: Point, meters: int) -> None:
    assert distance_meters(a, b) == pytest.approx(meters, abs=1)


@given(a=points, b=points, c=points)
def test_distance_is_a_metric(a: Point, b: Point, c: Point) -> None:
    assert distance_meters(a, a) == 0
    assert 0 <= distance_meters(a, b) <= 3.15 * EARTH_RADIUS_METERS
    assert distance_meters(a, b) == distance_meters(b, a)
    # Each leg is rounded to whole meters; near the antipode asin loses some more.
    assert distance_meters(a, c) <= distance_meters(a, b) + distance_meters(b, c) + 3


@pytest.mark.parametrize(
    ("place", "inside"),
    [
        (Point(5, 5), True),
        (Point(0.001, 9.999), True),
        (Point(11, 5), False),
        (Point(-1, 5), False),
        (Point(5, -1), False),
        (Point(5, 11), False),
    ],
)
def test_a_square_holds_what_is_in_it(place: Point, inside: bool) -> None:  # noqa: FBT001
    assert contains(SQUARE, place) is inside
    assert contains(SQUARE[::-1], place) is inside
    assert contains(SQUARE[2:] + SQUARE[:2], place) is inside


def test_a_dent_is_outside() -> None:
    assert contains(L_SHAPE, Point(2, 8))
    assert contains(L_SHAPE, Point(8, 2))
    assert not contains(L_SHAPE, Point(8, 8))


@given(area=st.lists(points, max_size=2), place=points)
def test_fewer_than_three_corners_hold_nothing(area: list[Point], place: Point) -> None:
    assert not contains(area, place)


@given(
    corners=st.tuples(*[st.tuples(st.integers(-80, 80), st.integers(-170, 170))] * 3),
    weights=st.tuples(*[st.integers(1, 20)] * 3),
)
def test_a_triangle_holds_every_mean_of_its_corners(
    corners: tuple[tuple[int, int], ...], weights: tuple[int, ...]
) -> None:
    (ax, ay), (bx, by), (cx, cy) = corners
    if (bx - ax) * (cy - ay) == (cx - ax) * (by - ay):
        return  # the three are on one line
    total = sum(weights)
    place = Point(
        sum(weight * x for weight, (x, _) in zip(weights, corners, strict=True)) / total,
        sum(weight * y for weight, (_, y) in zip(weights, corners, strict=True)) / total,
    )
    assert contains([Point(x, y) for x, y in corners], place)
