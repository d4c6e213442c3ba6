"""Writes the coarse traces of orders being carried, for the relay; decides nothing."""

import asyncio
from collections import defaultdict

import structlog
from redis.asyncio import Redis

from domain.positions import Fix
from services import positions, process, traces
from services.db import Database

LOOK_SECONDS = 2.0
PAGES = 50
"""Of one round."""

log = structlog.get_logger(__name__)


class Traces:
    """One round writes what is due of every order being carried; the sweep deletes."""

    def __init__(self, database: Database, redis: Redis, *, days: int) -> None:
        """`days`: how long a row is kept; 0: nothing is written."""
        self._database = database
        self._redis = redis
        self._days = days

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop; a round that fails is logged, and the next one comes."""
        while self._days and not stop.is_set():
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - its text might hold a place
                log.error("traces_failed", error_type=type(error).__name__)  # noqa: TRY400
            await process.rest(stop, LOOK_SECONDS)

    async def once(self) -> None:
        """One round."""
        after = ""
        for _ in range(PAGES):
            async with self._database.read() as reader:
                orders = await traces.due(reader, after=after)
            if not orders:
                return
            riders = defaultdict[str, set[str]](set)
            for order in orders:
                riders[order.site_id].add(order.rider_id)
            places: dict[tuple[str, str], Fix] = {}
            for site_id, of_site in riders.items():
                found = await positions.of_riders(self._redis, site_id, list(of_site))
                places |= {(site_id, rider_id): fix for rider_id, fix in found.items()}
            async with self._database.write() as writer:
                await traces.keep(writer, orders, places, days=self._days)
            after = orders[-1].order_id
