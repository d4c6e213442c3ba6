"""Live connections tell every event once and in order, with Redis or without it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.__main__ import Server
from api.feed import Follower, of_order
from api.hub import EVENTS, QUEUE_MESSAGES, Heads, News, Position, Subscriber
from api.parts import Parts
from services.events import Stream
from tests.api.town import Town
from tests.valkey import Valkey

PATIENCE_SECONDS = 10


@pytest.fixture(scope="session")
async def port(app: FastAPI) -> AsyncIterator[int]:
    """The application behind a real server."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, ws="websockets-sansio", access_log=False
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - a flag, not an Event
            await asyncio.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        await serving


async def publish(parts: Parts, order_id: str, *, but_seq: int = 0) -> None:
    """What the relay does with the outbox of an order; one event may get lost."""
    async with parts.database.write() as writer:
        rows = await writer.all(
            text("""DELETE FROM outbox WHERE order_id = :order_id
            RETURNING id, seq, CAST(message AS text) AS message"""),
            {"order_id": order_id},
        )
    for row in sorted(rows, key=lambda row: row.id):
        if row.seq != but_seq:
            await parts.cache.redis.xadd(EVENTS, {"m": row.message})


@contextlib.asynccontextmanager
async def following(
    port: int, path: str, headers: dict[str, str]
) -> AsyncIterator[ClientConnection]:
    """A WebSocket, open."""
    url = f"ws://127.0.0.1:{port}{path}"
    async with connect(url, additional_headers=headers, proxy=None, close_timeout=1) as opened:
        yield opened


async def hear(socket_: ClientConnection) -> dict[str, Any]:
    """The next message."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        return dict(json.loads(await socket_.recv()))


async def hear_all(socket_: ClientConnection) -> None:
    """Every message, until the other side ends it."""
    while True:
        await hear(socket_)


async def until_listening(parts: Parts, *, listening: bool = True) -> None:
    """Wait until the hub knows how Redis is."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while parts.hub._listening != listening:  # noqa: ASYNC110 - a flag, not an Event
            await asyncio.sleep(0.02)


async def test_a_snapshot_then_each_event_once(town: Town, parts: Parts, port: int) -> None:
    stream = await town.order()
    await until_listening(parts)
    path = f"/v1/orders/{stream.order_id}/live"
    async with following(port, path, town.ann) as socket_:
        first = await hear(socket_)
        assert (first["type"], first["seq"], first["status"]) == (
            "snapshot",
            1,
            "awaiting_payment",
        )
        assert len(first["handover_code"]) == 4
        for number in range(3):
            await town.happen(stream.order_id, step=number)
            await publish(parts, stream.order_id)
            event = await hear(socket_)
            assert (event["seq"], event["data"]) == (number + 2, {"step": number})
            assert set(event) == {"order_id", "seq", "type", "at", "data"}


async def test_what_redis_lost_is_filled_from_the_rows(town: Town, parts: Parts, port: int) -> None:
    stream = await town.order()
    await publish(parts, stream.order_id)
    await until_listening(parts)
    async with following(port, f"/v1/orders/{stream.order_id}/live", town.ann) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
        for _ in range(3):
            await town.happen(stream.order_id)
        await publish(parts, stream.order_id, but_seq=2)
        seen = [await hear(socket_) for _ in range(3)]
        assert [event["seq"] for event in seen] == [2, 3, 4]


async def test_resuming_by_seq(town: Town, parts: Parts, port: int) -> None:
    stream = await town.order()
    for number in range(4):
        await town.happen(stream.order_id, step=number)
    path = f"/v1/orders/{stream.order_id}/live"
    async with following(port, f"{path}?since=3", town.ann) as socket_:
        assert [(await hear(socket_))["seq"] for _ in range(2)] == [4, 5]
    async with following(port, f"{path}?since=99", town.ann) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
    merchant = town.headers("merchant", town.merchant_id)
    async with following(port, f"{path}?since=0", merchant) as socket_:
        seen = [await hear(socket_) for _ in range(5)]
    fold: dict[str, Any] = {}
    for event in seen:
        fold |= event["data"]
    assert fold == stream.view | {"step": 3}
    assert parts.hub.connections >= 0


async def test_server_sent_events_resume_by_last_event_id(
    town: Town, http: httpx.AsyncClient, port: int
) -> None:
    stream = await town.order()
    await town.happen(stream.order_id, step=1)
    url = f"http://127.0.0.1:{port}/v1/orders/{stream.order_id}/live"
    ticket = (await http.post("/v1/live-tickets", headers=town.ann)).json()["ticket"]
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        async with client.stream("GET", url, headers=town.ann) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.aiter_lines()
            assert await anext(lines) == "id: 2"
            assert orjson.loads((await anext(lines))[6:])["type"] == "snapshot"
        headers = {"Last-Event-ID": "1"}
        async with client.stream("GET", f"{url}?ticket={ticket}", headers=headers) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "id: 2"
            assert orjson.loads((await anext(lines))[6:])["data"] == {"step": 1}
        used = await client.get(f"{url}?ticket={ticket}")
        assert (used.status_code, used.json()["type"]) == (401, "/problems/unauthenticated")


