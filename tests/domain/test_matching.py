"""Matching: the nearest free rider first, nobody twice, everybody once before anybody again."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from domain.geo import Point, distance_meters
from domain.matching import Asked, FreeRider, Match, WaitingTask, match

SHOP = Point(31.23, 121.47)
PAUSE_SECONDS = 30.0


def rider(rider_id: str, north: float = 0.0, *, quiet: bool = False) -> FreeRider:
    return FreeRider(rider_id=rider_id, place=Point(SHOP.lat + north, SHOP.lng), quiet=quiet)


def task(task_id: str = "t", **asked: Asked) -> WaitingTask:
    return WaitingTask(task_id=task_id, shop=SHOP, pause_seconds=PAUSE_SECONDS, asked=asked)


def asked(times: int = 1, seconds_ago: float = 0, *, barred: bool = False) -> Asked:
    return Asked(times=times, seconds_ago=seconds_ago, barred=barred)


def test_the_nearest_gets_it() -> None:
    assert match([task()], [rider("far", 0.02), rider("near", 0.01)]) == [Match("t", "near")]


def test_at_the_same_distance_the_smaller_id_gets_it() -> None:
    assert match([task()], [rider("b", 0.01), rider("a", 0.01)]) == [Match("t", "a")]


def test_who_declined_is_skipped_while_others_are_free() -> None:
    riders = [rider("near", 0.01), rider("far", 0.02)]

    assert match([task(near=asked())], riders) == [Match("t", "far")]
    assert match([task(near=asked(seconds_ago=1_000))], riders) == [Match("t", "far")]


def test_when_all_were_asked_they_are_asked_again_after_a_pause() -> None:
    riders = [rider("near", 0.01), rider("far", 0.02)]
    early = task(near=asked(seconds_ago=29), far=asked(seconds_ago=5))
    later = task(near=asked(seconds_ago=30), far=asked(seconds_ago=6))
    second_round = task(near=asked(2, 60), far=asked(1, 60))

    assert match([early], riders) == []
    assert match([later], riders) == [Match("t", "near")]
    assert match([second_round], riders) == [Match("t", "far")]


def test_who_gave_it_back_never_gets_it_again() -> None:
    barred = task(near=asked(seconds_ago=1_000_000, barred=True))

    assert match([barred], [rider("near")]) == []


def test_the_quiet_come_after_those_who_show_life_but_before_those_who_said_no() -> None:
    near, far = rider("near", 0.01, quiet=True), rider("far", 0.02)

    assert match([task()], [near, far]) == [Match("t", "far")]
    assert match([task(far=asked(seconds_ago=60))], [near, far]) == [Match("t", "near")]


def test_tasks_choose_in_their_order_and_share_no_rider() -> None:
    riders = [rider("near", 0.01), rider("far", 0.02)]
    tasks = [task("first"), task("second"), task("third")]

    assert match(tasks, riders) == [Match("first", "near"), Match("second", "far")]


riders = st.lists(
    st.builds(
        FreeRider,
        rider_id=st.text("abcdef", min_size=1, max_size=3),
        place=st.builds(Point, st.floats(31, 32), st.floats(121, 122)),
        quiet=st.booleans(),
    ),
    unique_by=lambda one: one.rider_id,
    max_size=8,
)
tasks = st.lists(
    st.builds(
        WaitingTask,
        task_id=st.text("xyz", min_size=1, max_size=3),
        shop=st.builds(Point, st.floats(31, 32), st.floats(121, 122)),
        pause_seconds=st.just(PAUSE_SECONDS),
        asked=st.dictionaries(
            st.text("abcdef", min_size=1, max_size=2),
            st.builds(
                Asked,
                times=st.integers(1, 3),
                seconds_ago=st.floats(0, 60),
                barred=st.booleans(),
            ),
            max_size=4,
        ),
    ),
    unique_by=lambda one: one.task_id,
    max_size=6,
)


@given(tasks=tasks, riders=riders)
def test_every_choice_keeps_the_rules(tasks: list[WaitingTask], riders: list[FreeRider]) -> None:
    matches = match(tasks, riders)
    by_task = {one.task_id: one for one in tasks}
    by_rider = {one.rider_id: one for one in riders}

    assert len({one.task_id for one in matches}) == len(matches)
    assert len({one.rider_id for one in matches}) == len(matches)
    assert match(tasks, riders[::-1]) == matches
    assert match(tasks, [replace(one) for one in riders]) == matches
    for one in matches:
        history = by_task[one.task_id].asked.get(one.rider_id)
        assert history is None or (not history.barred and history.seconds_ago >= PAUSE_SECONDS)
    if matches:
        first = by_task[matches[0].task_id]
        chosen = by_rider[matches[0].rider_id]
        fresh = [r for r in riders if r.rider_id not in first.asked and not r.quiet]
        nearest = min((distance_meters(r.place, first.shop) for r in fresh), default=None)
        if nearest is not None:
            assert distance_meters(chosen.place, first.shop) == nearest
