"""What a zone's rules do on a real PostgreSQL: when, to whom and how many at once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, text

from domain.contracts.dispatch import Zone
from domain.errors import ClaimTaken
from domain.eta import Vehicle, Weather
from domain.geo import Point
from services import dispatch, personal, tables
from services.db import Database
from services.dispatch import Matcher, TaskState, rider_terms
from services.dispatch.rider_terms import RiderTerms
from services.eta.outside import Conditions, Outside
from tests.zone import SHOP_LAT, SHOP_LNG, ZONE_ID, City, no_beat

LATE = {"plan_seconds": 0, "ahead_minutes": 1, "meters_per_minute": 320}
MINUTE = 60
Build = Any


@pytest.fixture
def build(database: Database, site_id: str) -> Build:
    """A maker of the city, under rules."""

    async def make(**rules: Any) -> tuple[City, Matcher]:
        city = await City.build(database, site_id, rules=LATE | rules)
        return city, await city.matcher()

    return make


async def change(city: City, statement: str, **values: Any) -> None:
    async with city.database.write() as writer:
        await writer.run(text(statement), values | {"site": city.site_id})


async def add_shop(city: City, name: str, *, zone_id: str, lat: float) -> None:
    """Another shop on the shop's meridian."""
    shop = {"shop_id": f"{city.shop_id}-{name}", "merchant_id": "merchant", "name": "Soup"}
    shop |= {"site_id": city.site_id, "zone_id": zone_id}
    async with city.database.write() as writer:
        await writer.run(insert(tables.shops).values(**shop, lat=lat, lng=SHOP_LNG))


async def goes_to(city: City, task: TaskState, lat: float) -> None:
    """The order's address, on the shop's meridian."""
    whose = {"site_id": city.site_id, "subject": "customer:customer", "kind": "order"}
    address = {"lat": lat, "lng": SHOP_LNG}
    async with city.database.write() as writer:
        await personal.put(writer, **whose, ref=task.order_id, value={"address": address})


async def offered(city: City, task: TaskState) -> list[str]:
    """Whom the task is open to now."""
    rows = await city.all(
        "SELECT rider_id FROM offers WHERE task_id = :task AND state = 'open' ORDER BY rider_id",
        task=task.task_id,
    )
    return [row.rider_id for row in rows]


async def test_a_rider_is_asked_as_late_as_is_safe(build: Build) -> None:
    city, matcher = await build()
    await city.add_riders("a")
    await city.add_task(food_ready=300 * MINUTE, search=290 * MINUTE)
    assert await matcher.tick(no_beat) == 0
    assert matcher.planner._routes == {}, "wished for much later"
    early = await city.add_task(food_ready=30 * MINUTE)
    assert await matcher.tick(no_beat) == 0
    assert matcher.planner._routes == {"a": ((early.order_id,),)}
    soon = await city.add_task(food_ready=2 * MINUTE)
    assert await matcher.tick(no_beat) == 1
    assert (await offered(city, early), await offered(city, soon)) == ([], ["a"])


