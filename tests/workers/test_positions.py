"""Positions by MQTT, on a real broker: each rider under their own name, on their own topic only."""

import asyncio
import base64
import os
import struct
import tempfile
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gmqtt
import httpx
import orjson
import pytest
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

from cli import stack
from cli.state import State
from services import metrics
from services.db import Database
from services.identity import issue
from services.positions import Ingest, of_riders
from services.settings import Settings, settings
from tests.zone import City
from workers.gate import INGEST, Gate
from workers.positions import Subscriber

PATIENCE_SECONDS = 20
SECRET = "secret"
BROKER = stack.mosquitto_binary(Settings())
pytestmark = pytest.mark.skipif(not BROKER, reason="no mosquitto (Debian: mosquitto) here")


@pytest.fixture(scope="module")
def token_key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAOTUI_TOKEN_KEY", base64.b64encode(os.urandom(32)).decode())
        settings.cache_clear()
        yield
    settings.cache_clear()


class Broker:
    """A mosquitto as `paotui up` starts it; it can be stopped and started again."""

    def __init__(self, state: State) -> None:
        self.socket = str(state.run / stack.MQTT_SOCKET)
        self._component = stack.mosquitto(BROKER, state)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._component.command, stdout=DEVNULL, stderr=DEVNULL
        )
        async with asyncio.timeout(PATIENCE_SECONDS), httpx.AsyncClient() as http:
            while await self._component.ready(http):  # noqa: ASYNC110 - a process, not an Event
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        assert self._process is not None
        self._process.kill()
        await self._process.wait()


@pytest.fixture(scope="module")
async def broker(token_key: None) -> AsyncIterator[Broker]:
    assert token_key is None
    with tempfile.TemporaryDirectory(prefix="paotui-mqtt-", dir="/tmp") as folder:
        state = State.at(Path(folder))
        state.prepare()
        made = Broker(state)
        await made.start()
        yield made
        await made.stop()


@pytest.fixture(scope="module")
async def port(broker: Broker) -> AsyncIterator[int]:
    """The broker's door."""
    gate = await Gate(broker.socket, SECRET).serve("127.0.0.1", 0)
    yield gate.sockets[0].getsockname()[1]
    gate.close()


@pytest.fixture
async def ingest(port: int, database: Database, valkey_url: str) -> AsyncIterator[Ingest]:
    made = Ingest(valkey_url, database)
    subscriber = Subscriber(urlsplit(f"mqtt://127.0.0.1:{port}"), made, SECRET)
    await subscriber.connect(asyncio.Event())
    await subscriber.check()
    yield made
    await subscriber.client.disconnect()
    await made.close()


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    made = await City.build(database, site_id)
    await made.add_riders("a", "b")
    return made


async def connect(
    city: City,
    port: int,
    rider: str,
    *,
    name: str = "",
    client_id: str = "",
    role: str = "rider",
    version: int = MQTTv50,
) -> gmqtt.Client:
    """A phone."""
    own = f"{city.site_id}/riders/{rider}"
    client = gmqtt.Client(client_id or name or own, clean_session=True)
    client.set_config({"reconnect_retries": 0})
    token = issue(site=city.site_id, role=role, subject=rider, ttl_seconds=600)
    client.set_auth_credentials(name or own, token)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await client.connect("127.0.0.1", port, version=version)
    return client


def batch(north: float = 0.0) -> bytes:
    place = {"lat": 31.23 + north, "lng": 121.47, "at": datetime.now(UTC).isoformat()}
    return orjson.dumps({"positions": [place]})


def topic(city: City, rider: str) -> str:
    return f"paotui/{city.site_id}/riders/{rider}/positions"


def count(outcome: str) -> float:
    found: Any = metrics.POSITIONS.labels("mqtt", outcome)
    return float(found._value.get())


async def until_known(ingest: Ingest, city: City, rider: str) -> float:
    """The latitude once it is there."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await of_riders(ingest.redis, city.site_id, [rider])
            if found:
                return found[rider].lat
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("version", [MQTTv50, MQTTv311])
async def test_a_riders_own_positions_arrive_and_no_others(
    ingest: Ingest, city: City, port: int, version: int
) -> None:
    phone, heard, malformed = (
        await connect(city, port, "a", version=version),
        [],
        count("malformed"),
    )
    phone.on_message = lambda *message: heard.append(message)
    phone.subscribe("#")
    phone.subscribe(topic(city, "a"))
    phone.publish(topic(city, "b"), batch(), qos=1)
    phone.publish(topic(City(city.database, "elsewhere"), "a"), batch(), qos=1)
    phone.publish(topic(city, "a"), b"{", qos=1)
    phone.publish(topic(city, "a"), batch(0.001), qos=1)
    assert await until_known(ingest, city, "a") == pytest.approx(31.231)
    assert await of_riders(ingest.redis, city.site_id, ["b"]) == {}
    assert count("malformed") == malformed + 1
    assert heard == []
    await phone.disconnect()


async def test_nobody_comes_in_under_another_name(city: City, port: int) -> None:
    other = f"{city.site_id}/riders/b"
    wrong: list[dict[str, str]] = [
        {"name": other},
        {"client_id": other},
        {"role": "customer"},
        {"name": INGEST, "client_id": f"{INGEST}/x"},
        {"role": "operations", "name": INGEST, "client_id": f"{INGEST}/x"},
        {"name": "a"},
    ]
    for each in wrong:
        for version in (MQTTv50, MQTTv311):
            with pytest.raises(MQTTConnectError):
                await connect(city, port, "a", version=version, **each)
    with pytest.raises(MQTTConnectError):
        await connect(City(city.database, "+"), port, "a")


@pytest.mark.parametrize(
    "packet",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\xff\xff\xff\xff\x01",
        b"\x10\xff\xff\x7f" + bytes(10),
        b"\x10\x0a\x00\x04MQTT\x03\x00\x00\x00",
        b"\x10\x0c\x00\x04MQTT\x04\xc2\x00\x00\xff\xff",
        b"\x10\x0d\x00\x04MQTT\x05\xc2\x00\x00\xff\xff\xff",
        b"\x10\x0f\x00\x04MQTT\x04\xc2\x00\x00\x00\x01" + struct.pack(">H", 1) + b"\xff",
    ],
)
async def test_what_is_no_client_is_closed(port: int, packet: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(packet)
    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = await reader.read()
    assert answer in {b"", b"\x20\x02\x00\x05"}
    writer.close()


async def test_a_broker_that_comes_back_is_found(
    ingest: Ingest, city: City, broker: Broker, port: int
) -> None:
    await broker.stop()
    await broker.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await of_riders(ingest.redis, city.site_id, ["a"]):
            phone = await connect(city, port, "a")
            phone.publish(topic(city, "a"), batch(), qos=1)
            await asyncio.sleep(0.2)
            await phone.disconnect()
