"""The matcher's activity: beats with each round, ends with its zone, stops when superseded."""

import asyncio
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from sqlalchemy import delete
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.dispatch import DispatchActs
from domain.contracts.dispatch import Stopped
from services import tables
from services.db import Database
from tests.zone import City

PATIENCE_SECONDS = 10
HEARTBEAT_GAP_MAX_SECONDS = 1.0
"""Half the heartbeat timeout."""


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await City.build(database, site_id, speed=10)


async def test_it_offers_beats_and_is_superseded_by_the_next_attempt(city: City) -> None:
    await city.add_riders("a", "b")
    acts, beats = DispatchActs(city.database, city.places), list[datetime]()
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: beats.append(datetime.now(UTC))
    old = asyncio.create_task(environment.run(acts.match, city.zone))
    first = await city.add_task()
    await city.until(first, "offered")
    await asyncio.sleep(0.5)
    gaps = [after - before for before, after in pairwise(beats)]
    assert len(beats) >= 3
    assert max(gaps).total_seconds() < HEARTBEAT_GAP_MAX_SECONDS

    new = asyncio.create_task(ActivityEnvironment().run(acts.match, city.zone))
    with pytest.raises(ApplicationError) as superseded:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await old
    assert not superseded.value.non_retryable
    second = await city.add_task()
    await city.until(second, "offered")

    async with city.database.write() as writer:
        await writer.run(delete(tables.zones).where(tables.zones.c.site_id == city.site_id))
    with pytest.raises(ApplicationError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await new
    assert await ActivityEnvironment().run(acts.match, city.zone) == Stopped(ticks=0)


async def test_cancelling_ends_it(city: City) -> None:
    environment = ActivityEnvironment()
    beaten = asyncio.Event()
    environment.on_heartbeat = lambda *_: beaten.set()
    running = asyncio.create_task(
        environment.run(DispatchActs(city.database, city.places).match, city.zone)
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        await beaten.wait()
        environment.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
