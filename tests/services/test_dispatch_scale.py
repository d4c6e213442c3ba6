"""A zone larger than one plan, on a real PostgreSQL; and a matcher that lives while it plans."""

import asyncio
import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from domain.geo import Point
from domain.planning import cells
from domain.planning.arrays import Plan, Scratch, World
from domain.planning.tick import PLAIN, Engine
from services import tables
from services.db import Database
from services.dispatch import Matcher, Superseded
from services.dispatch.kernel import ENGINE
from tests.zone import SHOP_LAT, SHOP_LNG, ZONE_ID, City, no_beat

RIDERS, TASKS, SHOPS = 1_200, 800, 400
TICKS = 4
PATIENCE_SECONDS = 20


class Slow:
    """A search that takes until somebody lets it go."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.in_time = True

    def improve(self, world: World, plan: Plan, scratch: Scratch, rounds: int) -> None:
        """As it is written, but later."""
        self.in_time = self.may_end.wait(PATIENCE_SECONDS)
        PLAIN.improve(world, plan, scratch, rounds)


async def slow_city(database: Database, site_id: str) -> tuple[City, Matcher, Slow]:
    """A rider, a task, and a matcher whose plans take long."""
    city, slow = await City.build(database, site_id), Slow()
    engine = Engine(slow.improve, PLAIN.send)
    matcher = await Matcher.take(database, city.zone, city.places, engine)
    assert matcher is not None
    await city.add_riders("a")
    return city, matcher, slow


async def test_heartbeats_go_on_while_a_plan_is_made(database: Database, site_id: str) -> None:
    city, matcher, slow = await slow_city(database, site_id)
    task = await city.add_task()
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats > 2:  # the first is of what is due, before the plan
            slow.may_end.set()

    assert await matcher.tick(beat) == 1
    assert slow.in_time
    assert (await city.row(task)).state == "offered"


async def test_who_loses_the_zone_in_mid_plan_writes_nothing(
    database: Database, site_id: str
) -> None:
    city, matcher, slow = await slow_city(database, site_id)
    task = await city.add_task()
    planning = asyncio.Event()
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1
        if beats > 1:  # the first is of what is due, before the plan
            planning.set()

    tick = asyncio.create_task(matcher.tick(beat))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await planning.wait()
    await city.matcher()
    slow.may_end.set()
    with pytest.raises(Superseded):
        await tick
    assert (await city.row(task)).state == "searching"


async def crowded(database: Database, site_id: str) -> City:
    """A city of several cells: enough riders everywhere, who carry one order at a time."""
    city = await City.build(database, site_id)
    now = datetime.now(UTC)
    later = now + timedelta(hours=1)
    site = {"site_id": site_id}
    shops = [
        {
            **site,
            "shop_id": f"{site_id}-{n}",
            "merchant_id": "merchant",
            "zone_id": ZONE_ID,
            "name": "Noodles",
            "lat": SHOP_LAT + n // 20 / 200,
            "lng": SHOP_LNG + n % 20 / 200,
        }
        for n in range(SHOPS)
    ]
    for n in range(RIDERS):
        at = shops[n % SHOPS]
        city.riders[f"r{n:04}"] = Point(at["lat"] + 0.001, at["lng"])
    riders = [
        {**site, "rider_id": name, "zone_id": ZONE_ID, "on_shift": True, "seen_at": now, "room": 1}
        for name in city.riders
    ]
    streams, orders, tasks = [], [], []
    for n in range(TASKS):
        order_id = uuid.uuid4().hex[:26]
        shop = {"shop_id": shops[n % SHOPS]["shop_id"], "order_id": order_id, **site}
        whose = {"customer_id": "customer", "merchant_id": "merchant"}
        streams.append({**shop, **whose})
        orders.append({**city.order(now), **shop, **whose})
        tasks.append(
            {
                **shop,
                "task_id": f"task-{order_id}",
                "zone_id": ZONE_ID,
                "state": "searching",
                "offer_seconds": 600,
                "rider_silence_seconds": 600,
                "food_ready_at": now,
                "search_from": now,
                "support_at": later,
                "give_up_at": later,
                "promised_at": later,
            }
        )
    async with database.write() as writer:
        await writer.run(insert(tables.shops), shops)
        await writer.run(insert(tables.riders), riders)
        await writer.run(insert(tables.order_streams), streams)
        await writer.run(insert(tables.orders), orders)
        await writer.run(insert(tables.delivery_tasks), tasks)
    return city


async def test_a_zone_of_many_cells_offers_everything_once(
    database: Database, site_id: str
) -> None:
    assert min(RIDERS, TASKS) > cells.CELL_MAX
    city = await crowded(database, site_id)
    matcher = await Matcher.take(database, city.zone, city.places, ENGINE)
    assert matcher is not None
    for _ in range(TICKS):
        await matcher.tick(no_beat)
    states = await city.all(
        "SELECT state, count(*) AS tasks FROM delivery_tasks WHERE site_id = :site GROUP BY state",
        site=site_id,
    )
    assert [tuple(row) for row in states] == [("offered", TASKS)]
    offers = await city.all(
        "SELECT count(*) AS offers, count(DISTINCT task_id) AS tasks,"
        " count(DISTINCT rider_id) AS riders FROM offers WHERE site_id = :site",
        site=site_id,
    )
    assert (offers[0].offers, offers[0].tasks) == (TASKS, TASKS)
