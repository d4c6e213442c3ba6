"""Money back after delivery, through API, workflows, books and the gateway's oracle."""

import asyncio
import uuid

import httpx
import pytest

from tests.e2e.conftest import MakeWorld
from tests.e2e.world import Json, World

pytestmark = pytest.mark.stack

TIMERS = {"rider_ahead_seconds": 900, "refund_poll_seconds": [1, 1]}
SHORT = TIMERS | {"after_sale_seconds": 1}
NOODLES_FEN, FEE_FEN = 1_900, 400


async def ask(world: World, order: Json, *, key: str = "", **more: object) -> httpx.Response:
    """The customer asks for the noodles back."""
    body = {"lines": [{"line_no": 1, "quantity": 1}], "reason_code": "quality", **more}
    headers = world.token("customer", "c0") | {"Idempotency-Key": key or uuid.uuid4().hex}
    path = f"/v1/orders/{order['order_id']}/refunds"
    return await world.api.post(path, headers=headers, json=body)


async def asked(world: World, order: Json, **more: object) -> str:
    """The wish's id."""
    answer = await ask(world, order, **more)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["after_sale_id"])


async def tap(world: World, wish: str, role: str, name: str, subject: str, **body: str) -> Json:
    """Somebody's answer to a wish."""
    desk = "" if role == "customer" else f"/{role}"
    path = f"/v1{desk}/after-sales/{wish}/{name}"
    return await world.call("POST", path, world.token(role, subject), body or None)


async def until_refunded(world: World, order: Json, back_fen: int) -> Json:
    view = await world.until(order["order_id"], lambda view: view["after_sale"] == "refunded")
    assert view["refunded_fen"] == back_fen
    [moved] = await world.oracle(order["order_id"])
    assert moved["refunded_fen"] == back_fen
    await world.assert_laws()
    return view


async def test_the_merchant_agrees_while_the_order_lives(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers=TIMERS)
    order = await world.delivered()
    key = uuid.uuid4().hex
    answers = await asyncio.gather(*(ask(world, order, key=key) for _ in range(5)))
    assert {answer.content for answer in answers} == {answers[0].content}
    wish = answers[0].json()["after_sale_id"]
    second = await ask(world, order)
    assert (second.status_code, second.json()["type"]) == (409, "/problems/action_not_allowed")
    assert (second.json()["reason"], second.json()["left_lines"]) == ("nothing_left", [])
    said = await tap(world, wish, "merchant", "approve", world.merchant_id)
    assert (said["state"], said["amount_fen"]) == ("approved", NOODLES_FEN)
    view = await until_refunded(world, order, NOODLES_FEN)
    assert (view["status"], view["payment"]) == ("delivered", "partially_refunded")
    live = await world.view(order["order_id"], live=True)
    assert live["payment"] == "partially_refunded"


async def test_support_decides_after_the_order_has_ended(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers=SHORT)
    order = await world.delivered()
    await world.until(order["order_id"], lambda view: view["status"] == "completed")
    wish = await asked(world, order, delivery_fee=True)
    await tap(world, wish, "merchant", "reject", world.merchant_id, reason_code="was_fine")
    await tap(world, wish, "customer", "escalate", "c0")
    said = await tap(
        world, wish, "support", "decide", "sue", decision="approve", reason_code="photo"
    )
    assert said["state"] == "approved"
    view = await until_refunded(world, order, NOODLES_FEN + FEE_FEN)
    assert (view["status"], view["payment"]) == ("completed", "refunded")
    path = f"/v1/orders/{order['order_id']}/refunds"
    [shown] = (await world.call("GET", path, world.token("customer", "c0")))["items"]
    assert (shown["state"], shown["answer_code"]) == ("refunded", "photo")
