"""`python -m benchmarks.live_watchers`: viewers of a live hub, and the riders they watch.

Reads {port, redis_url, token, sockets, seconds, per_second} from stdin: each of `sockets` viewers
follows the order of one rider, pings come evenly, and a ping's latitude is the moment it was sent.
With {stalled: true} all follow one order and the first of them takes nothing.
"""

import asyncio
import sys
import time
from typing import Any, cast

import orjson
import uvloop
from redis.asyncio import Redis

from benchmarks.pace import percentile

BURST_SECONDS = 0.005
ENTRY_PINGS = 500
AT_ONCE = 50
OPEN_SECONDS = 150.0
LAST_SECONDS = 1.0
EVENT_BYTES = 4_000
EVENTS_PER_SECOND = 200
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""Of RFC 6455: nobody checks that it is random."""


class Viewer(asyncio.Protocol):
    """A WebSocket that reads as little as it can."""

    def __init__(self, path: str, token: str, first: str) -> None:
        """`first`: what says that the line is open."""
        self._first = first.encode()
        self._hello = (
            f"GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        self._rest = b""
        self.transport: asyncio.Transport
        self.opened = asyncio.Event()
        self.waits: list[float] = []
        """How many seconds each ping took that has arrived."""
        self.seqs: list[int] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """Note what has arrived and how long it took."""
        now = time.perf_counter()
        data = self._rest + data
        if not self.opened.is_set():
            self._rest = data
            if self._first in data:
                self._rest = b""
                self.opened.set()
            return
        end = data.rfind(b"}") + 1
        data, self._rest = data[:end], data[end:]
        for part in data.split(b'"type":"position","lat":')[1:]:
            self.waits.append(now - float(part[: part.index(b",")]))
        self.seqs += [int(part[: part.index(b",")]) for part in data.split(b'"number":')[1:]]


async def main(wish: dict[str, Any]) -> dict[str, Any]:
    """Open, ping, tell."""
    stalled: bool = wish.get("stalled", False)
    viewers = [
        Viewer(f"/v1/orders/{0 if stalled else number}/live", wish["token"], wish["first"])
        for number in range(wish["sockets"])
    ]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_SECONDS):
        for first in range(0, len(viewers), AT_ONCE):
            group = viewers[first : first + AT_ONCE]
            for viewer in group:
                await loop.create_connection(lambda it=viewer: it, "127.0.0.1", wish["port"])  # type: ignore[misc]
            await asyncio.gather(*(viewer.opened.wait() for viewer in group))
    await asyncio.sleep(1.0)
    redis = Redis.from_url(wish["redis_url"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    found = await (stall if stalled else ping)(redis, viewers, wish)
    await redis.aclose()
    return found


async def ping(redis: Redis, viewers: list[Viewer], wish: dict[str, Any]) -> dict[str, Any]:
    """Pings at a steady rate; how many came and how late."""
    for viewer in viewers:
        viewer.waits.clear()  # where riders were before
    began, sent = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - began) < wish["seconds"]:
        due = round(elapsed * wish["per_second"]) - sent
        while due > 0:
            count, now = min(due, ENTRY_PINGS), time.perf_counter()
            at_ms = time.time() * 1_000
            pings = [
                ["s", str((sent + n) % len(viewers)), now, 120.25, at_ms] for n in range(count)
            ]
            await redis.xadd("paotui:positions", {"m": orjson.dumps(pings)}, maxlen=10_000)
            sent, due = sent + count, due - count
        await asyncio.sleep(BURST_SECONDS)
    took = time.perf_counter() - began
    await asyncio.sleep(LAST_SECONDS)
    waits = [wait * 1_000 for one in viewers for wait in one.waits]
    return {
        "sent": sent,
        "delivered": len(waits),
        "seconds": took,
        "p50_ms": percentile(waits, 0.50),
        "p99_ms": percentile(waits, 0.99),
    }


async def stall(redis: Redis, viewers: list[Viewer], wish: dict[str, Any]) -> dict[str, Any]:
    """Large events at a steady rate, while the first viewer takes nothing."""
    viewers[0].transport.pause_reading()
    event = {
        "order_id": "0",
        "site_id": "s",
        "merchant_id": "m",
        "customer_id": "c",
        "type": "benchmark.large",
        "at": "2030-01-01T00:00:00.000000Z",
    }
    count = round(wish["seconds"] * EVENTS_PER_SECOND)
    for number in range(2, count + 2):
        data = {"number": number, "filler": "x" * EVENT_BYTES}
        message = orjson.dumps(event | {"seq": number, "data": data})
        await redis.xadd("paotui:events", {"m": message}, maxlen=100_000)
        await asyncio.sleep(1 / EVENTS_PER_SECOND)
    await asyncio.sleep(LAST_SECONDS)
    expected = list(range(2, count + 2))
    whole = sum(viewer.seqs == expected for viewer in viewers[1:])
    return {"events": count, "whole": whole, "others": len(viewers) - 1}


if __name__ == "__main__":
    answer = uvloop.run(main(orjson.loads(sys.stdin.buffer.readline())))
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
