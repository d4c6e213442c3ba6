"""Fixtures of the workers' tests: Redis on a real Valkey, streams of orders to relay."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from redis.asyncio import Redis

from services import events, migrate
from services.db import Database
from services.events import Event
from services.settings import Settings
from tests.postgres import empty_database, pool
from tests.temporal import development_server
from workers.relay import connect_redis

Tick = Callable[..., Awaitable[str]]


@pytest.fixture(scope="session")
def postgres_url(postgres_url: str) -> Iterator[str]:
    """A database of these tests' own: workers look at all rows, and other tests leave many."""
    with empty_database(postgres_url) as url:
        migrate.upgrade(url)
        yield url


@pytest.fixture(scope="session")
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """Its pool."""
    async with pool(postgres_url) as opened:
        yield opened


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """The relay's own kind of client."""
    client = connect_redis(valkey_url)
    yield client
    await client.aclose()


@pytest.fixture
def happen(database: Database, site_id: str) -> Tick:
    """Makes a number of events of an order, each its own transaction; gives the order's id."""

    async def happen(order_id: str = "", count: int = 1) -> str:
        order = order_id or uuid.uuid4().hex
        for _ in range(count):
            async with database.write() as writer:
                stream = await events.lock(writer, order)
                if stream is None:
                    await events.open_stream(
                        writer,
                        order_id=order,
                        site_id=site_id,
                        customer_id="c",
                        merchant_id="m",
                        shop_id="s",
                    )
                key = uuid.uuid4().hex
                event = Event(type="order.tested", key=key, data={"last": key})
                await events.append(writer, order, event)
        return order

    return happen


@pytest.fixture(scope="session")
async def temporal_settings() -> AsyncIterator[Settings]:
    """Settings of a real Temporal server for this session."""
    async with development_server() as settings:
        yield settings
