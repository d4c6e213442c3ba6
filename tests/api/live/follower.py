"""The client that degrades by itself at work: what it heard, held against the rows."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any

import orjson
import pytest
from redis.exceptions import RedisError

from api.parts import Parts
from api.replies import dumps
from cli import following
from cli.following import follow
from cli.following_ways import Lines, Link, Pace
from services import events, reads
from services.positions import STREAM
from tests.api.live.line import publish
from tests.api.town import Town

PATIENCE_SECONDS = 60
EVENT_SECONDS = 0.05
PACE = Pace(
    open_seconds=5.0,
    wait_seconds=1,
    better_seconds=0.5,
    come_back_seconds=0.2,
    backoff_seconds=0.05,
    backoff_most_seconds=0.3,
)


@dataclass(kw_only=True)
class Heard:
    """What one client has been told, and what it makes of it."""

    told: list[dict[str, Any]] = field(default_factory=list)
    view: dict[str, Any] = field(default_factory=dict)
    places: list[datetime] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)
    changes: int = 0
    seq: int = 0
    task: asyncio.Task[None] | None = None

    async def hear(self, messages: AsyncGenerator[dict[str, Any], None]) -> None:
        async with aclosing(messages):
            async for message in messages:
                match message["type"]:
                    case "way":
                        self.ways.append(message["way"])
                        self.changes = message["changes"]
                    case "position":
                        self.places.append(datetime.fromisoformat(message["at"]))
                    case "snapshot":
                        self.view, self.seq = dict(message), message["seq"]
                    case _:
                        self.told.append(message)
                        self.view |= message["data"]
                        self.seq = message["seq"]

    async def until(self, *, seq: int = 0, way: str = "") -> None:
        """Wait until it has come so far, and is on this way."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.seq < seq or (way and self.ways[-1:] != [way]):
                assert self.task is not None
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.02)


@asynccontextmanager
async def heard(
    port: int,
    order_id: str,
    headers: dict[str, str],
    *,
    since: int | None = 0,
    pace: Pace = PACE,
) -> AsyncIterator[Heard]:
    """A client that follows for so long."""
    found = Heard()
    token = headers["Authorization"].removeprefix("Bearer ")
    messages = follow(f"http://127.0.0.1:{port}", order_id, token, since=since, pace=pace)
    found.task = asyncio.create_task(found.hear(messages))
    try:
        yield found
    finally:
        found.task.cancel()
        await asyncio.gather(found.task, return_exceptions=True)


def gaps(patch: pytest.MonkeyPatch) -> list[str]:
    """What hubs tell from now on out of turn: a connection's events must each be the next one."""
    found: list[str] = []
    plainly = following.listen

    async def listen(link: Link, way: str, since: int | None, came_from: str | None) -> Lines:
        seq = since or 0
        async with aclosing(plainly(link, way, since, came_from)) as lines:
            async for line in lines:
                if line["type"] != "snapshot" and line.get("seq", seq + 1) != seq + 1:
                    found.append(f"{way} since {since}: {line['seq']} after {seq}")
                seq = line.get("seq", seq)
                yield line

    patch.setattr(following, "listen", listen)
    return found


@asynccontextmanager
async def happening(town: Town, parts: Parts, order_id: str) -> AsyncIterator[None]:
    """Meanwhile things happen to the order, and its rider moves: what Redis misses, it misses."""
    over = asyncio.Event()

    async def happen() -> None:
        for number in count():
            if over.is_set():
                return
            await town.happen(order_id, step=number)
            row = [town.site_id, "rod", 30.27, 120.14, round(time.time() * 1_000)]
            with suppress(RedisError):
                await publish(parts, order_id)
                await parts.positions.redis.xadd(STREAM, {"m": orjson.dumps([row])})
            await asyncio.sleep(EVENT_SECONDS)

    task = asyncio.create_task(happen())
    try:
        yield
    finally:
        over.set()
        await task


async def under_way(town: Town) -> str:
    """An order whose rider may be seen."""
    order_id = (await town.order()).order_id
    await town.happen(order_id, status="delivering", delivery="picked_up", rider_id="rod")
    return order_id


async def ensure_equal(parts: Parts, order_id: str, *clients: Heard) -> int:
    """Every client has heard it all, once and in order; how many events there are."""
    async with parts.database.read() as reader:
        stream = await events.stream(reader, order_id)
        rows = await reads.since(reader, order_id, 0, limit=100_000)
    assert stream is not None
    expected = [orjson.loads(dumps(row)) for row in rows]
    view = orjson.loads(dumps(stream.view))
    for client in clients:
        await client.until(seq=stream.seq)
        first = client.told[0]["seq"]
        assert client.told == expected[first - 1 :]
        assert {name: client.view[name] for name in view} == view
        assert client.places == sorted(client.places)
    return len(expected)