class Sky:
    """Who tells the weather, as soon as it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def at(self, place: Point) -> Conditions:
        """A storm, wherever."""
        assert (place.lat, place.lng) == pytest.approx((SHOP_LAT, SHOP_LNG), abs=0.1)
        self.asked += 1
        await self.may_answer.wait()
        return Conditions(weather=Weather.STORM)


async def test_a_storm_sends_riders_earlier_and_no_plan_waits_for_its_news(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.eta.outside.ANSWER_SECONDS", 60.0)
    city, _ = await build()
    sky = Sky()
    matcher = await Matcher.take(city.database, city.zone, city.places, around=Outside(sky))
    assert matcher is not None
    await city.add_riders("a")
    city.riders["a"] = Point(SHOP_LAT + 0.045, SHOP_LNG)  # 15.6 minutes, 25 in a storm
    await city.add_task(food_ready=20 * MINUTE)
    for _ in range(2):
        assert await matcher.tick(no_beat) == 0
    sky.may_answer.set()
    assert await matcher.tick(no_beat) == 1
    assert sky.asked == 1


async def test_at_the_shop_the_bundle_is_settled_once_in_the_order_of_doors(build: Build) -> None:
    city, matcher = await build()
    await city.add_riders("a")
    first = await city.add_task(food_ready=-1)
    await matcher.tick(no_beat)
    await city.do(dispatch.claim, first, "a", 1)
    second = await city.add_task(food_ready=MINUTE)
    assert await matcher.tick(no_beat) == 0
    await city.do(dispatch.arrive_store, first, "a", 1)
    assert await matcher.tick(no_beat) == 2
    assert await offered(city, second) == ["a"]
    await city.do(dispatch.claim, second, "a", 1)
    assert await matcher.tick(no_beat) == 0
    rows = [await city.row(one) for one in (first, second)]
    assert [row.settled for row in rows] == [True, True]
    assert {row.stop for row in rows} == {0, 1}
    assert ("task.settled", 1) in await city.told("a")


async def test_orders_of_near_shops_go_along_before_the_first_door(
    build: Build, personal_key: str
) -> None:
    assert personal_key
    city, matcher = await build(near_minutes=5)
    await city.add_riders("a")
    await add_shop(city, "2", zone_id=ZONE_ID, lat=SHOP_LAT + 0.005)
    first = await city.add_task(food_ready=-1)
    await goes_to(city, first, SHOP_LAT + 0.03)
    await matcher.tick(no_beat)
    await city.do(dispatch.claim, first, "a", 1)
    await city.do(dispatch.arrive_store, first, "a", 1)
    second = await city.add_task(food_ready=MINUTE)
    await goes_to(city, second, SHOP_LAT + 0.031)
    await change(
        city,
        "UPDATE delivery_tasks SET shop_id = :shop_id WHERE task_id = :task_id",
        shop_id=f"{city.shop_id}-2",
        task_id=second.task_id,
    )
    assert await matcher.tick(no_beat) == 2
    assert await offered(city, second) == ["a"]
    await city.do(dispatch.claim, second, "a", 1)
    assert await city.order_does(dispatch.take, first, rider_id="a", token=1)
    third = await city.add_task(food_ready=-1)
    assert await matcher.tick(no_beat) == 0
    assert await offered(city, third) == []
    assert [(await city.row(one)).settled for one in (first, second)] == [True, True]


async def test_a_box_holds_what_it_holds(build: Build) -> None:
    city, matcher = await build()
    await city.add_riders("a")
    await change(city, "UPDATE riders SET room = 2 WHERE site_id = :site")
    first, second = await city.add_task(food_ready=-1), await city.add_task(food_ready=-1)
    await change(city, "UPDATE delivery_tasks SET load = 2 WHERE site_id = :site")
    await matcher.tick(no_beat)
    taken, other = (first, second) if await offered(city, first) else (second, first)
    await city.do(dispatch.claim, taken, "a", 1)
    await city.do(dispatch.arrive_store, taken, "a", 1)
    await matcher.tick(no_beat)
    assert await offered(city, other) == []


async def test_the_idle_wait_where_work_is_expected_and_are_told_once(build: Build) -> None:
    city, matcher = await build()
    await city.add_riders("a")
    city.riders["a"] = Point(SHOP_LAT + 0.03, SHOP_LNG)
    for _ in range(3):
        done = await city.add_task()
        await change(city, "UPDATE delivery_tasks SET state = 'closed' WHERE site_id = :site")
        assert done
    matcher = await city.matcher()
    await matcher.tick(no_beat)
    await matcher.tick(no_beat)
    rows = await city.all(
        "SELECT message FROM outbox WHERE site_id = :site AND message->>'type' = 'standby'",
        site=city.site_id,
    )
    told = [(row.message["rider_id"], row.message["shop_id"], row.message["lat"]) for row in rows]
    assert told == [("a", city.shop_id, SHOP_LAT)]


async def test_what_may_be_grabbed_is_seen_by_all_who_may_and_has_one_winner(build: Build) -> None:
    city, matcher = await build(way="grab")
    await city.add_riders("a", "b", "c", "d")
    await change(city, "UPDATE riders SET skills = '[\"car\"]' WHERE site_id = :site")
    await change(city, "UPDATE riders SET skills = '[]' WHERE site_id = :site AND rider_id = 'c'")
    blocked = {"site_id": city.site_id, "rider_id": "d", "other": f"shop:{city.shop_id}"}
    async with city.database.write() as writer:
        await writer.run(insert(tables.blocked_pairs).values(**blocked))
    task = await city.add_task(food_ready=30 * MINUTE)
    await change(city, "UPDATE delivery_tasks SET needs = '[\"car\"]' WHERE site_id = :site")
    assert await matcher.tick(no_beat) == 1
    assert await offered(city, task) == ["a", "b"]
    answers = await asyncio.gather(
        *(city.do(dispatch.claim, task, one, 1) for one in ("a", "b")), return_exceptions=True
    )
    assert sorted(type(one) for one in answers if isinstance(one, Exception)) == [ClaimTaken]
    assert (await city.row(task)).state == "assigned"


async def test_what_nobody_was_found_for_may_be_grabbed_after_a_while(build: Build) -> None:
    city, matcher = await build(way="both", grab_after_seconds=60)
    await city.add_riders("a", "b")
    task = await city.add_task(food_ready=-1)
    await matcher.tick(no_beat)
    [first] = await offered(city, task)
    await city.do(dispatch.decline, task, first, 1)
    await matcher.tick(no_beat)
    [second] = await offered(city, task)
    assert {first, second} == {"a", "b"}
    await city.do(dispatch.decline, task, second, 2)
    await city.pass_time(task, 61)
    await matcher.tick(no_beat)
    assert await offered(city, task) == ["a", "b"]


async def test_a_search_goes_farther_and_pays_more(build: Build) -> None:
    steps = [{"after_seconds": 0, "radius_meters": 500, "bonus_fen": 0}]
    steps.append({"after_seconds": 120, "radius_meters": 5_000, "bonus_fen": 300})
    city, matcher = await build(steps=steps)
    await city.add_riders("a")
    city.riders["a"] = Point(SHOP_LAT + 0.03, SHOP_LNG)
    task = await city.add_task(food_ready=-1)
    assert await matcher.tick(no_beat) == 0
    await city.pass_time(task, 121)
    assert await matcher.tick(no_beat) == 1
    assert (await city.row(task)).bonus_fen == 300


async def test_at_the_border_of_two_zones_a_rider_is_asked_by_one(build: Build) -> None:
    city, here = await build(late=False, neighbours=["beyond"])
    beyond = {"site_id": city.site_id, "zone_id": "beyond"}
    rules = LATE | {"late": False, "neighbours": [ZONE_ID]}
    async with city.database.write() as writer:
        await writer.run(insert(tables.zones).values(**beyond, rules=rules))
    await add_shop(city, "2", zone_id="beyond", lat=SHOP_LAT)
    there = await Matcher.take(city.database, Zone(**beyond), city.places)
    assert there
    await city.add_riders(*(f"r{number}" for number in range(5)))
    zones: set[str] = set()
    for _ in range(10):
        tasks = [await city.add_task() for _ in range(10)]
        moved = {"zone": "beyond", "tasks": [one.task_id for one in tasks[::2]]}
        await change(
            city,
            "UPDATE delivery_tasks SET zone_id = :zone WHERE site_id = :site"
            " AND task_id = ANY(:tasks)",
            **moved,
        )
        await asyncio.gather(here.tick(no_beat), there.tick(no_beat))
        asking = await city.all(
            "SELECT t.zone_id FROM offers f JOIN delivery_tasks t USING (task_id)"
            " WHERE f.site_id = :site AND f.state = 'open'",
            site=city.site_id,
        )
        assert asking, "nobody was asked"
        zones |= {row.zone_id for row in asking}
        twice = await city.all(
            "SELECT rider_id FROM offers WHERE site_id = :site AND state = 'open'"
            " GROUP BY rider_id HAVING count(*) > 1",
            site=city.site_id,
        )
        assert twice == []
        await change(city, "UPDATE offers SET state = 'withdrawn' WHERE site_id = :site")
        await change(city, "UPDATE delivery_tasks SET state = 'closed' WHERE site_id = :site")
    assert zones == {ZONE_ID, "beyond"}


async def test_who_walks_takes_longer_than_who_rides(build: Build) -> None:
    city, matcher = await build(late=False)
    await city.add_riders("walks", "rides")
    city.riders["walks"] = Point(SHOP_LAT + 0.005, SHOP_LNG)
    city.riders["rides"] = Point(SHOP_LAT + 0.008, SHOP_LNG)
    await on(city, "walks", Vehicle.ON_FOOT)
    task = await city.add_task(food_ready=-1)
    assert await matcher.tick(no_beat) == 1
    assert await offered(city, task) == ["rides"]
    await city.do(dispatch.decline, task, "rides", 1)
    await matcher.tick(no_beat)
    assert await offered(city, task) == ["walks"]


async def test_what_needs_a_car_goes_by_car(build: Build) -> None:
    city, matcher = await build(late=False)
    await city.add_riders("bike", "car")
    await on(city, "car", Vehicle.CAR)
    task = await city.add_task(food_ready=-1)
    await change(city, "UPDATE delivery_tasks SET needs = '[\"car\"]' WHERE site_id = :site")
    assert await matcher.tick(no_beat) == 1
    assert await offered(city, task) == ["car"]


async def on(city: City, rider_id: str, vehicle: Vehicle) -> None:
    """Operations settle what the rider rides."""
    terms = RiderTerms(zone_id=ZONE_ID, vehicle=vehicle)
    async with city.database.write() as writer:
        await rider_terms.set_terms(writer, terms, site_id=city.site_id, rider_id=rider_id)


async def test_who_stands_before_ready_food_in_nobodys_plan_hears_that_nothing_comes(
    build: Build,
) -> None:
    city, matcher = await build()
    await city.add_riders("a")
    task = await city.add_task(food_ready=-1)
    await matcher.tick(no_beat)
    await city.do(dispatch.claim, task, "a", 1)
    await city.do(dispatch.arrive_store, task, "a", 1)
    await change(city, "UPDATE orders SET kitchen = 'ready' WHERE site_id = :site")
    del city.riders["a"]  # the phone tells no place any more
    assert await matcher.tick(no_beat) == 1
    assert ("task.settled", 1) in await city.told("a")
    assert await matcher.tick(no_beat) == 0


async def test_of_two_alike_the_one_who_has_had_less_is_asked(build: Build) -> None:
    city, matcher = await build(late=False)
    await city.add_riders("a", "b")
    city.riders["b"] = city.riders["a"]
    await change(
        city,
        "INSERT INTO shifts (site_id, rider_id, started_at)"
        " SELECT site_id, rider_id, now() - interval '2 hours' FROM riders WHERE site_id = :site",
    )
    for _ in range(3):
        await city.add_task()
    await change(
        city,
        "UPDATE delivery_tasks SET state = 'delivered', rider_id = 'a', delivered_at = now()"
        " WHERE site_id = :site",
    )
    task = await city.add_task(food_ready=-1)
    assert await matcher.tick(no_beat) == 1
    assert await offered(city, task) == ["b"]
