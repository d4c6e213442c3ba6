"""`python -m benchmarks.live`: deliveries per second and core of a live hub, and a stalled client.

One run of about a minute on a PostgreSQL and a Valkey of its own, beside a plain FastAPI hub; what
each figure means is in `docs/benchmarks.md`.
"""

import asyncio
import base64
import math
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from benchmarks import cpu
from benchmarks.children import child
from benchmarks.ledger import server
from benchmarks.report import Figure, table
from cli import bundled
from services.identity import issue

SOCKETS = 1_000
STALL_SOCKETS = 21
SECONDS = 5.0
RATES = (20_000, 40_000, 60_000, 80_000)
PLAIN_RATES = (10_000, 20_000, 40_000)
PER_CORE, P99_MS, PEAK_MB = 60_000, 20.0, 10.0
SPARE_SECONDS = 180.0
READY_SECONDS = 90.0
_ORDERS = """
SET LOCAL session_replication_role = replica;
INSERT INTO order_streams (order_id, site_id, customer_id, merchant_id, shop_id, seq, view)
SELECT n::text, 's', 'c', 'm', 'shop', 1, jsonb_build_object('order_id', n::text,
  'status', 'delivering', 'delivery', 'picked_up', 'rider_id', n::text)
FROM generate_series(0, {count} - 1) AS n
"""


@asynccontextmanager
async def redis() -> AsyncIterator[str]:
    """The bundled Valkey, empty, keeping nothing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = await asyncio.create_subprocess_exec(
        str(bundled.valkey()), *words, stdout=asyncio.subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{port}/0"
    try:
        async with asyncio.timeout(READY_SECONDS), Redis.from_url(url) as client:
            while True:
                try:
                    await client.ping()
                    break
                except RedisError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def hub() -> AsyncIterator[tuple[int, int]]:
    """Ours, as it is deployed: its port and its process."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, own = (one.getsockname()[1] for one in held)
    for one in held:
        one.close()
    os.environ |= {"PAOTUI_LIVE_PORT": str(port), "PAOTUI_METRICS_PORT": str(own)}
    async with child("api.live") as process:
        async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient() as client:
            while True:
                try:
                    (await client.get(f"http://127.0.0.1:{own}/readyz")).raise_for_status()
                    break
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
        yield port, process.pid


@asynccontextmanager
async def plain(redis_url: str) -> AsyncIterator[tuple[int, int]]:
    """The one beside it."""
    async with child("benchmarks.live_plain", redis_url) as process:
        assert process.stdout is not None
        async with asyncio.timeout(READY_SECONDS):
            port = int(await process.stdout.readline())
        yield port, process.pid


async def watched(wish: dict[str, Any], pid: int) -> dict[str, Any]:
    """What the viewers found, and what the hub's process used meanwhile."""
    async with child("benchmarks.live_watchers") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(orjson.dumps(wish) + b"\n")
        async with asyncio.timeout(SPARE_SECONDS):
            await process.stdout.readline()
            before = _used(pid), _bytes(pid, "VmRSS")
            found: dict[str, Any] = orjson.loads(await process.stdout.readline())
        used = _used(pid) - before[0]
    return found | {"cpu": used, "peak_mb": (_bytes(pid, "VmHWM") - before[1]) / 1e6}


def _used(pid: int) -> float:
    return cpu.of_parts({"hub": pid})["hub"]


def _bytes(pid: int, name: str) -> int:
    """A line of /proc/<pid>/status that is in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1_024


async def paced(name: str, wish: dict[str, Any], pid: int, rates: tuple[int, ...]) -> list[Figure]:
    """Every rate in turn, and the best of those that are in time."""
    figures, best = [], math.nan
    for rate in rates:
        found = await watched(wish | {"per_second": rate}, pid)
        per_core = found["delivered"] / found["cpu"]
        told = (
            f"{found['delivered'] / found['seconds']:,.0f}/s, {found['cpu'] / found['seconds']:.2f}"
            f" cores, p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.1f} ms,"
            f" {found['sent'] - found['delivered']} replaced"
        )
        figures.append(
            Figure(name=f"{name} at {rate:,}/s", value=per_core, unit="/core-s", note=told)
        )
        if found["p99_ms"] <= P99_MS:
            best = per_core if math.isnan(best) else max(best, per_core)
    target = PER_CORE if name == "hub" else None
    best_name = f"{name}: deliveries per core and second, p99 ≤ {P99_MS:.0f} ms"
    return [*figures, Figure(name=best_name, value=best, unit="/core-s", at_least=target)]


async def stall(wish: dict[str, Any], pid: int) -> list[Figure]:
    """One of 21 that takes nothing."""
    found = await watched(wish | {"sockets": STALL_SOCKETS, "stalled": True}, pid)
    note = f"of {found['others']}, {found['events']} events of 4 kB, one client stalled"
    return [
        Figure(
            name="others that got every event in order",
            value=found["whole"],
            unit="clients",
            at_least=found["others"],
            note=note,
        ),
        Figure(
            name="hub's memory at its highest, beyond before",
            value=found["peak_mb"],
            unit="MB",
            at_most=PEAK_MB,
        ),
    ]


async def run() -> list[Figure]:
    """Everything, one after another."""
    async with server() as database_url, redis() as redis_url:
        with psycopg.connect(database_url) as connection:
            connection.execute(_ORDERS.format(count=SOCKETS).encode())
        with tempfile.TemporaryDirectory(prefix="paotui-live-") as home:
            os.environ |= {
                "PAOTUI_HOME": home,
                "PAOTUI_DATABASE_URL": database_url,
                "PAOTUI_REDIS_URL": redis_url,
                "PAOTUI_TOKEN_KEY": base64.b64encode(os.urandom(32)).decode(),
                "PAOTUI_LOG_LEVEL": "warning",
            }
            wish = {
                "redis_url": redis_url,
                "token": issue(site="s", role="customer", subject="c", ttl_seconds=3_600),
                "sockets": SOCKETS,
                "seconds": SECONDS,
            }
            async with plain(redis_url) as (port, pid):
                beside = wish | {"port": port, "first": "HTTP/1.1 101"}
                figures = await paced("plain FastAPI", beside, pid, PLAIN_RATES)
            async with hub() as (port, pid):
                ours = wish | {"port": port, "first": "snapshot"}
                held = await stall(ours, pid)  # first: later the highest is that of a crowd
                figures += await paced("hub", ours, pid, RATES) + held
    return figures


if __name__ == "__main__":
    measured = uvloop.run(run())
    sys.stdout.write("\n".join(table(measured)) + "\n")
    sys.exit(any(figure.met is False for figure in measured))
