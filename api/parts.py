"""What the API's process holds: pools, clients and the hub, from its start to its end."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from api.cache import Cache
from api.durable import Durable
from api.live.parts import Live
from services import events
from services.db import Database
from services.eta.foreteller import Foreteller
from services.events import Stream
from services.gateways import Gateways
from services.positions import Ingest
from services.settings import Settings


class Parts:
    """One of each, for every request of the process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url)
        self.cache = Cache(settings.redis_url)
        self.positions = Ingest(settings.redis_url, self.database)
        self.durable = Durable(settings, self.database)
        self.live = Live(settings, self.database, self.cache, on=settings.api_live)
        self.gateways = Gateways(settings)
        self.foreteller = Foreteller(settings)
        self.handover_key = settings.token_key.get_secret_value().encode()

    async def refresh(self, order_id: str) -> Stream | None:
        """The order as committed, which the next read will not be older than."""
        async with self.database.read() as reader:
            stream = await events.stream(reader, order_id)
        if stream is not None:
            await self.cache.remember(stream)
        return stream

    async def close(self) -> None:
        """Give everything back."""
        await self.live.close()
        await self.positions.close()
        await self.cache.close()
        await self.foreteller.close()
        await self.gateways.close()
        await self.database.close()


def of(connection: HTTPConnection) -> Parts:
    """The parts of the process that serves this request."""
    parts = connection.app.state.parts
    assert isinstance(parts, Parts)  # noqa: S101 - set by the lifespan
    return parts


async def _of_request(request: Request) -> Parts:
    return of(request)


Held = Annotated[Parts, Depends(_of_request)]


def utc_now() -> datetime:
    """Now."""
    return datetime.now(UTC)
