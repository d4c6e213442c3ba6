"""What waits for one live connection: states in order and bounded, of positions the newest."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from api.live.frames import text_frame
from api.replies import dumps
from domain.geo import Point
from domain.positions import Sight, cell

QUEUE_MESSAGES = 256
"""A connection that is further behind is closed; it comes back and resumes by `seq`."""
RESTART = 1012
TOO_SLOW = 1013

Rider = tuple[str, str]
"""(site_id, rider_id)."""


class News:
    """A published event, `seq` ≥ 1, or a rider's message, `seq` 0; encoded once for everybody."""

    def __init__(self, order_id: str, seq: int, message: Mapping[str, Any]) -> None:
        self.order_id = order_id
        self.seq = seq
        self.message = message

    @cached_property
    def body(self) -> bytes:
        """The message as JSON."""
        return dumps(self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How far orders have come, by PostgreSQL; empty for a rider: look again."""

    seqs: Mapping[str, int]


LOOK = Heads(seqs={})


class Place:
    """Where a rider was at a moment; encoded once for everybody who sees it so exactly."""

    __slots__ = ("_bodies", "at_ms", "lat", "lng")

    def __init__(self, lat: float, lng: float, at_ms: float) -> None:
        self.lat = lat
        self.lng = lng
        self.at_ms = at_ms
        self._bodies: dict[Sight, bytes] | None = None

    def told(self, sight: Sight) -> dict[str, Any]:
        """What a viewer with this sight is told: lat, lng, at; coarse where it is a cell."""
        at = datetime.fromtimestamp(self.at_ms / 1_000, UTC)
        if sight is Sight.EXACT:
            return {"lat": self.lat, "lng": self.lng, "at": at}
        centre = cell(Point(self.lat, self.lng))
        return {"lat": centre.lat, "lng": centre.lng, "at": at, "coarse": True}

    def body(self, sight: Sight) -> bytes:
        """The message as JSON."""
        if self._bodies is None:  # most places are nobody's to see
            self._bodies = {}
        if sight not in self._bodies:
            self._bodies[sight] = dumps({"type": "position", **self.told(sight)})
        return self._bodies[sight]

    def frame(self, sight: Sight) -> bytes:
        """The message as a WebSocket's frame."""
        return text_frame(self.body(sight))


class Outbox:
    """One live connection's: never more than `QUEUE_MESSAGES` states and one position."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.over: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Done when the connection must end: the WebSocket code to end it with."""
        self.write: Callable[[bytes], bool] | None = None
        """Writes a frame at once if the client keeps up; where the transport can do that."""
        self.seq = 0
        """How far the order was told, so that only who missed something is woken."""
        self.rider: Rider | None = None
        self.sight = Sight.NOTHING
        self._queue: deque[News | Heads] = deque()
        self._place: Place | None = None
        self._cell: Point | None = None
        self._ready = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether nothing more is to be told."""
        return self.over.done()

    def push(self, item: News | Heads) -> None:
        """Queue what must not be missed; whoever is too far behind is closed.

        Of heads that follow each other one waits, the newest of each order.
        """
        if self.closed:
            return
        if self._queue and isinstance(item, Heads) and isinstance(last := self._queue[-1], Heads):
            self._queue[-1] = Heads(seqs={**last.seqs, **item.seqs})
        elif len(self._queue) >= QUEUE_MESSAGES:
            self._queue.clear()
            self.close(TOO_SLOW)
        else:
            self._queue.append(item)
            self._ready.set()

    def show(self, rider: Rider | None, sight: Sight) -> None:
        """Whose positions are shown from now on; what was not sent of others never is."""
        self.rider, self.sight = rider, sight
        self._place = self._cell = None

    def move(self, place: Place) -> None:
        """The newest position: written at once, or instead of the one that still waits."""
        if self.sight is Sight.COARSE:
            now = cell(Point(place.lat, place.lng))
            if now == self._cell:
                return
            self._cell = now
        if self._place is None and self.write and self.write(place.frame(self.sight)):
            return
        self._place = place
        self._ready.set()

    def close(self, code: int = RESTART) -> None:
        """End the connection; wake whoever takes, for the last time."""
        if not self.over.done():
            self.over.set_result(code)
        self._ready.set()

    async def take(self, timeout_seconds: float) -> News | Heads | Place | None:
        """The next item; None when there was none for so long, or it is closed."""
        if not self._queue and self._place is None and not self.closed:
            self._ready.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._ready.wait()
        if self.closed:
            return None
        if self._queue:
            return self._queue.popleft()
        place, self._place = self._place, None
        return place
