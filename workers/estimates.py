"""Looks after the estimates of all orders under way, for the relay; decides nothing."""

import asyncio
from datetime import UTC, datetime

import structlog

from domain.positions import PlacesOf
from services import process
from services.db import Database
from services.eta import approaching, living
from services.eta.outside import Outside

LOOK_SECONDS = 15.0
PAGES = 50
"""Of one round; the next goes on where it ended."""

log = structlog.get_logger(__name__)


class Estimates:
    """One round looks at every order under way and tells what has changed."""

    def __init__(self, database: Database, outside: Outside, places: PlacesOf) -> None:
        self._database = database
        self._outside = outside
        self._places = places
        self._coming_after = ""
        self._after = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop; a round that fails is logged, and the next one comes."""
        while not stop.is_set():
            try:
                await self.once()
            except Exception:
                log.exception("estimates failed")
            await process.rest(stop, LOOK_SECONDS)

    async def once(self) -> None:
        """One round: when each order will be there, and each rider at the store."""
        await self._orders()
        await self._riders()

    async def _riders(self) -> None:
        for _ in range(PAGES):
            async with self._database.read() as reader:
                news, self._coming_after = await approaching.look(
                    reader,
                    self._outside,
                    self._places,
                    after=self._coming_after,
                    now=datetime.now(UTC),
                )
            for coming in news:
                async with self._database.write() as writer:
                    await approaching.tell(writer, coming)
            if not self._coming_after:
                return

    async def _orders(self) -> None:
        for _ in range(PAGES):
            async with self._database.read() as reader:
                words, self._after = await living.look(
                    reader,
                    self._outside,
                    self._places,
                    after=self._after,
                    now=datetime.now(UTC),
                )
            for word in words:
                async with self._database.write() as writer:
                    await living.tell(writer, word)
            if not self._after:
                return
