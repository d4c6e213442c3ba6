"""`python -m benchmarks.probe`: events committed by this process until its WebSocket has them.

Reads {order_id, token, api_url, per_second, seconds} from stdin. The clock starts when COMMIT has
returned: an event's own `at` is when its transaction began.
"""

import asyncio
import contextlib
import sys
import time
import uuid
from typing import Any

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.pace import percentile
from services import events
from services.db import Database
from services.events import Event
from services.settings import settings

KIND = "benchmark.probe"
LAST_SECONDS = 5.0
"""For the last event to arrive."""


async def probe(wish: dict[str, Any]) -> dict[str, float]:
    """Commit, compare, tell."""
    database = Database(settings().database_url, pool_size=1)
    url = wish["api_url"].replace("http", "ws", 1) + f"/v1/orders/{wish['order_id']}/live"
    headers = {"Authorization": f"Bearer {wish['token']}"}
    arrived: dict[int, float] = {}
    news = asyncio.Event()
    async with connect(url, additional_headers=headers, proxy=None, compression=None) as socket:
        listening = asyncio.create_task(_listen(socket, arrived, news))
        committed = await _commit(database, wish)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while committed.keys() - arrived.keys():
                    news.clear()
                    await news.wait()
        listening.cancel()
    await database.close()
    waits = [(arrived[seq] - at) * 1_000 for seq, at in committed.items() if seq in arrived]
    return {
        "events": len(committed),
        "lost": len(committed) - len(waits),
        "p50_ms": percentile(waits, 0.50),
        "p99_ms": percentile(waits, 0.99),
    }


async def _commit(database: Database, wish: dict[str, Any]) -> dict[int, float]:
    """One event after another, evenly; when each commit had returned, by seq."""
    committed: dict[int, float] = {}
    pause = 1 / wish["per_second"]
    due = time.perf_counter()
    for _ in range(round(wish["seconds"] * wish["per_second"])):
        async with database.write() as writer:
            await events.lock(writer, wish["order_id"])
            event = Event(type=KIND, key=f"probe:{uuid.uuid4().hex}", data={})
            seq = await events.append(writer, wish["order_id"], event)
        committed[seq] = time.perf_counter()
        due += pause
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return committed


async def _listen(socket: ClientConnection, arrived: dict[int, float], news: asyncio.Event) -> None:
    async for line in socket:
        now = time.perf_counter()
        message = orjson.loads(line)
        if message["type"] == KIND:
            arrived[message["seq"]] = now
            news.set()


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(uvloop.run(probe(orjson.loads(sys.stdin.buffer.read())))))
