"""Fans the platform's events out to this process's live connections; decides nothing about them.

One task reads the Redis streams. Now and then, and at once when Redis was away, PostgreSQL is asked
how far each followed order has come; connections fill what they missed from there.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from api.live.outbox import LOOK, Heads, News, Outbox, Place, Rider
from domain.errors import Unavailable
from domain.positions import Sight
from services import reads
from services.db import Database
from services.positions import STREAM as POSITIONS

EVENTS = "paotui:events"
BLOCK_MS = 2_000
READ_SECONDS = 5.0
BATCH = 100
TURN_PLACES = 250
"""Positions after which other tasks have their turn, and what was written leaves."""
POLL_SECONDS = 0.5
AUDIT_SECONDS = 10.0
"""So often the rows are asked although Redis is there: it may have been emptied."""
RIDERS_SECONDS = 3.0
"""While Redis is away each rider's screen is read so often: as if they polled."""
POLLED_ORDERS = 1_000
PLACES_MAX = 200_000
PLACE_MS = 60_000
"""An older position is nobody's place any more."""
CONNECTIONS_MAX = 10_000
TASKS = frozenset({"task.assigned", "task.settled"})
"""Of these a rider's line tells what the rows say by then: the whole task, and each once."""
TO_RIDERS = (
    *("type", "order_id", "task_id", "token", "expires_at"),
    *("shop_id", "name", "lat", "lng", "amount_fen"),
)
"""What is told of other messages: offers, standby, tips."""
DRAIN_SECONDS = 5.0
DRAINED_PER_SECOND = 1_000
DRAIN_STEP = 20
"""Connections that are told to go at once."""

Entry = tuple[bytes, Sequence[bytes]]
"""(id, [b"m", message]): a stream's entry as it comes off the wire."""
Member = TypeVar("Member")

log = structlog.get_logger()


def order_topic(order_id: str) -> str:
    """Events of one order."""
    return f"order:{order_id}"


def merchant_topic(site_id: str, merchant_id: str) -> str:
    """Events of a merchant's orders."""
    return f"merchant:{site_id}:{merchant_id}"


def rider_topic(site_id: str, rider_id: str) -> str:
    """A rider's offers and tasks."""
    return f"rider:{site_id}:{rider_id}"


