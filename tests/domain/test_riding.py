"""A rider's rules: which ways out are open when, and how coarsely an unclaimed place is shown."""

import pytest

from domain.errors import ActionNotAllowed, Invalid
from domain.geo import Point, distance_meters
from domain.riding import (
    DropOff,
    Way,
    area,
    coarse_meters,
    declining,
    ensure_way,
    pause,
    ways,
)

NOTHING: frozenset[Way] = frozenset()
BOTH = frozenset(Way)


@pytest.mark.parametrize(
    ("wish", "unreachable", "waited", "allowed"),
    [
        (DropOff.HAND, False, False, NOTHING),
        (DropOff.HAND, True, False, NOTHING),
        (DropOff.HAND, True, True, BOTH),
        (DropOff.DOOR, False, False, {Way.PHOTO}),
        (DropOff.DOOR, True, True, BOTH),
        (DropOff.RETURN, False, False, NOTHING),
        (DropOff.RETURN, True, False, {Way.RETURN}),
        (DropOff.RETURN, True, True, {Way.RETURN}),
    ],
)
def test_the_ways_out_of_a_silent_door(
    wish: DropOff, *, unreachable: bool, waited: bool, allowed: frozenset[Way]
) -> None:
    assert ways(wish, unreachable=unreachable, waited=waited) == allowed
    for way in Way:
        if way in allowed:
            ensure_way(way, wish, unreachable=unreachable, waited=waited)
            continue
        with pytest.raises(ActionNotAllowed):
            ensure_way(way, wish, unreachable=unreachable, waited=waited)


def test_two_neighbours_look_alike_and_the_shown_place_is_near() -> None:
    here, there = Point(31.2304, 121.4737), Point(31.2349, 121.4791)
    assert area(here) == area(there) == Point(31.235, 121.475)
    assert area(Point(-0.001, -0.001)) == Point(-0.005, -0.005)
    assert distance_meters(here, area(here)) < 800
    assert [coarse_meters(meters) for meters in (0, 1, 100, 101)] == [0, 100, 100, 200]


def test_codes_are_words_of_a_list() -> None:
    assert declining("too_far").bars
    assert not declining("traffic").bars
    assert pause("meal").most_seconds == 2_700
    for rule in (declining, pause):
        with pytest.raises(Invalid):
            rule("because")
