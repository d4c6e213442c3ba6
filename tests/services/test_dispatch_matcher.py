"""The matcher on a real PostgreSQL: offers are fenced, silence has an end."""

import pytest

from domain.errors import ClaimTaken, NotFound
from services import dispatch, events
from services.db import Database
from services.dispatch import Matcher, Superseded
from tests.zone import City, no_beat


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id)


async def test_the_nearest_free_rider_gets_the_only_offer(city: City) -> None:
    await city.add_riders("near", "far")
    task = await city.add_task()
    matcher = await city.matcher()

    assert await matcher.tick(no_beat) == 1
    assert await matcher.tick(no_beat) == 0

    row = await city.row(task)
    assert (row.state, row.token, row.rider_id) == ("offered", 1, "")
    assert await city.told("near") == [("offer.made", 1)]
    assert await city.told("far") == []
    assert await city.event_types(task) == ["delivery.offered"]


async def test_a_task_waits_for_its_search_to_begin(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task(search=60)
    matcher = await city.matcher()

    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 61)
    assert await matcher.tick(no_beat) == 1


async def test_food_ready_early_begins_the_search_with_its_whole_patience(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task(search=600, support=1_800, give_up=2_400)

    await city.order_does(dispatch.food_is_ready, task)

    row = await city.row(task)
    assert (row.give_up_at - row.search_from).total_seconds() == 1_800
    assert (row.support_at - row.search_from).total_seconds() == 1_200
    assert await (await city.matcher()).tick(no_beat) == 1


async def test_two_tasks_share_no_rider(city: City) -> None:
    await city.add_riders("a")
    first, second = await city.add_task(search=-1), await city.add_task()
    matcher = await city.matcher()

    await matcher.tick(no_beat)
    assert ((await city.row(first)).state, (await city.row(second)).state) == (
        "offered",
        "searching",
    )
    await city.do(dispatch.claim, first, "a", 1)
    assert await matcher.tick(no_beat) == 0


async def test_an_unanswered_offer_goes_to_the_next_rider_and_back_after_a_pause(
    city: City,
) -> None:
    await city.add_riders("near", "far")
    task = await city.add_task()
    matcher = await city.matcher()
    await matcher.tick(no_beat)
    for _ in range(2):
        await city.pass_time(task, 31)
        await matcher.tick(no_beat)

    assert (await city.told("near"))[:2] == [("offer.made", 1), ("offer.withdrawn", 1)]
    assert await city.told("far") == [("offer.made", 2), ("offer.withdrawn", 2)]
    assert (await city.told("near"))[2:] == [("offer.made", 3)]
    assert await city.event_types(task) == [
        "delivery.offered",
        "delivery.searching",
        "delivery.offered",
        "delivery.searching",
        "delivery.offered",
    ]


async def test_a_declined_offer_goes_on_at_once(city: City) -> None:
    await city.add_riders("near", "far")
    task = await city.add_task()
    matcher = await city.matcher()
    await matcher.tick(no_beat)

    declined = await city.do(dispatch.decline, task, "near", 1)
    again = await city.do(dispatch.decline, task, "near", 1)
    await matcher.tick(no_beat)

    assert (declined.state, again) == ("searching", declined)
    assert await city.told("far") == [("offer.made", 2)]
    with pytest.raises(ClaimTaken):
        await city.do(dispatch.claim, task, "near", 1)
    with pytest.raises(NotFound):
        await city.do(dispatch.decline, task, "stranger", 2)


async def test_riders_off_shift_or_without_a_place_are_not_asked(city: City) -> None:
    await city.add_riders("off", "nowhere")
    await city.add_task()
    async with city.database.write() as writer:
        await writer.connection.exec_driver_sql(
            "UPDATE riders SET on_shift = rider_id <> 'off' WHERE site_id = %s", (city.site_id,)
        )
    del city.riders["nowhere"]

    assert await (await city.matcher()).tick(no_beat) == 0


async def test_support_is_asked_once_and_the_order_is_told_once(city: City) -> None:
    task = await city.add_task(support=10, give_up=20)
    matcher = await city.matcher()

    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 11)
    assert [await matcher.tick(no_beat) for _ in range(2)] == [1, 0]
    await city.pass_time(task, 10)
    assert [await matcher.tick(no_beat) for _ in range(2)] == [1, 0]
    await city.add_riders("late")
    assert await matcher.tick(no_beat) == 0

    order = {"order_id": task.order_id}
    notes = await city.all("SELECT kind FROM order_timeline WHERE order_id = :order_id", **order)
    told = await city.all(
        "SELECT workflow_id, name, body FROM facts WHERE order_id = :order_id", **order
    )
    assert await city.tickets(task) == ["no_rider_yet"]
    assert [one.kind for one in notes] == ["support_asked.no_rider_yet"]
    assert [tuple(one) for one in told] == [
        (f"order/{task.order_id}", "no_rider", {"task_id": task.task_id})
    ]


