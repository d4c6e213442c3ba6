"""Platform credit in orders: alone, beside a channel's money, and on its way back."""

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
TOTAL_FEN = NOODLES_FEN + FEE_FEN


async def ask(world: World, order: Json, **wish: object) -> httpx.Response:
    """The customer wants something back."""
    headers = world.token("customer", "c0") | {"Idempotency-Key": uuid.uuid4().hex}
    path = f"/v1/orders/{order['order_id']}/refunds"
    return await world.api.post(path, headers=headers, json={"reason_code": "quality", **wish})


async def given_back(world: World, order: Json, **wish: object) -> None:
    """The merchant agrees to it."""
    answer = await ask(world, order, **wish)
    assert answer.status_code == 201, answer.text
    path = f"/v1/merchant/after-sales/{answer.json()['after_sale_id']}/approve"
    await world.call("POST", path, world.token("merchant", world.merchant_id))


async def until_back(world: World, order: Json, back_fen: int) -> Json:
    return await world.until(order["order_id"], lambda view: view["refunded_fen"] == back_fen)


async def taken(world: World, order: Json) -> tuple[int, int]:
    """What the channel took and gave back."""
    moved = await world.oracle(order["order_id"])
    return sum(one["paid_fen"] for one in moved), sum(one["refunded_fen"] for one in moved)


async def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


@pytest.mark.parametrize("credit_fen", [500, TOTAL_FEN])
async def test_delivered_and_settled(make_world: MakeWorld, credit_fen: int) -> None:
    world = await make_world(riders=1, timers=SHORT)
    await world.gift(TOTAL_FEN)
    quote = await world.quote()
    assert (quote["credit_available_fen"], quote["total_fen"]) == (TOTAL_FEN, TOTAL_FEN)
    assert quote["refund_order"] == ["channel", "credit"]
    order = await world.delivered(credit_fen=credit_fen)
    view = await world.until(order["order_id"], lambda view: view["status"] == "completed")
    assert (view["payment"], view["paid_fen"], view["credit_fen"]) == ("paid", 2_300, credit_fen)
    assert await taken(world, order) == (TOTAL_FEN - credit_fen, 0)
    assert await world.credit() == TOTAL_FEN - credit_fen
    await world.assert_laws()


async def test_credit_alone_needs_no_way_to_pay(make_world: MakeWorld) -> None:
    world = await make_world(timers=TIMERS)
    await world.gift(TOTAL_FEN)
    order = await world.place(credit_fen=TOTAL_FEN, payment=None)
    assert (order["status"], order["payment"]) == ("awaiting_acceptance", "paid")
    assert order.get("payment_channel") is None
    assert (await world.view(order["order_id"], live=True))["payment"] == "paid"
    assert (await world.cancel(order["order_id"])).is_success
    view = await world.until_home(order["order_id"])
    assert view["refunded_fen"] == TOTAL_FEN
    assert await world.credit() == TOTAL_FEN
    await world.assert_laws()


async def test_cancelled_before_it_was_paid(make_world: MakeWorld) -> None:
    world = await make_world(timers=TIMERS)
    await world.gift(500)
    order = await world.place(credit_fen=500)
    assert await world.credit() == 0
    await world.cancel(order["order_id"])
    assert await world.credit() == 500
    assert await taken(world, order) == (0, 0)
    await world.assert_laws()


@pytest.mark.parametrize("completed", [False, True])
async def test_by_line_the_channel_first_then_credit_never_more(
    make_world: MakeWorld, *, completed: bool
) -> None:
    world = await make_world(riders=1, timers=SHORT if completed else TIMERS)
    await world.gift(1_000)
    order = await world.delivered(credit_fen=1_000)
    if completed:
        await world.until(order["order_id"], lambda view: view["status"] == "completed")
    await given_back(world, order, lines=[{"line_no": 1, "quantity": 1}])
    view = await until_back(world, order, NOODLES_FEN)
    assert view["payment"] == "partially_refunded"
    assert await taken(world, order) == (1_300, 1_300)
    assert await world.credit() == 600
    await given_back(world, order, lines=[], delivery_fee=True)
    view = await until_back(world, order, TOTAL_FEN)
    assert (view["payment"], view["after_sale"]) == ("refunded", "refunded")
    assert (await taken(world, order), await world.credit()) == ((1_300, 1_300), 1_000)
    again = await ask(world, order, lines=[{"line_no": 1, "quantity": 1}])
    assert await refused(again) == (409, "action_not_allowed")
    await world.assert_laws()


async def test_support_gives_everything_back(make_world: MakeWorld) -> None:
    world = await make_world(timers=TIMERS)
    await world.gift(1_000)
    order = await world.paid(credit_fen=1_000)
    answer = await world.intervene(order["order_id"], "refund", amount_fen=TOTAL_FEN)
    assert answer.is_success, answer.text
    view = await until_back(world, order, TOTAL_FEN)
    assert (view["status"], view["payment"]) == ("awaiting_acceptance", "refunded")
    assert (await taken(world, order), await world.credit()) == ((1_300, 1_300), 1_000)
    more = await world.intervene(order["order_id"], "refund", amount_fen=1)
    assert await refused(more) == (409, "action_not_allowed")
    await world.assert_laws()


async def test_the_same_credit_pays_one_order(make_world: MakeWorld) -> None:
    world = await make_world(timers=TIMERS)
    await world.gift(500)
    quotes = [await world.quote() for _ in range(2)]
    answers = await asyncio.gather(*(world.try_place(quote, credit_fen=500) for quote in quotes))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    [lost] = [answer for answer in answers if answer.status_code == 409]
    assert await refused(lost) == (409, "credit_too_low")
    assert await world.credit() == 0
    await world.assert_laws()
