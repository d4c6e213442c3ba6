"""Ends the shifts that nobody's tap will end, for the relay; what ends a shift is `services`'."""

import asyncio

import structlog

from services import dispatch, metrics, process, shifts
from services.db import Database

LOOK_SECONDS = 15.0

log = structlog.get_logger(__name__)


class Shifts:
    """One round ends a page of shifts beyond their plan, or of riders who are gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop; a round that fails is logged, and the next one comes."""
        while not stop.is_set():
            try:
                await self.once()
            except Exception:
                log.exception("shifts failed")
            await process.rest(stop, LOOK_SECONDS)

    async def once(self) -> None:
        """One round; who has something in hand goes on with that, and gets nothing new."""
        async with self._database.read() as reader:
            page = await shifts.overdue(reader)
        for row in page:
            rider = {"site_id": row.site_id, "rider_id": row.rider_id}
            async with self._database.write() as writer:
                found = await shifts.stop(writer, **rider)
                if found:
                    await dispatch.end_shift_if_done(writer, **rider)
            if found:
                metrics.SWEPT.labels(found).inc()
