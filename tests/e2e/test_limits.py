"""Limits under races: one claim, fifty of fifty, one order per key."""

import asyncio
import uuid
from collections import Counter
from functools import partial

import pytest

from tests.e2e.conftest import MakeWorld
from tests.e2e.world import Json, World, poll

pytestmark = pytest.mark.stack


async def test_two_hundred_orders_for_a_stock_of_fifty(make_world: MakeWorld) -> None:
    """Fifty are sold; ten of them expire unpaid, and exactly ten more sell."""
    world = await make_world(stock=50, timers={"payment_seconds": 45, "merchant_seconds": 600})
    quote = await world.quote()
    gate = asyncio.Semaphore(20)

    async def buy() -> tuple[int, Json]:
        async with gate:
            answer = await world.try_place(quote)
            return answer.status_code, answer.json()

    answers = await asyncio.gather(*(buy() for _ in range(200)))
    assert Counter(status for status, _ in answers) == {201: 50, 409: 150}
    assert {body["type"] for status, body in answers if status == 409} == {"/problems/sold_out"}
    sold = [body for status, body in answers if status == 201]
    paid, unpaid = sold[:40], sold[40:]
    for order in paid:
        assert (await world.pay(order)).is_success
    for order in unpaid:
        view = await world.until(order["order_id"], lambda view: view["status"] == "cancelled")
        assert view["close_reason"] == "payment_expired"
    again = await asyncio.gather(*(buy() for _ in range(20)))
    assert Counter(status for status, _ in again) == {201: 10, 409: 10}
    for order in paid:
        assert (await world.view(order["order_id"]))["status"] == "awaiting_acceptance"
    await world.assert_laws()


async def test_the_same_tap_twenty_times_is_one_order(make_world: MakeWorld) -> None:
    world = await make_world(timers={"payment_seconds": 3, "notice_seconds": 60})
    quote, key = await world.quote(), uuid.uuid4().hex
    answers = await asyncio.gather(*(world.try_place(quote, key=key) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    order_id = answers[0].json()["order_id"]

    await world.until(order_id, lambda view: view["status"] == "cancelled")
    again = await world.try_place(quote, key=key)
    assert (again.status_code, again.content) == (201, answers[0].content)

    other = await world.try_place(quote, key=key, remark="another body")
    assert other.status_code == 409
    assert other.json()["type"] == "/problems/idempotency_conflict"
    assert len(await world.oracle(order_id)) == 1
    await world.assert_laws()


async def test_a_claim_is_one_riders(make_world: MakeWorld) -> None:
    """The rider who was offered the task has it; everybody else is told so."""
    world = await make_world(riders=3, timers={"rider_ahead_seconds": 900})
    order = await world.accepted()
    offers = await poll(partial(offers_of, world, order["order_id"]))
    [(rider, offer)] = offers.items()
    others = [name for name in ("r0", "r1", "r2") if name != rider]
    path = f"/v1/rider/tasks/{offer['task_id']}/claim"
    taps = [
        world.api.post(path, headers=world.token("rider", name), json={"token": offer["token"]})
        for name in [*others, rider, *others, rider]
    ]
    answers = await asyncio.gather(*taps)
    won = [answer.is_success for answer in answers]
    assert won == [False, False, True, False, False, True], [answer.text for answer in answers]
    assert {answer.status_code for answer in answers if not answer.is_success} <= {404, 409}
    await world.assert_laws()


async def offers_of(world: World, order_id: str) -> dict[str, Json] | None:
    """Who is offered an order's task."""
    found: dict[str, Json] = {}
    for name in ("r0", "r1", "r2"):
        work = await world.call("GET", "/v1/rider/offers", world.token("rider", name))
        mine = [one for one in work["offers"] if one["order_id"] == order_id]
        if mine:
            found[name] = mine[0]
    return found or None
