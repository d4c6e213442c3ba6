"""A client that takes nothing loses its connection itself, not only its place in the hub."""

import asyncio
import socket
from typing import Any

import pytest
from fastapi import FastAPI
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from api import serving
from api.live import hub, outbox, telling
from api.live.outbox import News
from api.parts import Parts
from tests.api.live.conftest import server_of
from tests.api.live.line import PATIENCE_SECONDS, following, hear, publish, until_listening
from tests.api.town import Town

OTHERS = 20
EVENTS = 300
FILLER = "x" * 40_000
LIMIT_BYTES = 1_000_000
TAKES_BYTES = 4_096


def tell(parts: Parts, order_id: str, seq: int, *, filler: str = FILLER) -> None:
    """As the hub does with an event that it reads."""
    data = {"filler": filler}
    message: dict[str, Any] = {
        "order_id": order_id,
        "seq": seq,
        "type": "x",
        "at": "",
        "data": data,
    }
    for one in tuple(parts.live.hub._outboxes[hub.order_topic(order_id)]):
        one.push(News(order_id, seq, message))


async def connections(server: serving.Server, count: int) -> None:
    """Wait until the server has so many."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(server.server_state.connections) != count:  # noqa: ASYNC110 - no Event
            await asyncio.sleep(0.05)


async def followed(
    port: int, path: str, headers: dict[str, str], *, takes_bytes: int = 0
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A stream of server-sent events, after the request."""
    plain = socket.socket()
    if takes_bytes:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes_bytes)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    limit = takes_bytes or LIMIT_BYTES
    reader, writer = await asyncio.open_connection(sock=plain, limit=limit)
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{told}\r\n".encode())
    return reader, writer


async def ids(reader: asyncio.StreamReader, upto: int) -> list[int]:
    """The ids of the events that are told, as far as this one."""
    found: list[int] = []
    while not found or found[-1] < upto:
        line = await reader.readline()
        assert line, "the stream has ended"
        if line.startswith(b"id: "):
            found.append(int(line[4:]))
    return found


async def test_a_stalled_stream_is_cut_off_and_twenty_others_lose_nothing(
    town: Town, parts: Parts, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "QUEUE_MESSAGES", 64)
    monkeypatch.setattr(telling, "GONE_SECONDS", 0.5)
    order_id = (await town.order()).order_id
    await publish(parts, order_id)
    await until_listening(parts)
    path = f"/v1/orders/{order_id}/live"
    async with server_of(app) as (server, port):
        _, stalled = await followed(port, path, town.ann, takes_bytes=TAKES_BYTES)
        streams = [await followed(port, path, town.ann) for _ in range(OTHERS)]
        for reader, _ in streams:
            assert await ids(reader, 1) == [1]
        await connections(server, OTHERS + 1)
        for seq in range(2, EVENTS):
            tell(parts, order_id, seq)
            for found in await asyncio.gather(*(ids(reader, seq) for reader, _ in streams)):
                assert found == [seq]
        await connections(server, OTHERS)
        for _, writer in streams:
            writer.close()
        stalled.close()


async def test_a_stream_that_is_sent_away_does_not_stay_for_what_is_not_read(
    town: Town, parts: Parts, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "GONE_SECONDS", 0.5)
    order_id = (await town.order()).order_id
    await publish(parts, order_id)
    await until_listening(parts)
    async with server_of(app) as (server, port):
        path = f"/v1/orders/{order_id}/live"
        _, stalled = await followed(port, path, town.ann, takes_bytes=TAKES_BYTES)
        await connections(server, 1)
        [connection] = server.server_state.connections
        while not parts.live.hub.connections:  # noqa: ASYNC110 - a number, not an Event
            await asyncio.sleep(0.01)
        for seq in range(2, EVENTS * 10):
            tell(parts, order_id, seq, filler=FILLER[:4_000])
            await asyncio.sleep(0.001)
            if connection.transport.get_write_buffer_size():
                break
        assert 0 < connection.transport.get_write_buffer_size() < HIGH_WATER_LIMIT
        await parts.live.hub.drain()
        parts.live.hub._draining = False
        await connections(server, 0)
        stalled.close()


async def test_a_socket_that_answers_no_ping_is_cut_off(
    town: Town, parts: Parts, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "PING_SECONDS", 0.5)
    order_id = (await town.order()).order_id
    await publish(parts, order_id)
    await until_listening(parts)
    async with (
        server_of(app) as (server, port),
        following(port, f"/v1/orders/{order_id}/live", town.ann) as stalled,
    ):
        assert (await hear(stalled))["type"] == "snapshot"
        stalled.transport.pause_reading()
        for seq in range(2, outbox.QUEUE_MESSAGES):
            tell(parts, order_id, seq)
        await connections(server, 0)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while parts.live.hub.connections:  # noqa: ASYNC110 - a number, not an Event
                await asyncio.sleep(0.02)
