"""Fetched by the customer; a tip, its rating and the rider's day: on the whole product."""

from datetime import datetime

import pytest

from domain.proof import TRIES
from domain.reconciliation import CHINA
from tests.e2e.conftest import MakeWorld
from tests.e2e.world import Json, World

pytestmark = pytest.mark.stack
QUICK = {"after_sale_seconds": 3, "rider_ahead_seconds": 900}


async def quoted(world: World, **more: object) -> Json:
    """A price for noodles that are fetched, or brought as `more` says."""
    wish = {
        "shop_id": world.shop_id,
        "lines": [{"item_id": "noodles", "quantity": 1, "choices": {}}],
        **more,
    }
    return await world.call("POST", "/v1/quotes", world.token("customer", "c0"), wish)


async def paid(world: World, quote: Json) -> str:
    """An order of a quote that waits for its shop; its id."""
    answer = await world.try_place(quote)
    assert answer.status_code == 201, answer.text
    order_id = str(answer.json()["order_id"])
    assert (await world.pay(answer.json())).is_success
    await world.until(order_id, lambda view: view["status"] == "awaiting_acceptance")
    return order_id


async def fetched(world: World) -> str:
    """A paid order of a shop that lets customers come; its id."""
    shop = f"/v1/merchant/shops/{world.shop_id}"
    who = world.token("merchant", world.merchant_id)
    await world.call("POST", shop, who, {"self_pickup": True})
    return await paid(world, await quoted(world, fulfilment="self_pickup"))


async def test_the_shop_hands_over_against_the_code(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    order_id = await fetched(world)
    await world.merchant(order_id, "accept")
    assert (await world.merchant(order_id, "ready"))["status"] == "awaiting_pickup"
    code = (await world.view(order_id))["handover_code"]
    who = world.token("merchant", world.merchant_id)
    path = f"/v1/merchant/orders/{order_id}/hand-over"
    wrong = {"code": f"{(int(code) + 1) % 10_000:04d}"}
    refused = await world.api.post(path, headers=who, json=wrong)
    assert (refused.status_code, refused.json()["tries_left"]) == (422, TRIES - 1)
    assert (await world.merchant(order_id, "hand-over", {"code": code}))["status"] == "delivered"
    view = await world.until(order_id, lambda view: view["status"] == "completed")
    assert (view["delivery"], view["payment"]) == ("none", "paid")
    assert view["paid_fen"] == view["total_fen"] == 1800 + 100
    await world.assert_laws()


async def test_nobody_comes(make_world: MakeWorld) -> None:
    world = await make_world(timers={"collect_remind_seconds": [0.5], "collect_seconds": 1})
    order_id = await fetched(world)
    await world.merchant(order_id, "accept")
    await world.merchant(order_id, "ready")
    view = await world.until(order_id, lambda view: view["status"] == "completed")
    assert (view["close_reason"], view["refunded_fen"]) == ("not_collected", 0)
    await world.assert_laws()


async def test_a_tip_is_the_riders_and_the_word_is_counted(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers=QUICK | {"after_sale_seconds": 60})
    address_id = (await world.quote())["address_id"]
    order_id = await paid(world, await quoted(world, address_id=address_id, tip_fen=300))
    await world.merchant(order_id, "accept")
    task = await world.claim(order_id, "r0")
    await world.merchant(order_id, "ready")
    held = {"token": task["token"]}
    await world.rider("r0", f"tasks/{task['task_id']}/pickup", held)
    code = (await world.view(order_id))["handover_code"]
    await world.rider("r0", f"tasks/{task['task_id']}/deliver", held | {"code": code})
    rider, today = world.token("rider", "r0"), datetime.now(CHINA).date()
    earned = await world.call("GET", f"/v1/rider/earnings?day={today}", rider)
    assert earned["parts"] == {"fee": 400, "tip": 300}
    assert earned["earned_fen"] == earned["statement_in_fen"] == 700
    said = {"food": {"stars": 5}, "ride": {"stars": 4, "tags": ["punctual"]}}
    await world.call("POST", f"/v1/orders/{order_id}/rating", world.token("customer", "c0"), said)
    words = await world.call("GET", "/v1/rider/ratings", rider)
    assert words["sums"] == {"count": 1, "stars": 4, "average": 4.0}
    assert (await world.view(order_id))["rating"]["food"] == {"stars": 5, "tags": []}
    await world.assert_laws()


async def test_without_a_rider_the_tip_goes_home_too(make_world: MakeWorld) -> None:
    world = await make_world()
    address_id = (await world.quote())["address_id"]
    order_id = await paid(world, await quoted(world, address_id=address_id, tip_fen=300))
    assert (await world.cancel(order_id)).is_success
    view = await world.until_home(order_id)
    assert view["refunded_fen"] == view["total_fen"] == 1800 + 100 + 400 + 300
    await world.assert_laws()
