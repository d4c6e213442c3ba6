"""Positions from many riders at once: gathered for a moment, judged, written in two round trips."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from domain.errors import DomainError, NotFound, Unavailable
from domain.eta import Vehicle
from domain.geo import Point
from domain.positions import Dropped, Fix, Track, judge
from services import metrics
from services.db import Database
from services.positions import store
from services.positions.store import MOVES_MAX, Tracks, Who

WINDOW_SECONDS = 0.05
PENDING_MAX = 20_000
"""Batches that may wait; more are refused."""
SEEN_SECONDS = 5.0
"""Of a site of speed 1: how often a rider's row is told of a sign of life, and asked again."""
RIDERS_KNOWN = 100_000
ACCEPTED = "accepted"

_SEEN = text("""
WITH asked AS (
  SELECT r.site_id, r.rider_id, r.vehicle, r.on_shift OR r.paused_at IS NOT NULL OR EXISTS (
    SELECT FROM delivery_tasks t WHERE t.site_id = r.site_id AND t.rider_id = r.rider_id
      AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived')) AS at_work
  FROM riders r JOIN unnest(CAST(:sites AS text[]), CAST(:riders AS text[]))
    AS a (site_id, rider_id) USING (site_id, rider_id)
), free AS (
  SELECT r.site_id, r.rider_id FROM riders r JOIN asked USING (site_id, rider_id)
  WHERE asked.at_work
  ORDER BY r.site_id, r.rider_id FOR NO KEY UPDATE OF r SKIP LOCKED
), seen AS (
  UPDATE riders r SET seen_at = now() FROM free
  WHERE r.site_id = free.site_id AND r.rider_id = free.rider_id
)
SELECT asked.site_id, asked.rider_id, asked.vehicle, asked.at_work, s.speed
FROM asked JOIN sites s USING (site_id)
""")
"""Whose row is locked shows a sign of life already: an act of theirs."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a batch."""

    accepted: int
    dropped: Mapping[str, int]
    """By reason."""


Outcome = Taken | DomainError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    who: Who
    fixes: Sequence[Fix]
    way: str
    outcome: asyncio.Future[Outcome]


@dataclass(slots=True)
class _Known:
    """What a process remembers of the row of a rider at work; of others it asks each time."""

    speed: float
    """Of the site."""
    vehicle: Vehicle
    due: float
    """When the row is to be told again, on the loop's clock."""


