"""`python -m benchmarks.positions`: pings per second and core, by every way in, to a viewer.

Each way is fed by this process and counted at the process that takes: what its /metrics accepted,
by what CPU it used. Beside them the same writes without judgement: a bare Redis pipeline.
"""

import argparse
import asyncio
import base64
import os
import re
import secrets
import socket
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
from redis.asyncio import Redis
from sqlalchemy import text

from benchmarks import cpu
from benchmarks.ledger import server
from benchmarks.report import Figure, table
from cli import bundled, stack
from cli.state import State
from domain.positions import Fix
from services.db import Database
from services.identity import issue
from services.positions import STREAM, Ingest
from services.positions.store import KEPT_SECONDS, MOVES_MAX
from services.settings import Settings, settings

SITE = "s"
RIDERS = 500
BATCHES = (1, 10)
"""Pings in one message of a phone."""
PINGS_PER_SECOND = 30_000
SECONDS = 5.0
WINDOW_SECONDS = 0.05
START_SECONDS = 180.0
_SEED = (
    text("INSERT INTO sites (site_id, name) VALUES ('s', 'Site')"),
    text("""INSERT INTO riders (site_id, rider_id, zone_id, on_shift)
    SELECT 's', 'r' || n, 'z', true FROM generate_series(0, :riders - 1) n"""),
)

Send = Callable[[int, int], Awaitable[None]]
"""One message of a rider by number, with so many pings."""


class Taker:
    """A child process that takes positions, as its own window shows it."""

    def __init__(self, pid: int, metrics_port: int) -> None:
        self._pid = pid
        self._url = f"http://127.0.0.1:{metrics_port}"

    async def ready(self) -> None:
        """Return when it serves."""
        async with httpx.AsyncClient() as http, asyncio.timeout(START_SECONDS):
            while True:
                try:
                    await http.get(f"{self._url}/healthz")
                except httpx.HTTPError:
                    await asyncio.sleep(0.1)
                else:
                    return

    async def figures(self) -> tuple[float, float]:
        """(positions accepted, CPU seconds used) so far."""
        async with httpx.AsyncClient() as http:
            shown = (await http.get(f"{self._url}/metrics")).text
        found = re.findall(r'positions_total\{outcome="accepted",[^}]*\} (\S+)', shown)
        return sum(map(float, found)), cpu.of_parts({"taker": self._pid})["taker"]


