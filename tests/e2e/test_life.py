"""One order from tap to completed, as its customer, shop and rider live it."""

import pytest

from tests.e2e.conftest import MakeWorld

pytestmark = pytest.mark.stack


async def test_an_order_lives_from_tap_to_completed(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"after_sale_seconds": 1, "rider_ahead_seconds": 900})
    order = await world.delivered()
    view = await world.until(order["order_id"], lambda view: view["status"] == "completed")
    assert view["payment"] == "paid"
    assert view["delivery"] == "delivered"
    assert view["paid_fen"] == view["total_fen"] == 1800 + 100 + 400
    await world.assert_laws()
    [payment] = await world.oracle(order["order_id"])
    assert (payment["paid_fen"], payment["refunded_fen"], payment["charges"]) == (2300, 0, 1)


async def test_the_public_events_rebuild_the_state(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900})
    order = await world.delivered()
    path = f"/v1/orders/{order['order_id']}/events?since=0"
    events = (await world.call("GET", path, world.token("customer", "c0")))["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    fold: dict[str, object] = {}
    for event in events:
        fold |= event["data"]
    view = await world.view(order["order_id"])
    assert fold == {name: view[name] for name in fold}
    assert view["seq"] == events[-1]["seq"]


async def test_live_and_stored_answers_agree_in_each_status(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900})
    placed = await world.place()
    orders = [placed, await world.delivered(), await world.paid(), await world.accepted()]
    assert (await world.cancel(placed["order_id"])).is_success
    for order in orders:
        live = await world.view(order["order_id"], live=True)
        stored = await world.view(order["order_id"])
        assert live == stored


async def test_another_tenants_order_is_not_found(make_world: MakeWorld) -> None:
    world, other = await make_world(customers=2), await make_world()
    order = await world.place()
    path = f"/v1/orders/{order['order_id']}"
    for who in (
        world.token("customer", "c1"),
        other.token("customer", "c0"),
        other.token("support", "ann"),
        other.token("merchant", world.merchant_id),
    ):
        answer = await world.api.get(path, headers=who)
        assert answer.status_code in {403, 404}, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