async def test_nobody_is_given_up_while_support_holds(city: City) -> None:
    task = await city.add_task(support=10, give_up=20)
    matcher = await city.matcher()
    before = await city.row(task)
    await city.order_does(dispatch.hold, task)
    await city.order_does(dispatch.hold, task)
    await city.pass_time(task, 60)
    assert await matcher.tick(no_beat) == 0

    await city.order_does(dispatch.release, task)
    await city.order_does(dispatch.release, task)

    after = await city.row(task)
    shifted = (after.give_up_at - before.give_up_at).total_seconds()
    assert after.held_at is None
    assert 0 <= shifted < 5
    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 30)
    assert await matcher.tick(no_beat) == 1


async def test_an_assigned_rider_who_goes_silent_is_replaced(city: City) -> None:
    matcher = await city.matcher()
    task = await city.assigned(matcher)
    await city.pass_time(task, 170)
    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 11)

    assert await matcher.tick(no_beat) == 2

    row = await city.row(task)
    assert (row.state, row.rider_id, row.token) == ("offered", "", 3)
    assert (await city.event_types(task))[-2:] == ["delivery.reassigned", "delivery.offered"]
    assert (await city.told("b"))[-1] == ("offer.made", 3)
    with pytest.raises(ClaimTaken):
        await city.do(dispatch.arrive_store, task, "a", 1)


async def test_a_tap_is_a_sign_of_life(city: City) -> None:
    matcher = await city.matcher()
    task = await city.assigned(matcher)
    await city.pass_time(task, 179)
    await city.do(dispatch.arrive_store, task, "a", 1)
    await city.pass_time(task, 10)

    assert await matcher.tick(no_beat) == 0


async def test_after_pickup_a_silent_rider_is_a_ticket_once(city: City) -> None:
    matcher = await city.matcher()
    task = await city.picked_up(matcher)
    await city.pass_time(task, 181)

    assert [await matcher.tick(no_beat) for _ in range(2)] == [1, 0]

    assert await city.tickets(task) == ["rider_silent"]
    assert (await city.row(task)).state == "picked_up"


async def test_an_older_matcher_is_fenced_off(city: City) -> None:
    await city.add_riders("a")
    task = await city.add_task()
    old = await city.matcher()
    new = await city.matcher()

    with pytest.raises(Superseded):
        await old.tick(no_beat)
    with pytest.raises(Superseded):
        await old.offer(task, ["a"])
    assert (await city.row(task)).state == "searching"
    assert await new.tick(no_beat) == 1


async def test_an_order_that_somebody_holds_stops_no_other(city: City) -> None:
    await city.add_riders("a", "b")
    stuck, free = await city.add_task(search=-1), await city.add_task()
    matcher = await city.matcher()

    async with city.database.write() as writer:
        await events.lock(writer, stuck.order_id)
        await matcher.tick(no_beat)

    assert (await city.row(stuck)).state == "searching"
    assert (await city.row(free)).state == "offered"
    await matcher.tick(no_beat)
    assert (await city.row(stuck)).state == "offered"


async def test_a_zone_that_is_no_more_has_no_matcher(city: City) -> None:
    matcher = await city.matcher()
    async with city.database.write() as writer:
        await writer.connection.exec_driver_sql(
            "DELETE FROM zones WHERE site_id = %s", (city.site_id,)
        )

    assert await Matcher.take(city.database, city.zone, city.places) is None
    with pytest.raises(Superseded):
        await matcher.tick(no_beat)


async def test_every_zone_is_listed(city: City) -> None:
    async with city.database.read() as reader:
        assert city.zone in await dispatch.zones(reader)
