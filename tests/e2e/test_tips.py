"""Tips after delivery on the whole product: paid, too late, and never paid."""

import uuid
from collections.abc import Callable
from datetime import datetime

import httpx
import pytest

from domain.reconciliation import CHINA
from services import laws
from services.laws import Verdict
from tests.e2e.conftest import MakeWorld
from tests.e2e.world import Json, World, poll

pytestmark = pytest.mark.stack
TIMERS = {"rider_ahead_seconds": 900, "refund_poll_seconds": [1, 1], "after_sale_seconds": 300}
CONTRACT = {"commission_bp": 1_000}
WAY = {"channel": "wechat", "method": "jsapi"}
SETTLED_SECONDS, PAY_SECONDS = 15, 20


async def tip(
    world: World, order_id: str, amount_fen: int, *, key: str = "", customer: str = "c0"
) -> httpx.Response:
    """The customer's tap."""
    headers = world.token("customer", customer) | {"Idempotency-Key": key or uuid.uuid4().hex}
    body = {"amount_fen": amount_fen, "payment": WAY}
    return await world.api.post(f"/v1/orders/{order_id}/tip", headers=headers, json=body)


async def until(world: World, order_id: str, reached: Callable[[list[str]], bool]) -> None:
    """Wait until the states of the order's tips are so."""

    async def look() -> bool | None:
        path = f"/v1/orders/{order_id}/tips"
        given = await world.call("GET", path, world.token("customer", "c0"))
        return reached([one["state"] for one in given["items"]]) or None

    await poll(look)


async def earned(world: World) -> Json:
    """The rider's day, by what it is."""
    path = f"/v1/rider/earnings?day={datetime.now(CHINA).date()}"
    found = await world.call("GET", path, world.token("rider", "r0"))
    assert found["earned_fen"] == found["statement_in_fen"]
    return dict(found["parts"])


async def assert_kept(world: World, order_id: str) -> None:
    """No law is broken, and the books are what truly moved for the order and its tips."""

    async def broken() -> list[Verdict]:
        moved = await world.oracle(order_id)
        async with world.database.read() as reader:
            found = await laws.check(reader, world.site_id)
            found.append(await laws.compare(reader, moved, world.site_id))
        return [one for one in found if one.broken]

    async def kept() -> bool | None:
        return not await broken() or None

    try:
        await poll(kept, seconds=30)
    except TimeoutError:
        raise AssertionError(await broken()) from None


async def test_tips_are_their_riders_once_each(make_world: MakeWorld) -> None:
    world = await make_world(customers=2, riders=1, timers=TIMERS, contract=CONTRACT)
    order, task = await world.picked_up()
    order_id = order["order_id"]
    early = await tip(world, order_id, 300)
    assert (early.status_code, early.json()["type"]) == (409, "/problems/action_not_allowed")
    code = (await world.view(order_id))["handover_code"]
    proof = {"token": task["token"], "code": code}
    await world.rider("r0", f"tasks/{task['task_id']}/deliver", proof)
    assert (await tip(world, order_id, 300, customer="c1")).status_code == 404

    first = await tip(world, order_id, 300, key="one")
    assert (first.status_code, first.json()["state"]) == (201, "open"), first.text
    assert (await tip(world, order_id, 300, key="one")).json() == first.json()
    assert (await tip(world, order_id, 200, key="one")).status_code == 409
    second = await tip(world, order_id, 200)
    for given in (first, second):
        assert (await world.pay(given.json())).is_success
    await until(world, order_id, lambda states: states == ["paid", "paid"])
    assert await earned(world) == {"fee": 400, "tip": 500}
    view = await world.view(order_id)
    assert (view["status"], view["paid_fen"]) == ("delivered", view["total_fen"])
    too_much = await tip(world, order_id, 9_501)
    assert (too_much.status_code, too_much.json()["most_fen"]) == (422, 9_500)
    await assert_kept(world, order_id)


async def test_money_after_settling_goes_home_and_the_order_is_settled_alone(
    make_world: MakeWorld,
) -> None:
    timers = TIMERS | {"after_sale_seconds": SETTLED_SECONDS}
    world = await make_world(riders=1, timers=timers, contract=CONTRACT)
    order_id = (await world.delivered())["order_id"]
    given = await tip(world, order_id, 300)
    assert given.status_code == 201, given.text
    await world.until(order_id, lambda view: view["status"] == "completed")
    assert (await world.pay(given.json())).is_success
    await until(world, order_id, lambda states: states == ["returned"])
    assert await earned(world) == {"fee": 400}

    async def home() -> bool | None:
        moved = {one["out_trade_no"]: one for one in await world.oracle(order_id)}
        return moved[given.json()["tip_id"]]["refunded_fen"] == 300 or None

    await poll(home)
    await assert_kept(world, order_id)


async def test_what_nobody_pays_is_closed(make_world: MakeWorld) -> None:
    timers = TIMERS | {"payment_seconds": PAY_SECONDS, "notice_seconds": 1, "poll_seconds": [2]}
    world = await make_world(riders=1, timers=timers, contract=CONTRACT)
    order_id = (await world.delivered())["order_id"]
    assert (await tip(world, order_id, 300)).status_code == 201
    await until(world, order_id, lambda states: states == ["closed"])
    assert await earned(world) == {"fee": 400}
    await assert_kept(world, order_id)
