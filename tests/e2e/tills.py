"""Customers at the till: how each channel is asked for, and paid at with what the order shows."""

from typing import Any

import httpx

from tests.e2e.world import Json, World

WAYS = {
    "wechat": {"channel": "wechat", "method": "jsapi"},
    "alipay": {"channel": "alipay", "method": "native"},
    "card": {"channel": "card", "method": "card"},
    "bank": {"channel": "bank", "method": "ecny"},
}
ALL = tuple(WAYS)
SHOWN = {"alipay": "qr_code", "card": "client_secret", "bank": "code_url"}


async def try_pay(world: World, order: Json, **more: Any) -> httpx.Response:
    """The customer pays at whatever channel the answer names, whatever comes of it."""
    channel = order["payment_channel"]
    if channel == "wechat":
        return await world.pay(order, **more)
    name = SHOWN[channel]
    told = {name: order["payment_parameters"][name], **more}
    return await world.gateway.post(f"/control/{channel}/pay", json=told)


async def pay_at(world: World, order: Json, **more: Any) -> None:
    """The same, and the channel takes it."""
    answer = await try_pay(world, order, **more)
    assert answer.is_success, answer.text


async def again(world: World, order_id: str, way: Json, customer: str = "c0") -> Json:
    """Pay again, by another channel."""
    who = world.token("customer", customer)
    return await world.call("POST", f"/v1/orders/{order_id}/payments", who, way)
