"""Fans the platform's events out to this process's live connections; decides nothing about them.

One task reads the Redis stream. While Redis is away, another asks PostgreSQL how far each followed
order has come; connections fill what they missed from there.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from domain.errors import Unavailable
from services import reads
from services.db import Database

EVENTS = "paotui:events"
POSITIONS = "paotui:positions"
BLOCK_MS = 2_000
READ_SECONDS = 5.0
BATCH = 500
POLL_SECONDS = 0.5
POLLED_ORDERS = 1_000
QUEUE_MESSAGES = 256
"""A connection that is further behind is closed; it comes back and resumes by `seq`."""
CONNECTIONS_MAX = 10_000

Message = Mapping[str, Any]

log = structlog.get_logger()


class Overflowed(Unavailable):
    """This connection is too far behind: come back, and resume by `seq`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A published event, `seq` ≥ 1, or a rider's message, `seq` 0."""

    order_id: str
    seq: int
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How far orders have come, by PostgreSQL; empty for a rider: look again."""

    seqs: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where the order's rider is; only the newest counts."""

    order_id: str
    lat: float
    lng: float


class Subscriber:
    """One live connection's bounded queue: states in order, of positions the newest."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.closed = False
        self.overflowed = False
        self._queue: deque[News | Heads] = deque()
        self._position: Position | None = None
        self._ready = asyncio.Event()

    def push(self, item: News | Heads) -> None:
        """Queue what must not be missed."""
        if len(self._queue) >= QUEUE_MESSAGES:
            self.overflowed = True
            self.close()
            return
        self._queue.append(item)
        self._ready.set()

    def move(self, position: Position) -> None:
        """Replace the position that was not sent yet."""
        self._position = position
        self._ready.set()

    def close(self) -> None:
        """Wake whoever takes, for the last time."""
        self.closed = True
        self._ready.set()

    async def take(self, timeout_seconds: float) -> News | Heads | Position | None:
        """The next item; None when there was none for so long, or it is closed.

        Raises Overflowed when more came than may wait.
        """
        if not self._queue and self._position is None and not self.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._ready.wait()
        self._ready.clear()
        if self.overflowed:
            raise Overflowed
        if self.closed:
            return None
        if self._queue:
            return self._queue.popleft()
        position, self._position = self._position, None
        return position


def order_topic(order_id: str) -> str:
    """Events and positions of one order."""
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
            socket_timeout=READ_SECONDS,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
        )
        self._database = database
        self._subscribers: dict[str, set[Subscriber]] = {}
        self._count = 0
        self._listening = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._poll())]

    async def close(self) -> None:
        """End every connection, stop listening."""
        for group in self._subscribers.values():
            for subscriber in group:
                subscriber.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()

    @contextmanager
    def subscribe(self, topic: str) -> Iterator[Subscriber]:
        """Follow a topic from now on; raises Unavailable when the process has enough to do."""
        if self._count >= CONNECTIONS_MAX:
            raise Unavailable("too many live connections")
        subscriber = Subscriber(topic)
        self._subscribers.setdefault(topic, set()).add(subscriber)
        self._count += 1
        try:
            yield subscriber
        finally:
            self._count -= 1
            group = self._subscribers[topic]
            group.discard(subscriber)
            if not group:
                del self._subscribers[topic]

    @property
    def connections(self) -> int:
        """How many there are."""
        return self._count

    async def _listen(self) -> None:
        """Read the streams for ever; what was missed meanwhile is found by polling once more."""
        places: dict[bytes | str, bytes | str] = {}
        while True:
            try:
                if not places:
                    places[EVENTS] = await self._newest(EVENTS)
                answer = await self._redis.xread(
                    {name: place for name, place in places.items()},  # noqa: C416 - a copy
                    count=BATCH,
                    block=BLOCK_MS,
                )
                if not self._listening:
                    self._listening = True
                    await self._look()
                for name, entries in _entries(answer):
                    places[name] = entries[-1][0]
                    for _, fields in entries:
                        self._route(name, fields[b"m"])
            except (RedisError, OSError, TimeoutError) as error:
                if self._listening:
                    log.warning("live_stream_lost", exc_info=error)
                self._listening = False
                await asyncio.sleep(POLL_SECONDS)
            except Exception:
                log.exception("live_message_failed")
                await asyncio.sleep(POLL_SECONDS)

    async def _newest(self, name: str) -> bytes | str:
        newest: Any = await self._redis.xrevrange(name, count=1)
        place: bytes | str = newest[0][0] if newest else b"0-0"
        return place

    async def _poll(self) -> None:
        """While Redis is away, the rows say what is new."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._listening and self._subscribers:
                await self._look()

    async def _look(self) -> None:
        try:
            await self._tell_heads()
        except Exception as error:
            log.warning("live_poll_failed", exc_info=error)

    async def _tell_heads(self) -> None:
        topics = {topic: tuple(group) for topic, group in self._subscribers.items()}
        orders = [topic.partition(":")[2] for topic in topics if topic.startswith("order:")]
        async with self._database.read() as reader:
            for first in range(0, len(orders), POLLED_ORDERS):
                batch = orders[first : first + POLLED_ORDERS]
                for order_id, seq in (await reads.heads(reader, batch)).items():
                    for subscriber in topics[order_topic(order_id)]:
                        subscriber.push(Heads(seqs={order_id: seq}))
            for topic, group in topics.items():
                kind, _, rest = topic.partition(":")
                if kind == "merchant":
                    site_id, _, merchant_id = rest.partition(":")
                    seqs = await reads.merchant_heads(reader, site_id, merchant_id)
                    for subscriber in group:
                        subscriber.push(Heads(seqs=seqs))
                elif kind == "rider":
                    for subscriber in group:
                        subscriber.push(Heads(seqs={}))

    def _route(self, name: str, raw: bytes) -> None:
        if not self._subscribers:
            return
        message: dict[str, Any] = orjson.loads(raw)
        if name == POSITIONS:
            place = Position(order_id=message["order_id"], lat=message["lat"], lng=message["lng"])
            for subscriber in self._subscribers.get(order_topic(place.order_id), ()):
                subscriber.move(place)
        elif message.get("seq"):
            self._route_event(message)
        else:
            told = {"type", "task_id", "token", "expires_at"}
            self._push(
                rider_topic(message["site_id"], message["rider_id"]),
                News(order_id="", seq=0, message={k: message[k] for k in told if k in message}),
            )

    def _route_event(self, message: dict[str, Any]) -> None:
        public = {name: message[name] for name in ("order_id", "seq", "type", "at", "data")}
        news = News(order_id=message["order_id"], seq=message["seq"], message=public)
        self._push(order_topic(news.order_id), news)
        self._push(merchant_topic(message["site_id"], message["merchant_id"]), news)
        if message["type"] == "delivery.assigned":
            assigned = {"type": "task.assigned", "order_id": news.order_id}
            topic = rider_topic(message["site_id"], message["data"]["rider_id"])
            self._push(topic, News(order_id=news.order_id, seq=0, message=assigned))

    def _push(self, topic: str, news: News) -> None:
        for subscriber in self._subscribers.get(topic, ()):
            subscriber.push(news)


def _entries(answer: Any) -> Iterator[tuple[str, list[tuple[bytes, dict[bytes, bytes]]]]]:  # noqa: ANN401
    """Of an XREAD by either protocol version: a list of pairs, or a mapping of lists of batches."""
    if isinstance(answer, dict):
        for name, batches in answer.items():
            entries = [entry for batch in batches for entry in batch]
            if entries:
                yield name.decode(), entries
        return
    for name, entries in answer or ():
        yield name.decode(), entries
