"""Grabbing on a real PostgreSQL: who sees what, for how long, and how much one rider may take."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text

from domain.errors import ActionNotAllowed, BoxFull
from services import dispatch, tables
from services.db import Database
from services.dispatch import Matcher, TaskState
from tests.zone import City, no_beat

ROUND = 31
"""Seconds after which one is over."""
MINUTE = 60


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id, rules={"way": "grab", "plan_seconds": 0})


async def change(city: City, statement: str, **values: Any) -> None:
    async with city.database.write() as writer:
        await writer.run(text(statement), values | {"site": city.site_id})


async def seen_by(city: City, rider_id: str) -> dict[str, int]:
    """What a rider may grab now, and under which token."""
    async with city.database.read() as reader:
        work = await dispatch.offers(reader, site_id=city.site_id, rider_id=rider_id)
    return {one.task_id: one.token for one in work.offers}


async def over(city: City, matcher: Matcher, task: TaskState) -> None:
    """The round ends untaken, and the matcher ticks once."""
    await city.pass_time(task, ROUND)
    await matcher.tick(no_beat)


async def test_what_nobody_took_is_seen_again_at_once(database: Database, site_id: str) -> None:
    rules = {"way": "grab", "plan_seconds": 600}
    city = await City.build(database, site_id, rules=rules)
    await city.add_riders("a", "b")
    matcher, task = await city.matcher(), await city.add_task()
    await matcher.tick(no_beat)
    for token in (1, 2, 3):
        for rider_id in ("a", "b"):
            assert await seen_by(city, rider_id) == {task.task_id: token}
        await over(city, matcher, task)
    assert (await city.do(dispatch.claim, task, "b", 4)).state == "assigned"


async def test_who_said_no_to_a_grab_is_left_alone_for_a_while(city: City) -> None:
    await city.add_riders("a", "b")
    matcher, task = await city.matcher(), await city.add_task()
    await matcher.tick(no_beat)
    await city.pass_time(task, ROUND - 10)
    await city.do(dispatch.decline, task, "a", 1)
    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 15)
    await matcher.tick(no_beat)
    assert (await seen_by(city, "a"), await seen_by(city, "b")) == ({}, {task.task_id: 2})


async def test_who_comes_joins_the_open_round_until_its_end(city: City) -> None:
    await city.add_riders("a")
    matcher, task = await city.matcher(), await city.add_task()
    await matcher.tick(no_beat)
    await city.add_riders("b")
    await city.pass_time(task, 10)
    assert [await matcher.tick(no_beat) for _ in range(2)] == [1, 0]
    assert await seen_by(city, "b") == {task.task_id: 1}
    assert await city.told("b") == [("offer.made", 1)]
    ends = await city.all(
        "SELECT DISTINCT expires_at FROM offers WHERE task_id = :task", task=task.task_id
    )
    assert len(ends) == 1
    await city.do(dispatch.claim, task, "b", 1)
    assert await city.event_types(task) == ["delivery.offered", "delivery.assigned"]


async def test_nobody_joins_a_round_that_has_ended(city: City) -> None:
    await city.add_riders("a", "b")
    matcher, task = await city.matcher(), await city.add_task()
    await matcher.offer(task, ["a"], grab=True)
    row = await city.row(task)
    await city.pass_time(task, ROUND)
    await matcher.offer(row, ["b"], grab=True)
    await city.do(dispatch.decline, task, "a", 1)
    await matcher.offer(row, ["b"], grab=True)
    assert (await seen_by(city, "b"), (await city.row(task)).state) == ({}, "searching")


async def test_to_see_grabs_is_no_work(city: City) -> None:
    await city.add_riders("a")
    matcher = await city.matcher()
    first, second = await city.add_task(), await city.add_task()
    await matcher.tick(no_beat)
    third = await city.add_task()
    await matcher.tick(no_beat)
    assert set(await seen_by(city, "a")) == {one.task_id for one in (first, second, third)}


async def test_one_rider_grabs_what_the_box_holds_and_large_things_alone(city: City) -> None:
    await city.add_riders("a", "b")
    matcher = await city.matcher()
    tasks = [await city.add_task() for _ in range(3)]
    await change(city, "UPDATE riders SET room = 5 WHERE site_id = :site")
    await change(city, "UPDATE delivery_tasks SET load = 2 WHERE site_id = :site")
    await matcher.tick(no_beat)
    for task in tasks[:2]:
        await city.do(dispatch.claim, task, "a", 1)
    with pytest.raises(BoxFull) as full:
        await city.do(dispatch.claim, tasks[2], "a", 1)
    assert full.value.data == {"room": 5, "in_hand": 4, "load": 2}
    assert (await city.row(tasks[2])).state == "offered"
    await change(city, "UPDATE delivery_tasks SET load = 9 WHERE site_id = :site")
    assert (await city.do(dispatch.claim, tasks[2], "b", 1)).state == "assigned"


async def test_what_a_plan_knew_of_is_no_reason_to_refuse_and_what_came_since_is(
    database: Database, site_id: str
) -> None:
    city = await City.build(database, site_id)
    await city.add_riders("a")
    matcher = await city.matcher()
    tasks = [await city.add_task() for _ in range(3)]
    await change(city, "UPDATE delivery_tasks SET load = 5 WHERE site_id = :site")
    await matcher.offer(tasks[0], ["a"])
    await city.do(dispatch.claim, tasks[0], "a", 1)
    await matcher.offer(tasks[1], ["a"])
    await matcher.offer(tasks[2], ["a"])
    await city.do(dispatch.claim, tasks[1], "a", 1)
    with pytest.raises(BoxFull):
        await city.do(dispatch.claim, tasks[2], "a", 1)


async def test_what_is_ready_after_the_shift_is_not_shown(city: City) -> None:
    await city.add_riders("a", "b")
    now = datetime.now(UTC)
    shift = {"site_id": city.site_id, "rider_id": "a", "started_at": now}
    async with city.database.write() as writer:
        shift["ends_at"] = now + timedelta(minutes=10)
        await writer.run(insert(tables.shifts).values(**shift))
    soon = await city.add_task(food_ready=5 * MINUTE)
    late = await city.add_task(food_ready=20 * MINUTE)
    await (await city.matcher()).tick(no_beat)
    assert set(await seen_by(city, "a")) == {soon.task_id}
    assert set(await seen_by(city, "b")) == {soon.task_id, late.task_id}


async def test_a_neighbour_s_grab_holds_nobody_until_it_is_taken(city: City) -> None:
    await city.add_riders("a")
    matcher = await city.matcher()
    there = await city.add_task()
    await matcher.tick(no_beat)
    await change(city, "UPDATE delivery_tasks SET zone_id = 'beyond' WHERE site_id = :site")
    here = await city.add_task()
    assert await matcher.tick(no_beat) == 1
    await city.do(dispatch.claim, there, "a", 1)
    with pytest.raises(ActionNotAllowed):
        await city.do(dispatch.claim, here, "a", 1)
