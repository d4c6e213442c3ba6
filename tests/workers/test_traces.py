"""The trace of a carried order: coarse, sealed, deleted on its day, and only of what is carried."""

import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from domain.geo import Point, distance_meters
from domain.positions import CELL_METERS, Fix, Track, cell
from services import dispatch, loose_ends, personal, traces
from services.db import Database
from services.dispatch import TaskState
from services.positions import store
from tests.zone import City
from workers.traces import Traces

pytestmark = pytest.mark.usefixtures("personal_key")
DAYS = 30
PLACE = Point(31.2345678, 121.4765432)


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id)


async def step(city: City, redis: Redis, at: float) -> None:
    """Rider `a` tells the place at a Unix time, and the relay looks."""
    fix = Fix(PLACE.lat, PLACE.lng, round(at * 1_000))
    await store.write(redis, {(city.site_id, "a"): Track(fix)}, [])
    await Traces(city.database, redis, days=DAYS).once()


async def rows(city: City, task: TaskState) -> list[Any]:
    return await city.all(
        "SELECT * FROM position_traces WHERE order_id = :order ORDER BY at", order=task.order_id
    )


async def trace(city: City, task: TaskState) -> list[tuple[datetime, str, Point]]:
    async with city.database.read() as reader:
        return await traces.of_order(reader, site_id=city.site_id, order_id=task.order_id)


async def test_what_is_carried_is_traced_coarsely_and_now_and_then(
    city: City, valkey_url: str
) -> None:
    matcher, redis = await city.matcher(), store.connect(valkey_url)
    task = await city.assigned(matcher)
    now = time.time()
    await step(city, redis, now - 400)
    assert await rows(city, task) == []

    assert await city.order_does(dispatch.take, task, rider_id="a", token=1)
    counts = []
    for seconds_ago in (300, 300, 100, 1, 0):
        await step(city, redis, now - seconds_ago)
        found = await rows(city, task)
        counts.append(len(found))
    assert counts == [1, 1, 2, 3, 3]
    assert found[0].delete_at == found[0].at + timedelta(days=DAYS)

    [(_, rider_id, place), *_] = await trace(city, task)
    assert (rider_id, place) == ("a", cell(PLACE))
    assert 0 < distance_meters(place, PLACE) <= CELL_METERS
    assert b"31.2" not in found[0].sealed
    await redis.aclose()


async def test_it_ends_with_its_day_or_with_the_rider(city: City, valkey_url: str) -> None:
    matcher, redis = await city.matcher(), store.connect(valkey_url)
    task = await city.picked_up(matcher)
    await step(city, redis, time.time() - 60)
    await step(city, redis, time.time())
    due = text("UPDATE position_traces SET delete_at = now() WHERE order_id = :o AND at = :at")
    [first, _] = await rows(city, task)
    async with city.database.write() as writer:
        await writer.run(due, {"o": task.order_id, "at": first.at})
    async with city.database.write() as writer:
        await loose_ends.forget(writer)
    assert len(await rows(city, task)) == len(await trace(city, task)) == 1

    async with city.database.write() as writer:
        await personal.erase(writer, site_id=city.site_id, subject="rider:a")
    assert await trace(city, task) == []
    await redis.aclose()