class Ingest:
    """One per process; whatever comes within WINDOW_SECONDS is one write."""

    def __init__(self, redis_url: str, database: Database) -> None:
        self.redis = store.connect(redis_url)
        self._database = database
        self._pending: list[_Waiting] = []
        self._known: dict[Who, _Known] = {}
        self._working: asyncio.Task[None] | None = None

    async def take(self, site_id: str, rider_id: str, fixes: Sequence[Fix], *, way: str) -> Taken:
        """Judge and keep a batch; `way` is how it came, for the metrics.

        Raises:
            NotFound: there is no such rider.
            Unavailable: Redis is away, or too much waits already; the batch may be sent again.
        """
        outcome = await self.put(site_id, rider_id, fixes, way=way)
        if isinstance(outcome, DomainError):
            raise outcome
        return outcome

    def put(
        self, site_id: str, rider_id: str, fixes: Sequence[Fix], *, way: str
    ) -> asyncio.Future[Outcome]:
        """The same for who doesn't wait: the answer comes later, and never as an exception."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if len(self._pending) >= PENDING_MAX:
            metrics.POSITIONS.labels(way, "overload").inc(len(fixes))
            outcome.set_result(Unavailable("too many positions are waiting"))
            return outcome
        batch = _Waiting(who=(site_id, rider_id), fixes=fixes, way=way, outcome=outcome)
        self._pending.append(batch)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return outcome

    async def begin(self, site_id: str, rider_id: str, place: Point) -> None:
        """A shift begins at a place; lost if Redis is away, the next position says it again."""
        fix = Fix(place.lat, place.lng, round(time.time() * 1_000))
        try:
            await store.begin(self.redis, site_id, rider_id, fix)
        except (RedisError, OSError) as error:
            log.warning("shift_place_not_kept", error_type=type(error).__name__)

    async def close(self) -> None:
        """Finish what waits, give the connections back."""
        if self._working is not None:
            await self._working
        await self.redis.aclose()

    async def _work(self) -> None:
        while self._pending:
            await asyncio.sleep(WINDOW_SECONDS)
            gathered, self._pending = self._pending, []
            for batches in _parts(gathered):
                with metrics.POSITIONS_SECONDS.time():
                    outcomes = await self._keep_or_refuse(batches)
                _answer(batches, outcomes)

    async def _keep_or_refuse(self, batches: Sequence[_Waiting]) -> Sequence[Outcome]:
        try:
            return await self._keep(batches)
        except (RedisError, OSError) as error:
            log.warning("positions_not_kept", error_type=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - its text might hold a place
            log.error("positions_failed", error_type=type(error).__name__)  # noqa: TRY400
        return [Unavailable("positions are not taken now")] * len(batches)

    async def _keep(self, batches: Sequence[_Waiting]) -> list[Outcome]:
        riders = {batch.who for batch in batches}
        try:
            tracks, over = await store.read(self.redis, riders)
            for who in over:
                self._known.pop(who, None)
        finally:
            # They live, whether their places can be kept or not.
            off = await self._sign_of_life(riders)
        changed: Tracks = {}
        now_ms = round(time.time() * 1_000)
        outcomes: list[Outcome] = []
        for batch in batches:
            known = self._known.get(batch.who)
            if known is None:
                outcomes.append(_not_taken(batch, off))
                continue
            before = changed.get(batch.who) or tracks[batch.who]
            after, taken = _judge(before, batch.fixes, now_ms, known)
            if after is not before:
                changed[batch.who] = after
            outcomes.append(taken)
        if changed:
            moved = [who for who, track in changed.items() if track.newest != tracks[who].newest]
            await store.write(self.redis, changed, moved)
        await store.end(self.redis, [who for who in off or () if tracks[who].newest])
        return outcomes

    async def _sign_of_life(self, riders: set[Who]) -> set[Who] | None:
        """Tell the rows of those who are due, and learn who is at work.

        Those of them who are not, or None: the rows can't be read now.
        """
        if len(self._known) > RIDERS_KNOWN:
            self._known.clear()
        now = asyncio.get_running_loop().time()
        due = [who for who in riders if who not in self._known or self._known[who].due <= now]
        if not due:
            return set()
        asked = {"sites": [who[0] for who in due], "riders": [who[1] for who in due]}
        try:
            async with self._database.write() as writer:
                rows = await writer.all(_SEEN, asked)
        except (SQLAlchemyError, OSError) as error:
            log.warning("riders_not_seen", error_type=type(error).__name__)
            return None
        for who in due:
            self._known.pop(who, None)
        for row in rows:
            if row.at_work:
                due_at = now + SEEN_SECONDS / row.speed
                known = _Known(row.speed, Vehicle(row.vehicle), due_at)
                self._known[row.site_id, row.rider_id] = known
        return {(row.site_id, row.rider_id) for row in rows if not row.at_work}


def _not_taken(batch: _Waiting, off: set[Who] | None) -> Outcome:
    """What who isn't known to be at work is told."""
    if off is None:
        return Unavailable("riders' rows can't be read now")
    if batch.who in off:
        return Taken(accepted=0, dropped={Dropped.OFF_SHIFT.value: len(batch.fixes)})
    return NotFound("there is no such rider")


def _judge(track: Track, fixes: Sequence[Fix], now_ms: int, who: _Known) -> tuple[Track, Taken]:
    accepted, dropped = 0, Counter[str]()
    for fix in sorted(fixes, key=_moment) if len(fixes) > 1 else fixes:
        track, reason = judge(track, fix, now_ms, speed=who.speed, vehicle=who.vehicle)
        if reason is None:
            accepted += 1
        else:
            dropped[reason.value] += 1
    return track, Taken(accepted=accepted, dropped=dict(dropped))


def _moment(fix: Fix) -> int:
    return fix.at_ms


def _parts(gathered: Sequence[_Waiting]) -> Iterator[Sequence[_Waiting]]:
    for first in range(0, len(gathered), MOVES_MAX):
        yield gathered[first : first + MOVES_MAX]


def _answer(batches: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
    counts = Counter[tuple[str, str]]()
    for batch, outcome in zip(batches, outcomes, strict=True):
        if isinstance(outcome, Taken):
            counts[batch.way, ACCEPTED] += outcome.accepted
            for reason, count in outcome.dropped.items():
                counts[batch.way, reason] += count
        else:
            counts[batch.way, outcome.problem] += len(batch.fixes)
        if not batch.outcome.done():
            batch.outcome.set_result(outcome)
    for (way, what), count in counts.items():
        metrics.POSITIONS.labels(way, what).inc(count)