async def test_a_shop_sees_its_orders_only(town: Town, parts: Parts, port: int) -> None:
    before = await town.order()
    await publish(parts, before.order_id)
    await until_listening(parts)
    merchant = town.headers("merchant", town.merchant_id)
    other = town.headers("merchant", "other")
    async with (
        following(port, "/v1/merchant/live", merchant) as mine,
        following(port, "/v1/merchant/live", other) as theirs,
    ):
        first = await hear(mine)
        assert [order["order_id"] for order in first["orders"]] == [before.order_id]
        assert (await hear(theirs))["orders"] == []
        fresh = await town.order()
        await publish(parts, fresh.order_id)
        event = await hear(mine)
        assert (event["order_id"], event["type"], event["seq"]) == (
            fresh.order_id,
            "order.placed",
            1,
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await theirs.recv()


async def test_a_rider_hears_of_offers(town: Town, parts: Parts, port: int) -> None:
    await until_listening(parts)
    rod = town.headers("rider", "rod")
    async with following(port, "/v1/rider/live", rod) as socket_:
        assert await hear(socket_) == {"type": "snapshot", "offers": []}
        message = {
            "type": "offer.made",
            "rider_id": "rod",
            "site_id": town.site_id,
            "task_id": "t",
            "token": 1,
            "expires_at": "2030-01-01T00:00:00.000000Z",
        }
        await parts.cache.redis.xadd(EVENTS, {"m": orjson.dumps(message)})
        told = await hear(socket_)
        assert (told["type"], told["task_id"], told["token"]) == ("offer.made", "t", 1)
        assert "site_id" not in told


@pytest.mark.parametrize("query", ["", "?ticket=forged", "?since=x"])
async def test_a_socket_that_may_not_be_opened(town: Town, port: int, query: str) -> None:
    order_id = (await town.order()).order_id
    headers = town.ann if query == "?since=x" else {}
    with pytest.raises(InvalidStatus) as refused:
        async with following(port, f"/v1/orders/{order_id}/live{query}", headers):
            pass
    response = refused.value.response
    assert response.status_code == (422 if headers else 401)
    assert response.headers["content-type"] == "application/problem+json"
    stranger = town.headers("customer", "bob")
    with pytest.raises(InvalidStatus) as hidden:
        async with following(port, f"/v1/orders/{order_id}/live", stranger):
            pass
    assert hidden.value.response.status_code == 404


async def test_without_redis_the_rows_are_asked(
    town: Town, parts: Parts, port: int, valkey: Valkey
) -> None:
    stream = await town.order()
    merchant = town.headers("merchant", town.merchant_id)
    await until_listening(parts)
    async with (
        following(port, f"/v1/orders/{stream.order_id}/live", town.ann) as customer,
        following(port, "/v1/merchant/live", merchant) as shop,
    ):
        assert (await hear(customer))["type"] == "snapshot"
        assert (await hear(shop))["type"] == "snapshot"
        valkey.stop()
        try:
            await until_listening(parts, listening=False)
            began = asyncio.get_running_loop().time()
            for number in range(3):
                await town.happen(stream.order_id, step=number)
            for connection in (customer, shop):
                seen = [(await hear(connection))["seq"] for _ in range(3)]
                assert seen == [2, 3, 4]
            assert asyncio.get_running_loop().time() - began < 3
            path = f"/v1/orders/{stream.order_id}"
            assert (await town.http.get(path, headers=town.ann)).json()["seq"] == 4
            ready = await town.http.get("/readyz")
            assert ready.json()["parts"]["redis"] != "ok"
            assert ready.json()["parts"]["database"] == "ok"
        finally:
            valkey.start()
        await until_listening(parts)
        await town.happen(stream.order_id, step=3)
        await publish(parts, stream.order_id)
        assert (await hear(customer))["seq"] == 5
        assert (await hear(shop))["seq"] == 5


async def test_who_does_not_take_messages_is_let_go(town: Town, parts: Parts, port: int) -> None:
    stream = await town.order()
    await until_listening(parts)
    async with following(port, f"/v1/orders/{stream.order_id}/live", town.ann) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
        [subscriber] = parts.hub._subscribers[f"order:{stream.order_id}"]
        for seq in range(2, QUEUE_MESSAGES + 3):
            subscriber.push(News(order_id=stream.order_id, seq=seq, message={"seq": seq}))
        with pytest.raises(ConnectionClosed) as closed:
            await hear_all(socket_)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


async def test_a_queue_is_bounded_and_positions_replace_each_other() -> None:
    subscriber = Subscriber("order:x")
    subscriber.move(Position(order_id="x", lat=1, lng=1))
    subscriber.move(Position(order_id="x", lat=2, lng=2))
    subscriber.push(Heads(seqs={"x": 1}))
    assert await subscriber.take(1) == Heads(seqs={"x": 1})
    assert await subscriber.take(1) == Position(order_id="x", lat=2, lng=2)
    assert await subscriber.take(0.01) is None
    assert not subscriber.closed


async def test_events_in_any_disorder_are_told_in_order(town: Town, parts: Parts) -> None:
    stream: Stream = await town.order()
    for _ in range(5):
        await town.happen(stream.order_id)
    subscriber = Subscriber("order:x")
    follower = Follower(parts, subscriber, {stream.order_id: 1})
    for seq in (2, 2, 1, 5, 4, 3, 6, 6):
        message: dict[str, Any] = {
            "order_id": stream.order_id,
            "seq": seq,
            "type": "x",
            "at": "",
            "data": {},
        }
        subscriber.push(News(order_id=stream.order_id, seq=seq, message=message))
    told = []
    async with aclosing(follower.follow()) as lines:
        async for line in lines:
            told.append(line.seq)
            if line.seq == 6:
                break
    assert told == [2, 3, 4, 5, 6]
    async with aclosing(of_order(parts, "nothing", None, {})) as lines:
        assert [line async for line in lines] == []
