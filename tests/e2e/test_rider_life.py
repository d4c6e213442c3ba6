"""Riders on the running stack: phones that die in every state, ways out of a silent door."""

import asyncio
from typing import Any

import pytest

from tests.e2e.conftest import MakeWorld
from tests.e2e.world import PLACE, Json, World, poll

pytestmark = pytest.mark.stack
SHORT = {
    "rider_ahead_seconds": 900,
    "offer_seconds": 4,
    "rider_silence_seconds": 6,
    "search_support_seconds": 6,
    "search_seconds": 12,
    "promise_seconds": 10,
    "late_seconds": 3,
    "late_support_seconds": 6,
    "late_fail_seconds": 30,
    "unreachable_seconds": 5,
}
"""A rider who is gone is missed after 6 seconds, an order that nobody brings ends after 40."""
PHOTO = b"\x89PNG\r\n\x1a\n a door"
STATES = {
    "offered": "no_rider",
    "assigned": "no_rider",
    "at_store": "no_rider",
    "picked_up": "delivery_failed",
    "arrived": "delivery_failed",
    "unreachable": "delivery_failed",
    "failed": "delivery_failed",
    "left_behind": "no_rider",
}
"""Where the only rider's phone dies, and why the order then ends; its money is always home."""


async def tap(world: World, task: Json, name: str, **more: Any) -> Json:
    return await world.rider(
        "r0", f"tasks/{task['task_id']}/{name}", {"token": task["token"], **more}
    )


async def reach(world: World, state: str) -> Json:
    """An order whose rider has come so far, and does nothing any more."""
    order = await world.accepted()
    if state == "offered":
        await world.until(order["order_id"], lambda view: view["delivery"] == "offered")
        return order
    task = await world.claim(order["order_id"], "r0")
    steps: dict[str, tuple[tuple[str, Json], ...]] = {
        "assigned": (),
        "at_store": (("arrive-store", {}),),
        "picked_up": (("pickup", {}),),
        "failed": (("pickup", {}), ("fail", {"reason_code": "bike_broken"})),
        "left_behind": (
            ("pickup", {}),
            ("fail", {"reason_code": "accident", "goods_lat": 30.26, "goods_lng": 120.14}),
        ),
        "arrived": (("pickup", {}), ("arrive-customer", {})),
        "unreachable": (
            ("pickup", {}),
            ("arrive-customer", {}),
            ("calls", {"outcome": "no_answer"}),
            ("unreachable", {}),
        ),
    }
    for name, more in steps[state]:
        await tap(world, task, name, **more)
    return order


async def test_a_phone_dies_in_any_state_and_each_order_still_ends_right(
    make_world: MakeWorld,
) -> None:
    async def live(state: str) -> tuple[str, Json]:
        world = await make_world(riders=1, timers=SHORT)
        order = await reach(world, state)
        ended = await world.until_home(order["order_id"])
        await world.assert_laws()
        return state, ended

    ended = dict(await asyncio.gather(*(live(state) for state in STATES)))
    assert {state: view["close_reason"] for state, view in ended.items()} == STATES
    assert {view["refunded_fen"] - view["paid_fen"] for view in ended.values()} == {0}


async def at_the_door(world: World) -> tuple[Json, Json]:
    order, task = await world.picked_up()
    await tap(world, task, "arrive-customer")
    return order, task


async def keep_photo(world: World, task: Json) -> str:
    answer = await world.api.post(
        f"/v1/rider/tasks/{task['task_id']}/photos",
        params={"token": task["token"]},
        headers=world.token("rider", "r0"),
        content=PHOTO,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["photo_id"])


async def test_left_at_the_door_where_the_customer_wished_it(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900})
    order, task = await at_the_door(world)
    photo_id = await keep_photo(world, task)
    path = f"/v1/rider/tasks/{task['task_id']}/deliver"
    proof = {"token": task["token"], "photo_id": photo_id}
    refused = await world.api.post(path, headers=world.token("rider", "r0"), json=proof)
    assert refused.json()["type"] == "/problems/action_not_allowed"
    customer = world.token("customer", "c0")
    where = f"/v1/orders/{order['order_id']}"
    await world.call("PUT", f"{where}/dropoff", customer, {"wish": "door"})
    await tap(world, task, "deliver", photo_id=photo_id)
    view = await world.view(order["order_id"])
    assert (view["status"], view["photo_id"], view["dropoff"]) == ("delivered", photo_id, "door")
    shown = await world.api.get(f"{where}/photos/{photo_id}", headers=customer)
    assert (shown.content, shown.headers["content-type"]) == (PHOTO, "image/png")


async def test_back_to_the_shop_when_nobody_can_be_reached(make_world: MakeWorld) -> None:
    world = await make_world(
        riders=1, timers={"rider_ahead_seconds": 900, "unreachable_seconds": 1}
    )
    order, task = await at_the_door(world)
    await tap(world, task, "calls", outcome="busy")
    await tap(world, task, "unreachable")
    await poll_until_back(world, task)
    view = await world.until(order["order_id"], lambda view: view["status"] == "cancelled")
    assert (view["close_reason"], view["payment"]) == ("customer_unreachable", "paid")
    await world.assert_laws()


async def poll_until_back(world: World, task: Json) -> None:
    """The way back opens when the timer is over."""
    path = f"/v1/rider/tasks/{task['task_id']}/return"

    async def returned() -> bool | None:
        answer = await world.api.post(
            path, headers=world.token("rider", "r0"), json={"token": task["token"]}
        )
        return answer.is_success or None

    await poll(returned)


async def test_part_of_it_is_missing_and_the_rest_arrives(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900, "after_sale_seconds": 1})
    quote = await world.quote(quantity=3)
    placed = await world.try_place(quote)
    order = placed.json()
    assert (await world.pay(order)).is_success
    order_id = order["order_id"]
    await world.until(order_id, lambda view: view["status"] == "awaiting_acceptance")
    await world.merchant(order_id, "accept")
    task = await world.claim(order_id, "r0")
    await tap(world, task, "pickup", missing=[{"line_no": 1, "quantity": 1}])
    view = await world.until(order_id, lambda view: view["payment"] == "partially_refunded")
    assert (view["refunded_fen"], view["missing"]) == (1_900, [{"line_no": 1, "quantity": 1}])
    await tap(world, task, "deliver", code=view["handover_code"])
    await world.until(order_id, lambda view: view["status"] == "completed")
    await world.assert_laws()


async def test_another_rider_brings_what_an_accident_left_behind(make_world: MakeWorld) -> None:
    world = await make_world(riders=2, timers={"rider_ahead_seconds": 900})
    await world.rider("r1", "shift", {"on": False})
    order, task = await world.picked_up()
    await world.rider("r1", "shift", {"on": True, **PLACE})
    left = {"reason_code": "accident", "goods_lat": 30.265, "goods_lng": 120.14}
    await tap(world, task, "fail", **left)
    again = await world.claim(order["order_id"], "r1")
    path = f"tasks/{again['task_id']}"
    await world.rider("r1", f"{path}/pickup", {"token": again["token"]})
    code = (await world.view(order["order_id"]))["handover_code"]
    await world.rider("r1", f"{path}/deliver", {"token": again["token"], "code": code})
    view = await world.view(order["order_id"])
    assert (view["status"], view["rider_id"]) == ("delivered", "r1")
    await world.assert_laws()
