"""Who may be asked for a task, and a zone's rules."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.geo import Point
from domain.matching import Asked, Candidate, Step, WaitingTask, Way, ZoneRules, barring, not_by

SHOP, HOME = Point(31.23, 121.47), Point(31.24, 121.48)
RULES = ZoneRules()
RIDERS = ("a", "b", "c")


def rider(rider_id: str, north: float = 0, **more: Any) -> Candidate:
    return Candidate(rider_id=rider_id, place=Point(SHOP.lat + north, SHOP.lng), **more)


def crew(**more: Any) -> list[Candidate]:
    return [rider(rider_id, **more.get(rider_id, {})) for rider_id in RIDERS]


def left(riders: list[Candidate], rules: ZoneRules = RULES, **task: Any) -> set[str]:
    """Who may be asked."""
    waiting = WaitingTask(shop=SHOP, dropoff=HOME, pause_seconds=30, **task)
    return {one.rider_id for one in riders} - not_by(waiting, riders, rules)


def asked(times: int, seconds_ago: float = 60, *, barred: bool = False) -> Asked:
    return Asked(times=times, seconds_ago=seconds_ago, barred=barred)


def test_everybody_may_be_asked_for_what_needs_nothing() -> None:
    assert left(crew()) == {*RIDERS}


def test_nobody_is_asked_twice_before_everybody_free_was_asked_once() -> None:
    assert left(crew(), asked={"a": asked(1)}) == {"b", "c"}
    assert left(crew(), asked={"a": asked(2), "b": asked(1), "c": asked(2)}) == {"b"}
    assert left(crew(b={"free": False}, c={"free": False}), asked={"a": asked(1)}) == {*RIDERS}


def test_who_was_asked_just_now_rests_and_who_gave_it_back_never_has_it_again() -> None:
    assert left(crew(), asked={"a": asked(0, 29), "b": asked(0, barred=True)}) == {"c"}
    assert left([rider("a")], asked={"a": asked(3, 31)}) == {"a"}


def test_the_quiet_come_last() -> None:
    assert left(crew(a={"quiet": True}, b={"quiet": True})) == {"c"}
    assert left(crew(**{one: {"quiet": True} for one in RIDERS})) == {*RIDERS}


def test_skills_value_area_and_likings_decide_who_may() -> None:
    skilled = crew(a={"skills": frozenset({"cold_box", "car"})})
    assert left(skilled, needs=frozenset({"cold_box"})) == {"a"}
    assert left(crew(b={"probation": True}), value_fen=RULES.probation_fen + 1) == {"a", "c"}
    assert left(crew(b={"probation": True}), value_fen=RULES.probation_fen) == {*RIDERS}
    assert left(crew(), blocked=frozenset({"c"})) == {"a", "b"}
    west = (Point(31, 121), Point(32, 121), Point(32, 121.475), Point(31, 121.475))
    assert left(crew(a={"area": west})) == {"b", "c"}


def test_too_small_a_box_gets_what_no_larger_one_may_have() -> None:
    boxes = {"a": {"room": 5}, "b": {"room": 6}, "c": {"room": 7}}
    assert left(crew(**boxes), load=5) == {*RIDERS}
    assert left(crew(**boxes), load=6) == {"b", "c"}
    assert left(crew(**boxes), load=7, blocked=frozenset({"c"})) == {"a", "b"}
    busy = boxes | {"c": {"room": 7, "free": False}}
    assert left(crew(**busy), load=7) == {*RIDERS}, "nobody's order waits for a box"


def test_nothing_is_taken_after_a_shift() -> None:
    ending = crew(a={"ends_seconds": 60}, b={"ends_seconds": -60})
    assert left(ending, ready_seconds=60) == {"a", "c"}
    assert left(ending, ready_seconds=61) == {"c"}
    assert left(ending, ready_seconds=-90) == {"a", "c"}


def test_a_search_goes_farther_for_more_from_step_to_step() -> None:
    steps = [{"after_seconds": 300, "radius_meters": 5_000, "bonus_fen": 200}]
    steps.append({"after_seconds": 0, "radius_meters": 500, "bonus_fen": 0})
    rules = ZoneRules.of({"steps": steps})
    far = [rider("near"), rider("far", 0.01), rider("away", 0.1)]
    assert left(far, rules, searched_seconds=10) == {"near"}
    assert left(far, rules, searched_seconds=300) == {"near", "far"}
    assert rules.step(-5) == Step(after_seconds=0, radius_meters=500)
    assert rules.step(301) == Step(after_seconds=300, radius_meters=5_000, bonus_fen=200)
    assert RULES.step(1e6) is None


@pytest.mark.parametrize(
    ("way", "at_once", "later"),
    [("dispatch", False, False), ("grab", True, True), ("both", False, True)],
)
def test_a_zone_dispatches_or_lets_grab_or_first_this_then_that(
    way: str, *, at_once: bool, later: bool
) -> None:
    rules = ZoneRules.of({"way": way, "grab_after_seconds": 60})
    assert rules.way is Way(way)
    assert (rules.is_open_to_all(59), rules.is_open_to_all(60)) == (at_once, later)


def test_rules_that_there_are_not_are_refused() -> None:
    for told in ({"colour": "red"}, {"way": "shout"}, {"steps": [{"radius_meters": 1}]}):
        with pytest.raises((TypeError, ValueError)):
            ZoneRules.of(told)


NORTH = st.sampled_from([0.0, 0.02, 0.05])
WEST = (Point(31, 121), Point(32, 121), Point(32, 121.475), Point(31, 121.475))
NEEDS = st.frozensets(st.sampled_from(["car", "cold_box"]))
CANDIDATES = st.builds(
    Candidate,
    rider_id=st.sampled_from("abcdef"),
    place=NORTH.map(lambda north: Point(SHOP.lat + north, SHOP.lng)),
    free=st.booleans(),
    pausing=st.booleans(),
    quiet=st.booleans(),
    skills=NEEDS,
    area=st.sampled_from([(), WEST]),
    probation=st.booleans(),
    room=st.integers(1, 3),
    ends_seconds=st.sampled_from([-1, 60, math.inf]),
)
PAST = st.builds(
    Asked,
    times=st.integers(0, 2),
    seconds_ago=st.sampled_from([10, 60]),
    barred=st.booleans(),
)
TASKS = st.builds(
    WaitingTask,
    shop=NORTH.map(lambda north: Point(SHOP.lat + north, SHOP.lng)),
    dropoff=st.sampled_from([SHOP, HOME]),
    pause_seconds=st.just(30),
    searched_seconds=st.sampled_from([0, 100, 300]),
    value_fen=st.sampled_from([0, RULES.probation_fen + 1]),
    load=st.integers(1, 3),
    ready_seconds=st.sampled_from([-10, 30, 90]),
    needs=NEEDS,
    asked=st.dictionaries(st.sampled_from("abcdefg"), PAST, max_size=3),
    blocked=st.frozensets(st.sampled_from("abcdefg"), max_size=2),
)
MANY_RULES = st.builds(
    ZoneRules,
    way=st.sampled_from(Way),
    steps=st.sampled_from([(), (Step(after_seconds=0, radius_meters=3_000),)]),
)


@given(
    st.lists(CANDIDATES, unique_by=lambda one: one.rider_id, max_size=6),
    st.lists(TASKS, max_size=5),
    MANY_RULES,
)
def test_who_is_barred_from_many_tasks_is_as_from_each(
    riders: list[Candidate], tasks: list[WaitingTask], rules: ZoneRules
) -> None:
    barred_from = barring(riders, rules)
    for task in tasks:
        assert barred_from(task) == not_by(task, riders, rules)
