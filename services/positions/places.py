"""Where a zone's riders are, for whoever decides about them; remembered while Redis is away."""

import time
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from domain.geo import Point
from domain.positions import Fix
from services.positions.store import KEPT_SECONDS, connect, of_riders

RIDERS_REMEMBERED = 100_000

log = structlog.get_logger()


class Places:
    """One per process."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._redis: Redis | None = None
        self._last: dict[tuple[str, str], Fix] = {}

    async def of(self, site_id: str, rider_ids: Sequence[str]) -> dict[str, Point]:
        """The places of those riders who have one; if Redis has lost it, as it was seen here."""
        if self._redis is None:
            self._redis = connect(self._url)
        try:
            found = await of_riders(self._redis, site_id, rider_ids)
        except (RedisError, OSError) as error:
            log.warning("positions_unavailable", error_type=type(error).__name__)
            found = {}
        if len(self._last) > RIDERS_REMEMBERED:
            self._last.clear()
        self._last.update(((site_id, rider_id), fix) for rider_id, fix in found.items())
        oldest_ms = (time.time() - KEPT_SECONDS) * 1_000
        return {
            rider_id: fix.place
            for rider_id in rider_ids
            if (fix := self._last.get((site_id, rider_id))) and fix.at_ms > oldest_ms
        }

    async def close(self) -> None:
        """Give the connections back."""
        if self._redis is not None:
            await self._redis.aclose()
