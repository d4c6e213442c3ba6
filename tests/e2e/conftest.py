"""The shared running stack, and a maker of small cities on it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from services.db import Database
from services.settings import Settings
from tests.e2e.world import World

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture(scope="session")
async def make_world(stack: Settings) -> AsyncIterator[MakeWorld]:
    """A maker of seeded sites, one for each test, with a speed, riders and timers."""
    database = Database(stack.database_url, pool_size=4)
    limits = httpx.Limits(max_connections=200)
    async with (
        httpx.AsyncClient(base_url=stack.api_url, timeout=30, limits=limits) as api,
        httpx.AsyncClient(base_url=stack.sandbox_url, timeout=30) as gateway,
    ):

        async def make(customers: int = 1, **more: Any) -> World:
            world = World(settings=stack, api=api, gateway=gateway, database=database, **more)
            return await world.seed(customers)

        yield make
    await database.close()