class Hub:
    """One per process."""

    def __init__(self, redis_url: str, database: Database) -> None:
        self._redis: Redis = Redis.from_url(
            redis_url,
            protocol=2,
            socket_timeout=READ_SECONDS,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        )
        # As the C parser gives it: the library's own callback costs more than all of the rest.
        self._redis.set_response_callback("XREAD", _as_it_is)
        self._database = database
        self._outboxes: dict[str, set[Outbox]] = {}
        self._viewers: dict[Rider, set[Outbox]] = {}
        self._places: dict[Rider, Place] = {}
        self._count = 0
        self._listening = False
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._audit())]

    async def drain(self) -> None:
        """Take nobody any more and send everybody away, not all at once (code 1012)."""
        self._draining = True
        leaving = [outbox for group in self._outboxes.values() for outbox in group]
        pause = min(DRAIN_SECONDS / max(1, len(leaving)), 1 / DRAINED_PER_SECOND) * DRAIN_STEP
        for number, outbox in enumerate(leaving):
            outbox.close()
            if number % DRAIN_STEP == DRAIN_STEP - 1:
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """End every connection, stop listening."""
        await self.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[Outbox]:
        """Follow a topic from now on; raises Unavailable when the process takes nobody more."""
        self.ensure_room()
        outbox = Outbox(topic)
        self._outboxes.setdefault(topic, set()).add(outbox)
        self._count += 1
        try:
            yield outbox
        finally:
            self._count -= 1
            self.show(outbox, None, Sight.NOTHING)
            _leave(self._outboxes, topic, outbox)

    def ensure_room(self) -> None:
        """Raise Unavailable when the process takes nobody more."""
        if self._draining:
            raise Unavailable("this process is going away: come back")
        if self._count >= CONNECTIONS_MAX:
            raise Unavailable("too many live connections")

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._count

    def show(self, outbox: Outbox, rider: Rider | None, sight: Sight) -> None:
        """Let a connection see a rider from now on, instead of whom it saw; the newest at once."""
        if (outbox.rider, outbox.sight) == (rider, sight):
            return
        if outbox.rider is not None:
            _leave(self._viewers, outbox.rider, outbox)
        outbox.show(rider, sight)
        if rider is not None:
            self._viewers.setdefault(rider, set()).add(outbox)
            if place := self.place(rider):
                outbox.move(place)

    def place(self, rider: Rider) -> Place | None:
        """Where the rider was last, if that is not long ago."""
        place = self._places.get(rider)
        return place if place is not None and place.at_ms > _oldest_ms() else None

    async def _listen(self) -> None:
        """Read the streams for ever; what was missed meanwhile is found by asking the rows."""
        places: list[bytes] = []
        ask: Callable[..., Awaitable[Any]] = self._redis.execute_command
        while True:
            try:
                if not self._listening:
                    places = [await self._newest(name) for name in (EVENTS, POSITIONS)]
                    self._listening = True
                    await self._look(riders=True)
                answer = await ask(
                    *("XREAD", "COUNT", BATCH, "BLOCK", BLOCK_MS),
                    *("STREAMS", EVENTS, POSITIONS, *places),
                )
                for name, entries in answer or ():
                    moved = name == POSITIONS.encode()
                    places[moved] = entries[-1][0]
                    await (self._move if moved else self._publish)(entries)
            except (RedisError, OSError, TimeoutError) as error:
                if self._listening:
                    log.warning("live_stream_lost", exc_info=error)
                self._listening = False
                await asyncio.sleep(POLL_SECONDS)
            except Exception as error:  # noqa: BLE001 - one bad message must not stop the others
                # Nothing of it: a traceback may show a rider's place.
                log.warning("live_message_failed", error_type=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)

    async def _newest(self, name: str) -> bytes:
        newest: Any = await self._redis.xrevrange(name, count=1)
        place: bytes = newest[0][0] if newest else b"0-0"
        return place

    async def _audit(self) -> None:
        """While Redis is away the rows say what is new, and now and then they are asked anyway."""
        loop = asyncio.get_running_loop()
        looked_at = riders_at = loop.time()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            now = loop.time()
            if not self._listening or now >= looked_at + AUDIT_SECONDS:
                looked_at = now
                riders = not self._listening and now >= riders_at + RIDERS_SECONDS
                riders_at = now if riders else riders_at
                self._forget()
                await self._look(riders=riders)

    async def _look(self, *, riders: bool) -> None:
        try:
            await self._tell_heads(riders=riders)
        except Exception as error:
            log.warning("live_poll_failed", exc_info=error)

    async def _tell_heads(self, *, riders: bool) -> None:
        """Else riders' lines look for themselves, each in its own time: not all of them at once."""
        if not self._outboxes:
            return
        topics = {topic: tuple(group) for topic, group in self._outboxes.items()}
        orders = [topic.partition(":")[2] for topic in topics if topic.startswith("order:")]
        async with self._database.read() as reader:
            for first in range(0, len(orders), POLLED_ORDERS):
                batch = orders[first : first + POLLED_ORDERS]
                for order_id, seq in (await reads.heads(reader, batch)).items():
                    for outbox in topics[order_topic(order_id)]:
                        if outbox.seq < seq:
                            outbox.push(Heads(seqs={order_id: seq}))
            for topic, group in topics.items():
                kind, _, rest = topic.partition(":")
                if kind == "merchant":
                    site_id, _, merchant_id = rest.partition(":")
                    _push(
                        group, Heads(seqs=await reads.merchant_heads(reader, site_id, merchant_id))
                    )
                elif kind == "rider" and riders:
                    _push(group, LOOK)

    async def _publish(self, entries: Sequence[Entry]) -> None:
        for _, (_, raw) in entries:
            if self._outboxes:
                message: dict[str, Any] = orjson.loads(raw)
                if message.get("seq"):
                    self._publish_event(message)
                else:
                    self._publish_to_rider(message)

    def _publish_event(self, message: Mapping[str, Any]) -> None:
        order_id, site_id = message["order_id"], message["site_id"]
        public = {name: message[name] for name in ("order_id", "seq", "type", "at", "data")}
        news = News(order_id, message["seq"], public)
        _push(self._following(order_topic(order_id)), news)
        _push(self._following(merchant_topic(site_id, message["merchant_id"])), news)
        if message["type"] == "delivery.assigned":
            topic = rider_topic(site_id, message["data"]["rider_id"])
            _push(self._following(topic), LOOK)

    def _publish_to_rider(self, message: Mapping[str, Any]) -> None:
        following = self._following(rider_topic(message["site_id"], message["rider_id"]))
        if message["type"] in TASKS:
            _push(following, LOOK)
            return
        public = {name: message[name] for name in TO_RIDERS if name in message}
        _push(following, News("", 0, public))

    def _following(self, topic: str) -> tuple[Outbox, ...]:
        return tuple(self._outboxes.get(topic, ()))

    async def _move(self, entries: Sequence[Entry]) -> None:
        """The path of every ping: no task, no copy; a viewer's frame is written on the way."""
        done = 0
        for _, (_, raw) in entries:
            for site_id, rider_id, lat, lng, at_ms in orjson.loads(raw):
                rider = (site_id, rider_id)
                place = self._places[rider] = Place(lat, lng, at_ms)
                for outbox in self._viewers.get(rider, ()):
                    outbox.move(place)
                done += 1
                if done % TURN_PLACES == 0:
                    await asyncio.sleep(0)

    def _forget(self) -> None:
        """Drop places of riders who are silent; all of them, if they are too many."""
        oldest_ms = _oldest_ms()
        kept = {rider: place for rider, place in self._places.items() if place.at_ms > oldest_ms}
        self._places = kept if len(kept) < PLACES_MAX else {}


def _as_it_is(response: Any, **_: Any) -> Any:  # noqa: ANN401
    return response


def _oldest_ms() -> float:
    return time.time() * 1_000 - PLACE_MS


def _push(outboxes: Sequence[Outbox], item: News | Heads) -> None:
    for outbox in outboxes:
        outbox.push(item)


def _leave(groups: dict[Member, set[Outbox]], name: Member, outbox: Outbox) -> None:
    group = groups.get(name, set())
    group.discard(outbox)
    if not group:
        groups.pop(name, None)
