"""What a process that serves live connections holds, whether or not it is the API's."""

import asyncio

from sqlalchemy import text
from starlette.requests import HTTPConnection

from api.cache import Cache
from api.live import ways
from api.live.hub import Hub
from services import health
from services.db import Database
from services.settings import Settings

LOOKS_AT_ONCE = 4
"""Riders' screens that are read at the same time: the pool's other half is everybody else's."""


class Live:
    """The hub, and what connections ask beside it; pools are those of the process."""

    def __init__(self, settings: Settings, database: Database, cache: Cache, *, on: bool) -> None:
        """`on`: whether this process serves more than polls."""
        self.database = database
        self.cache = cache
        self.ways = ways.offered(settings.live_ways, live=on)
        self.hub = Hub(settings.redis_url, database)
        self.looks = asyncio.Semaphore(LOOKS_AT_ONCE)
        self.handover_key = settings.token_key.get_secret_value().encode()
        self._on = on

    def start(self) -> None:
        """Begin to listen."""
        if self._on:
            self.hub.start()

    async def close(self) -> None:
        """Send everybody away, stop listening."""
        await self.hub.close()

    def checks(self) -> dict[str, health.Check]:
        """What a ready hub needs: without Redis it still serves, from the rows."""

        async def database() -> None:
            async with self.database.read() as reader:
                await reader.scalar(text("SELECT 1"))

        async def room() -> None:
            self.hub.ensure_room()

        return {"database": database, "room": room}


def of(connection: HTTPConnection) -> Live:
    """The parts of the process that serves this connection."""
    live = connection.app.state.live
    assert isinstance(live, Live)  # noqa: S101 - set by the lifespan
    return live
