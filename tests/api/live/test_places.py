"""A rider is seen by the people of the orders they carry, as exactly as the state allows."""

import time
from typing import Any

import httpx
import orjson
import pytest
from websockets.asyncio.client import ClientConnection

from api.parts import Parts
from domain.geo import Point
from domain.orders import Delivery, Status
from domain.positions import Sight, cell, sight
from services.identity import Role
from services.positions import STREAM
from tests.api.live.line import following, hear, publish, until_listening
from tests.api.town import Town

CANARY = (30.271828, 120.314159)


@pytest.mark.parametrize(
    ("role", "status", "delivery", "seen"),
    [
        (Role.CUSTOMER, Status.PREPARING, Delivery.OFFERED, Sight.NOTHING),
        (Role.CUSTOMER, Status.PREPARING, Delivery.ASSIGNED, Sight.COARSE),
        (Role.CUSTOMER, Status.AWAITING_PICKUP, Delivery.AT_STORE, Sight.COARSE),
        (Role.CUSTOMER, Status.DELIVERING, Delivery.PICKED_UP, Sight.EXACT),
        (Role.SUPPORT, Status.DELIVERING, Delivery.ARRIVED, Sight.EXACT),
        (Role.MERCHANT, Status.PREPARING, Delivery.ASSIGNED, Sight.COARSE),
        (Role.MERCHANT, Status.DELIVERING, Delivery.PICKED_UP, Sight.NOTHING),
        (Role.CUSTOMER, Status.DELIVERED, Delivery.DELIVERED, Sight.NOTHING),
        (Role.CUSTOMER, Status.DELIVERED, Delivery.ARRIVED, Sight.NOTHING),
        (Role.CUSTOMER, Status.CANCELLED, Delivery.ASSIGNED, Sight.NOTHING),
        (Role.CUSTOMER, Status.DELIVERING, Delivery.FAILED, Sight.NOTHING),
    ],
)
def test_who_sees_what(role: Role, status: str, delivery: str, seen: Sight) -> None:
    shop = role is Role.MERCHANT
    assert sight(status=status, delivery=delivery, shop=shop) is seen


async def move(parts: Parts, town: Town, place: tuple[float, float], rider: str = "rod") -> None:
    row = [town.site_id, rider, *place, round(time.time() * 1_000)]
    await parts.positions.redis.xadd(STREAM, {"m": orjson.dumps([row])})


async def step(parts: Parts, town: Town, order_id: str, **data: Any) -> None:
    await town.happen(order_id, **data)
    await publish(parts, order_id)


async def next_place(socket_: ClientConnection) -> tuple[float, float, bool]:
    message = await hear(socket_)
    assert message["type"] == "position", message
    return message["lat"], message["lng"], message.get("coarse", False)


async def test_positions_follow_the_orders_state(town: Town, parts: Parts, port: int) -> None:
    order_id = (await town.order()).order_id
    await publish(parts, order_id)
    await until_listening(parts)
    centre = cell(Point(*CANARY))
    coarse = (centre.lat, centre.lng, True)
    async with following(port, f"/v1/orders/{order_id}/live", town.ann) as ann:
        assert (await hear(ann))["type"] == "snapshot"
        await move(parts, town, CANARY)
        await step(parts, town, order_id, delivery="searching")
        assert (await hear(ann))["seq"] == 2
        await step(parts, town, order_id, delivery="assigned", rider_id="rod")
        assert (await hear(ann))["seq"] == 3
        assert await next_place(ann) == coarse
        await move(parts, town, (CANARY[0] + 0.0001, CANARY[1]))
        await move(parts, town, CANARY, "another")
        await step(parts, town, order_id, delivery="picked_up", status="delivering")
        assert (await hear(ann))["seq"] == 4
        assert await next_place(ann) == (CANARY[0] + 0.0001, CANARY[1], False)
        await move(parts, town, CANARY)
        assert await next_place(ann) == (*CANARY, False)
        await step(parts, town, order_id, delivery="searching", rider_id="")
        assert (await hear(ann))["seq"] == 5
        await move(parts, town, CANARY)
        await step(parts, town, order_id, delivery="picked_up", rider_id="another")
        assert (await hear(ann))["seq"] == 6
        assert await next_place(ann) == (*CANARY, False)
        await step(parts, town, order_id, delivery="delivered", status="delivered")
        assert (await hear(ann))["seq"] == 7
        await move(parts, town, CANARY, "another")
        await step(parts, town, order_id, after="all")
        assert (await hear(ann))["seq"] == 8
    assert not parts.live.hub._viewers


async def test_a_resumed_line_sees_by_the_newest_state(
    town: Town, parts: Parts, port: int, http: httpx.AsyncClient
) -> None:
    order_id = (await town.order()).order_id
    await town.happen(order_id, delivery="picked_up", status="delivering", rider_id="rod")
    await publish(parts, order_id)
    await until_listening(parts)
    await move(parts, town, CANARY)
    path = f"/v1/orders/{order_id}"
    async with following(port, f"{path}/live?since=1", town.ann) as ann:
        assert (await hear(ann))["seq"] == 2
        assert await next_place(ann) == (*CANARY, False)
    page = (await http.get(f"{path}/events?since=2", headers=town.ann)).json()
    assert (page["position"]["lat"], page["position"]["lng"]) == CANARY
    shop = town.headers("merchant", town.merchant_id)
    assert (await http.get(f"{path}/events", headers=shop)).json()["position"] is None
    await town.happen(order_id, delivery="delivered", status="delivered")
    await publish(parts, order_id)
    page = (await http.get(f"{path}/events?since=2", headers=town.ann)).json()
    assert page["position"] is None
    async with following(port, f"{path}/live?since=1", town.ann) as ann:
        assert [(await hear(ann))["seq"] for _ in range(2)] == [2, 3]
        await move(parts, town, CANARY)
        await step(parts, town, order_id, after="all")
        assert (await hear(ann))["seq"] == 4
