"""What waits for a client is bounded, and a slow one is let go without slowing another."""

import asyncio
import time
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from api.live import hub
from api.live.outbox import LOOK, QUEUE_MESSAGES, RESTART, TOO_SLOW, Heads, News, Outbox, Place
from api.parts import Parts
from domain.positions import Sight
from services.positions import STREAM
from tests.api.live.line import (
    PATIENCE_SECONDS,
    following,
    hear,
    hear_all,
    publish,
    until_listening,
)
from tests.api.town import Town

FLOOD_EVENTS = QUEUE_MESSAGES * 4
LARGE = "x" * 50_000


def news(order_id: str, seq: int, **data: Any) -> News:
    message = {"order_id": order_id, "seq": seq, "type": "x", "at": "", "data": data}
    return News(order_id, seq, message)


async def test_states_are_ordered_and_positions_replace_each_other() -> None:
    outbox = Outbox("order:x")
    outbox.show(("s", "rod"), Sight.EXACT)
    places = [Place(number, number, 0) for number in range(3)]
    outbox.move(places[0])
    outbox.push(Heads(seqs={"x": 1}))
    outbox.move(places[1])
    assert await outbox.take(1) == Heads(seqs={"x": 1})
    assert await outbox.take(1) is places[1]
    assert await outbox.take(0.01) is None
    outbox.move(places[2])
    outbox.show(("s", "other"), Sight.EXACT)
    assert await outbox.take(0.01) is None
    assert not outbox.closed


async def test_a_client_that_keeps_up_is_written_to_at_once() -> None:
    outbox = Outbox("order:x")
    outbox.show(("s", "rod"), Sight.EXACT)
    written: list[bytes] = []
    keeps_up = True

    def write(frame: bytes) -> bool:
        if keeps_up:
            written.append(frame)
        return keeps_up

    outbox.write = write
    outbox.move(Place(1, 1, 0))
    keeps_up = False
    outbox.move(Place(2, 2, 0))
    keeps_up = True
    newest = Place(3, 3, 0)
    outbox.move(newest)
    assert [b'"lat":1' in frame for frame in written] == [True]
    assert await outbox.take(1) is newest


async def test_of_heads_the_newest_wait_and_nobody_is_closed_for_them() -> None:
    outbox = Outbox("rider:x")
    for number in range(QUEUE_MESSAGES * 2):
        outbox.push(LOOK)
        outbox.push(Heads(seqs={"x": number, f"y{number % 2}": number}))
    newest = QUEUE_MESSAGES * 2 - 1
    assert await outbox.take(1) == Heads(seqs={"x": newest, "y0": newest - 1, "y1": newest})
    outbox.push(LOOK)
    outbox.push(news("x", 1))
    outbox.push(LOOK)
    assert [type(await outbox.take(1)) for _ in range(3)] == [Heads, News, Heads]
    assert await outbox.take(0.01) is None
    assert not outbox.closed


async def test_an_outbox_that_overflows_ends_its_connection() -> None:
    outbox = Outbox("order:x")
    for seq in range(QUEUE_MESSAGES + 2):
        outbox.push(news("x", seq))
    assert outbox.over.result() == TOO_SLOW
    assert await outbox.take(1) is None


async def test_a_stalled_client_is_let_go_and_the_others_lose_nothing(
    town: Town, parts: Parts, port: int
) -> None:
    stream = await town.order()
    await publish(parts, stream.order_id)
    await until_listening(parts)
    path = f"/v1/orders/{stream.order_id}/live"
    topic = hub.order_topic(stream.order_id)
    async with (
        following(port, path, town.ann) as stalled,
        following(port, path, town.ann) as awake,
    ):
        for socket_ in (stalled, awake):
            assert (await hear(socket_))["type"] == "snapshot"
        stalled.transport.pause_reading()
        for seq in range(2, FLOOD_EVENTS):
            for outbox in tuple(parts.live.hub._outboxes[topic]):
                outbox.push(news(stream.order_id, seq, filler=LARGE))
            assert (await hear(awake))["seq"] == seq
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(parts.live.hub._outboxes[topic]) > 1:  # noqa: ASYNC110 - no Event
                await asyncio.sleep(0.05)
        for seq in range(FLOOD_EVENTS, FLOOD_EVENTS + 5):
            [outbox] = parts.live.hub._outboxes[topic]
            outbox.push(news(stream.order_id, seq))
            assert (await hear(awake))["seq"] == seq


async def test_who_does_not_take_messages_is_closed_with_1013(
    town: Town, parts: Parts, port: int
) -> None:
    stream = await town.order()
    await until_listening(parts)
    async with following(port, f"/v1/orders/{stream.order_id}/live", town.ann) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
        [outbox] = parts.live.hub._outboxes[hub.order_topic(stream.order_id)]
        for seq in range(2, QUEUE_MESSAGES + 3):
            outbox.push(news(stream.order_id, seq))
        with pytest.raises(ConnectionClosed) as closed:
            await hear_all(socket_)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == TOO_SLOW


async def test_a_drain_sends_everybody_away(town: Town, parts: Parts, port: int) -> None:
    order_id = (await town.order()).order_id
    path = f"/v1/orders/{order_id}/live"
    async with following(port, path, town.ann) as one, following(port, path, town.ann) as two:
        for socket_ in (one, two):
            assert (await hear(socket_))["type"] == "snapshot"
        await parts.live.hub.drain()
        parts.live.hub._draining = False
        for socket_ in (one, two):
            with pytest.raises(ConnectionClosed) as closed:
                await hear_all(socket_)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == RESTART


async def test_places_of_silent_riders_are_forgotten(parts: Parts) -> None:
    await until_listening(parts)
    now_ms = round(time.time() * 1_000)
    rows = [["s", "ghost", 1, 1, now_ms - 3_600_000], ["s", "here", 1, 1, now_ms]]
    await parts.positions.redis.xadd(STREAM, {"m": orjson.dumps(rows)})
    while parts.live.hub.place(("s", "here")) is None:  # noqa: ASYNC110 - a value, not an Event
        await asyncio.sleep(0.01)
    assert parts.live.hub.place(("s", "ghost")) is None
    parts.live.hub._forget()
    assert ("s", "ghost") not in parts.live.hub._places
