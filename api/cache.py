"""Redis as the API uses it: quick or not at all; whoever asks knows another way."""

import asyncio
import time
from collections import OrderedDict
from typing import TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from domain.geo import Point
from services import snapshots
from services.events import Stream
from services.positions import of_riders
from services.snapshots import Snapshot

WAIT_SECONDS = 0.1
"""Of each of at most two tries."""
REST_SECONDS = 0.5
"""After a failure nobody is made to wait for Redis again for so long."""
CONNECTIONS = 32
TICKETS_REMEMBERED = 10_000
ORDERS_REMEMBERED = 10_000
TICKET_KEPT_SECONDS = 60

Value = TypeVar("Value")

log = structlog.get_logger()


class Cache:
    """One pool of connections to Redis with bounded waits."""

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=WAIT_SECONDS,
            socket_timeout=WAIT_SECONDS,
            socket_connect_timeout=WAIT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self.redis: Redis = Redis(connection_pool=pool)
        self._rests_until = 0.0
        self._floors: OrderedDict[str, int] = OrderedDict()
        self._used: OrderedDict[str, None] = OrderedDict()
        self._wanted: dict[str, list[asyncio.Future[Snapshot | None]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def snapshot(self, order_id: str) -> Snapshot | None:
        """The stored state, or None where there is none that may be shown.

        Requests that come while Redis is being asked share its next answer: one round trip.
        """
        if time.monotonic() < self._rests_until:
            return None
        waiter = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(order_id, []).append(waiter)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        found: Snapshot | None = await waiter
        if found is not None and found.seq < self._floors.get(order_id, 0):
            return None
        return found

    async def _ask(self) -> None:
        while self._wanted:
            batch, self._wanted = self._wanted, {}
            found: dict[str, Snapshot] = {}
            try:
                found = await snapshots.get_many(self.redis, list(batch))
            except (RedisError, OSError) as error:
                self._failed(error)
            finally:
                for order_id, waiters in batch.items():
                    for waiter in waiters:
                        if not waiter.done():
                            waiter.set_result(found.get(order_id))

    async def remember(self, stream: Stream) -> None:
        """Store a committed state; if that fails, older ones are not shown by this process."""
        if time.monotonic() >= self._rests_until:
            try:
                await snapshots.put(self.redis, [stream])
            except (RedisError, OSError) as error:
                self._failed(error)
            else:
                self._floors.pop(stream.order_id, None)
                return
        _bounded(self._floors, ORDERS_REMEMBERED)[stream.order_id] = stream.seq

    async def place(self, site_id: str, rider_id: str) -> Point | None:
        """Where a rider is, if that is known now."""
        if time.monotonic() < self._rests_until:
            return None
        try:
            found = await of_riders(self.redis, site_id, [rider_id])
        except (RedisError, OSError) as error:
            self._failed(error)
            return None
        fix = found.get(rider_id)
        return fix.place if fix else None

    async def use_ticket(self, ticket_id: str) -> bool:
        """Whether the ticket is used for the first time (without Redis: in this process)."""
        if ticket_id in self._used:
            return False
        _bounded(self._used, TICKETS_REMEMBERED)[ticket_id] = None
        try:
            first = await self.redis.set(
                f"paotui:ticket:{ticket_id}", b"1", nx=True, ex=TICKET_KEPT_SECONDS
            )
        except (RedisError, OSError) as error:
            self._failed(error)
            return True
        return bool(first)

    async def check(self) -> None:
        """Raise unless Redis answers."""
        await self.redis.ping()

    async def close(self) -> None:
        """Give the connections back."""
        await self.redis.connection_pool.disconnect()

    def _failed(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + REST_SECONDS
        log.warning("redis_unavailable", exc_info=error)


def _bounded(known: OrderedDict[str, Value], most: int) -> OrderedDict[str, Value]:
    while len(known) >= most:
        known.popitem(last=False)
    return known
