"""Live connections tell every event once and in order, with Redis or without it."""

import asyncio
from contextlib import aclosing
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import text

from api.live.feed import Follower
from api.live.hub import EVENTS
from api.live.outbox import News, Outbox
from api.parts import Parts
from services import dispatch, riders
from services.events import Stream
from tests.api.live.line import PATIENCE_SECONDS, following, hear, publish, until_listening
from tests.api.town import Town
from tests.valkey import Valkey

_TO_RIDERS = text("SELECT message FROM outbox WHERE site_id = :site_id AND seq = 0")


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


async def test_resuming_by_seq(town: Town, port: int) -> None:
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
            welcome = orjson.loads((await anext(lines))[6:])
            assert (welcome["type"], welcome["transport"]) == ("welcome", "sse")
            assert [await anext(lines) for _ in range(2)] == ["", "id: 2"]
            assert orjson.loads((await anext(lines))[6:])["type"] == "snapshot"
        headers = {"Last-Event-ID": "1"}
        async with client.stream("GET", f"{url}?ticket={ticket}", headers=headers) as answer:
            lines = answer.aiter_lines()
            assert [await anext(lines) for _ in range(3)][2] == "id: 2"
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


async def test_a_rider_hears_of_offers_and_tips(town: Town, parts: Parts, port: int) -> None:
    await until_listening(parts)
    rod = town.headers("rider", "rod")
    async with following(port, "/v1/rider/live", rod) as socket_:
        assert await hear(socket_) == {"type": "snapshot", "offers": [], "tasks": []}
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
        tip = {"type": "tip.given", "order_id": "o", "task_id": "t", "amount_fen": 500}
        whose = {"rider_id": "rod", "site_id": town.site_id}
        await parts.cache.redis.xadd(EVENTS, {"m": orjson.dumps(tip | whose)})
        assert await hear(socket_) == tip


async def test_a_rider_hears_that_the_shift_has_ended(town: Town, parts: Parts, port: int) -> None:
    await until_listening(parts)
    rod, who = town.headers("rider", "rod"), {"site_id": town.site_id, "rider_id": "rod"}
    async with following(port, "/v1/rider/live", rod) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
        async with town.database.write() as writer:
            for on in (True, False):
                await riders.set_shift(writer, **who, on=on)
                await dispatch.end_shift_if_done(writer, **who)
        async with town.database.read() as reader:
            message = await reader.scalar(_TO_RIDERS, {"site_id": town.site_id})
        await parts.cache.redis.xadd(EVENTS, {"m": orjson.dumps(message)})
        assert await hear(socket_) == {"type": "shift.ended"}


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
            for number in range(3):
                await town.happen(stream.order_id, step=number)
            for connection in (customer, shop):
                seen = [(await hear(connection))["seq"] for _ in range(3)]
                assert seen == [2, 3, 4]
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


async def test_what_was_flushed_is_found_by_the_audit(
    town: Town, parts: Parts, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.live.hub.AUDIT_SECONDS", 0.5)
    stream = await town.order()
    await publish(parts, stream.order_id)
    await until_listening(parts)
    async with following(port, f"/v1/orders/{stream.order_id}/live", town.ann) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
        await town.happen(stream.order_id)
        await parts.cache.redis.flushall()
        assert (await hear(socket_))["seq"] == 2
        await town.happen(stream.order_id)
        await publish(parts, stream.order_id, but_seq=2)
        assert (await hear(socket_))["seq"] == 3


async def test_events_in_any_disorder_are_told_in_order(town: Town, parts: Parts) -> None:
    stream: Stream = await town.order()
    for _ in range(5):
        await town.happen(stream.order_id)
    outbox = Outbox("order:x")
    follower = Follower(parts.live, outbox, {stream.order_id: 1})
    for seq in (2, 2, 1, 5, 4, 3, 6, 6):
        message: dict[str, Any] = {
            "order_id": stream.order_id,
            "seq": seq,
            "type": "x",
            "at": "",
            "data": {},
        }
        outbox.push(News(stream.order_id, seq, message))
    told = []
    async with aclosing(follower.follow()) as lines:
        async for line in lines:
            told.append(line.seq)
            if line.seq == 6:
                break
    assert told == [2, 3, 4, 5, 6]