class Viewer:
    """Reads the stream as a hub does, and counts."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(url)
        self.moves = 0

    async def run(self) -> None:
        """Until cancelled."""
        place: Any = "$"
        while True:
            answer: Any = await self._redis.xread({STREAM: place}, count=100, block=1_000)
            found = answer.items() if isinstance(answer, dict) else answer
            for _, entries in found:
                flat = entries[0] if isinstance(answer, dict) else entries
                for place, fields in flat:  # noqa: B007 - the last one is where it goes on
                    self.moves += len(orjson.loads(fields[b"m"]))


def batch(pings: int) -> bytes:
    """So many pings of the last milliseconds, somewhere in the same street."""
    now = datetime.now(UTC)
    return orjson.dumps(
        {
            "positions": [
                {
                    "lat": 31.23 + secrets.randbelow(1_000) / 1e6,
                    "lng": 121.47,
                    "at": now - timedelta(milliseconds=pings - number),
                    "accuracy_m": 8.0,
                }
                for number in range(pings)
            ]
        }
    )


async def measured(name: str, taker: Taker, viewer: Viewer, send: Send, pings: int) -> Figure:
    """Every rider sends again and again for SECONDS; what was taken by what CPU."""
    await asyncio.gather(*(send(number, pings) for number in range(RIDERS)))
    await asyncio.sleep(3 * WINDOW_SECONDS)
    (taken, used), seen, began = await taker.figures(), viewer.moves, time.monotonic()

    async def rider(number: int) -> None:
        while time.monotonic() < began + SECONDS:
            await send(number, pings)

    await asyncio.gather(*(rider(number) for number in range(RIDERS)))
    spent = time.monotonic() - began
    await asyncio.sleep(3 * WINDOW_SECONDS)
    taken_after, used_after = await taker.figures()
    count, seconds = taken_after - taken, used_after - used
    return Figure(
        name=f"{name}, {pings} a message",
        value=count / seconds,
        unit="/s and core",
        at_least=PINGS_PER_SECOND if pings > 1 else None,
        note=f"{count / spent:,.0f}/s taken, {(viewer.moves - seen) / spent:,.0f}/s to a viewer",
    )


async def bare(url: str) -> Figure:
    """The reads and writes of full windows, without judgement or JSON of phones."""
    redis, packed = Redis.from_url(url), orjson.dumps([[31.23, 121.47, 1_800_000_000_000, 8.0]])
    names = [f"r{number}" for number in range(RIDERS)]
    mapping: dict[Any, Any] = dict.fromkeys(names, packed)
    moves = orjson.dumps([[SITE, name, 31.23, 121.47, 1_800_000_000_000] for name in names])
    used, began, count = time.process_time(), time.monotonic(), 0
    while time.monotonic() < began + SECONDS:
        pipeline = redis.pipeline(transaction=False)
        pipeline.hmget(f"{STREAM}:bare", names)
        await pipeline.execute()
        pipeline = redis.pipeline(transaction=False)
        pipeline.hsetex(f"{STREAM}:bare", mapping=mapping, ex=KEPT_SECONDS)
        pipeline.xadd(STREAM, {"m": moves}, maxlen=1_000, approximate=True)
        await pipeline.execute()
        count += RIDERS
    await redis.aclose()
    rate = count / (time.process_time() - used)
    return Figure(name="bare Redis pipeline", value=rate, unit="/s and core")


async def alone(url: str, database: Database) -> Figure:
    """The ingest in this process, fed without any wire, one ping a message."""
    ingest = Ingest(url, database)
    used, began, count = time.process_time(), time.monotonic(), 0
    while time.monotonic() < began + SECONDS:
        at_ms = round(time.time() * 1_000)
        fixes = [Fix(31.23, 121.47, at_ms, 8.0)]
        batches = [ingest.put(SITE, f"r{n % RIDERS}", fixes, way="-") for n in range(MOVES_MAX)]
        count += sum([getattr(await each, "accepted", 0) for each in batches])
    rate = count / (time.process_time() - used)
    await ingest.close()
    return Figure(name="ingest alone", value=rate, unit="/s and core", at_least=PINGS_PER_SECOND)


@asynccontextmanager
async def by_http(port: int) -> AsyncIterator[Send]:
    """Each rider on a kept connection of their own; the next message follows the answer."""
    lines = {}
    for number in range(RIDERS):
        token = issue(site=SITE, role="rider", subject=f"r{number}", ttl_seconds=600)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/rider/positions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        lines[number] = (reader, writer, f"{head}Content-Type: application/json\r\n".encode())

    async def send(number: int, pings: int) -> None:
        reader, writer, head = lines[number]
        body = batch(pings)
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in answer[:20], answer
        found = re.search(rb"content-length: (\d+)", answer)
        assert found is not None
        await reader.readexactly(int(found[1]))

    yield send
    for _, writer, _ in lines.values():
        writer.close()


@asynccontextmanager
async def by_mqtt(port: int) -> AsyncIterator[Send]:
    """Each rider on a connection of their own, QoS 1: the next message follows the PUBACK."""
    lines = {}
    for number in range(RIDERS):
        name = f"{SITE}/riders/r{number}"
        token = issue(site=SITE, role="rider", subject=f"r{number}", ttl_seconds=600)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        fields = b"".join(_field(word) for word in (name, name, token))
        writer.write(_packet(0x10, b"\x00\x04MQTT\x04\xc2\x00\x00" + fields))
        assert (await reader.readexactly(4))[3] == 0
        lines[number] = (reader, writer, _field(f"paotui/{name}/positions") + b"\x00\x01")

    async def send(number: int, pings: int) -> None:
        reader, writer, head = lines[number]
        writer.write(_packet(0x32, head + batch(pings)))
        await reader.readexactly(4)
        # As often as HTTP would: a broker takes more than any phone sends.
        await asyncio.sleep(WINDOW_SECONDS)

    yield send
    for _, writer, _ in lines.values():
        writer.close()


def _packet(kind: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([kind])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(head) + bytes([length]) + body


def _field(word: str) -> bytes:
    return struct.pack(">H", len(word)) + word.encode()


async def run() -> list[Figure]:
    """Everything, on servers of its own."""
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="paotui-pings-")))
        state, ports = State.at(folder), _ports()
        state.prepare()
        url = f"redis://127.0.0.1:{ports['valkey']}/0"
        valkey = (str(bundled.valkey()), "--port", str(ports["valkey"]), "--save", "")
        await parts.enter_async_context(_child(*valkey))
        database_url = await parts.enter_async_context(server())
        broker = stack.mosquitto_binary(Settings())
        _tell_settings(folder, ports, url, database_url, state if broker else None)
        database = Database(database_url)
        parts.push_async_callback(database.close)
        async with database.write() as writer:
            for statement in _SEED:
                await writer.run(statement, {"riders": RIDERS})
        figures = [await bare(url), await alone(url, database)]
        viewer = Viewer(url)
        viewing = asyncio.create_task(viewer.run())
        parts.callback(viewing.cancel)
        for name, module, way, port in (
            ("HTTP", "api", by_http, ports["api"]),
            ("MQTT", "workers.positions", by_mqtt, ports["mqtt"]),
        ):
            if way is by_mqtt:
                if not broker:
                    continue
                component = stack.mosquitto(broker, state)
                await parts.enter_async_context(_child(*component.command))
            words = (sys.executable, "-m", module)
            taker = Taker(
                await parts.enter_async_context(_child(*words, metrics=ports[name])), ports[name]
            )
            await taker.ready()
            await asyncio.sleep(1)
            send = await parts.enter_async_context(way(port))
            figures += [await measured(name, taker, viewer, send, pings) for pings in BATCHES]
        return figures


def _ports() -> dict[str, int]:
    names = ("valkey", "api", "mqtt", "HTTP", "MQTT")
    taken = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: one.getsockname()[1] for name, one in taken.items()}
    for one in taken.values():
        one.close()
    return ports


def _tell_settings(
    folder: Path, ports: dict[str, int], redis_url: str, database_url: str, state: State | None
) -> None:
    """What children and this process see of their surroundings."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    told = {
        "HOME": str(folder),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "TEMPORAL_ADDRESS": "127.0.0.1:1",
        "API_PORT": str(ports["api"]),
        "RATE_LIMIT": "100000000/minute",
        "LOG_LEVEL": "error",
        **dict.fromkeys(("TOKEN_KEY", "PAYLOAD_KEY", "PERSONAL_KEY"), key),
    }
    if state is not None:
        told["MQTT_URL"] = f"mqtt://127.0.0.1:{ports['mqtt']}"
        told["MQTT_SOCKET"] = str(state.run / stack.MQTT_SOCKET)
    os.environ.update({f"PAOTUI_{name}": value for name, value in told.items()})
    settings.cache_clear()


@asynccontextmanager
async def _child(*command: str, metrics: int = 0) -> AsyncIterator[int]:
    """The process id of a server that is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | {"PAOTUI_METRICS_PORT": str(metrics)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        await process.wait()


def main() -> None:
    """Print the table, or JSON; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.positions", description=__doc__)
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    wanted = parser.parse_args()
    figures = asyncio.run(run())
    if wanted.json:
        print(orjson.dumps([figure.as_json() for figure in figures]).decode())
    else:
        print("\n".join(table(figures)))
    sys.exit(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    main()
