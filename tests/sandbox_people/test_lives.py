"""People with all kinds of habits on the running stack: every story ends as it should."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cli.people import People
from services.settings import Settings
from tests.sandbox_people.conftest import SPEED, Group, rider, wish

pytestmark = pytest.mark.stack

Gather = Callable[..., Awaitable[Group]]
END_SECONDS = 60
QUICK = {"accepts_after_seconds": 5, "cooks_seconds": 120}


async def ended(group: People, order: dict[str, Any]) -> dict[str, Any]:
    """The order's log once it has ended."""
    await group.order(order, wait_seconds=END_SECONDS)
    seen = await until(group, order["key"], "ended")
    assert seen["ended"], (seen, await group.progress())
    return seen


async def until(group: People, key: str, status: str) -> dict[str, Any]:
    """The order's log once it has that status, or has ended; 404 while it is not known."""
    query: dict[str, str | int] = {"status": status, "wait_seconds": END_SECONDS}
    for _ in range(50):
        path = f"{group.path}/orders/{key}"
        answer = await group.http.get(path, params=query, timeout=END_SECONDS * 2)
        if answer.status_code != 404:
            break
        await asyncio.sleep(0.1)
    seen: dict[str, Any] = answer.raise_for_status().json()
    return seen


def types(seen: dict[str, Any]) -> list[str]:
    return [kind for _, kind, _ in seen["events"]]


@pytest.mark.parametrize("method", ["jsapi", "native"])
async def test_from_tap_to_door(gather: Gather, method: str) -> None:
    group, shop_id = await gather()
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", {})
    for name in ("c1", "c2"):
        await group.add("rider", name, rider(name))
    seen = await ended(group, wish(shop_id, method=method, remark="少放辣"))
    assert (seen["status"], seen["payment"]) == ("delivered", "paid")
    assert [seq for seq, _, _ in seen["events"]] == list(range(1, len(seen["events"]) + 1))
    told = types(seen)
    story = ["order.placed", "order.paid", "order.accepted", "order.picked_up", "order.delivered"]
    assert [kind for kind in told if kind in story] == story
    progress = await group.progress()
    assert progress["by_status"] == {"delivered": 1}


@pytest.mark.parametrize(
    ("merchant", "customer", "reason", "payment"),
    [
        ({"accepts_after_seconds": "silent"}, {}, "merchant_silent", "refunded"),
        ({"accepts_after_seconds": 5, "rejects": 1}, {}, "merchant_rejected", "refunded"),
        (QUICK, {"pays": "no"}, "payment_expired", "unpaid"),
        (QUICK, {"pays": "late", "pay_after_seconds": 60}, "payment_expired", "unpaid"),
        (
            {"accepts_after_seconds": 600},
            {"cancels_after_seconds": 60},
            "customer_cancelled",
            "refunded",
        ),
        (
            QUICK | {"cooks_seconds": 3_600},
            {"cancels_after_seconds": 120},
            "customer_cancelled",
            "refunded",
        ),
        (QUICK, {}, "no_rider", "refunded"),
    ],
)
async def test_orders_that_end_early(
    gather: Gather,
    merchant: dict[str, Any],
    customer: dict[str, Any],
    reason: str,
    payment: str,
) -> None:
    group, shop_id = await gather(
        payment_seconds=300, search_seconds=300, search_support_seconds=60
    )
    await group.add("merchant", shop_id, merchant)
    await group.add("customer", "o1", customer)
    seen = await ended(group, wish(shop_id))
    assert (seen["status"], seen["close_reason"]) == ("cancelled", reason)
    assert seen["payment"] == payment


async def test_a_rider_who_vanishes_is_replaced(gather: Gather) -> None:
    group, shop_id = await gather()
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", {})
    await group.add("rider", "c1", rider("c1", goes_silent="after_claim"))
    order = wish(shop_id)
    await group.order(order, wait_seconds=END_SECONDS)
    await until(group, order["key"], "preparing")
    await group.add("rider", "c2", rider("c2"))
    seen = await ended(group, order)
    assert (seen["status"], seen["rider_id"]) == ("delivered", "c2")


async def test_riders_who_decline_or_say_nothing_are_passed_over(gather: Gather) -> None:
    group, shop_id = await gather()
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", {})
    await group.add("rider", "c1", rider("c1", claims=0, declines=0))
    await group.add("rider", "c2", rider("c2"))
    seen = await ended(group, wish(shop_id))
    assert (seen["status"], seen["rider_id"]) == ("delivered", "c2")


async def test_people_who_come_back_go_on_with_open_orders(gather: Gather, known: Settings) -> None:
    group, shop_id = await gather()
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", {})
    slow = rider("c1", speed_meters_per_minute=20)
    await group.add("rider", "c1", slow)
    order = wish(shop_id)
    placed = await group.order(order, wait_seconds=END_SECONDS)
    await until(group, order["key"], "delivering")
    await group.ask("DELETE", "")
    again = {"api_url": known.api_url, "speed": SPEED, "session_id": group.path.rpartition("/")[2]}
    opened = await group.http.post("/control/people/sessions", json=again)
    assert opened.status_code == 201
    await group.add("customer", "o1", {})
    await group.add("rider", "c1", rider("c1"))
    seen = await until(group, placed["order_id"], "ended")
    assert (seen["status"], seen["rider_id"]) == ("delivered", "c1")


async def test_what_is_refused_is_logged_as_that(gather: Gather) -> None:
    group, shop_id = await gather()
    await group.add("customer", "o1", {})
    far = wish(shop_id, place={"lat": 31.0, "lng": 121.0})
    seen = await ended(group, far)
    assert seen["status"] == "refused"
    assert seen["refused"]["type"] == "/problems/out_of_delivery_area"


@pytest.mark.parametrize(
    ("habits", "status", "reason"),
    [
        ({"dropoff": "door", "opens": False}, "delivered", ""),
        ({"dropoff": "return", "opens": False}, "cancelled", "customer_unreachable"),
        ({"opens": False}, "cancelled", "customer_unreachable"),
    ],
)
async def test_nobody_opens_the_door(
    gather: Gather, habits: dict[str, Any], status: str, reason: str
) -> None:
    group, shop_id = await gather(unreachable_seconds=60)
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", habits)
    await group.add("rider", "c1", rider("c1"))
    order = wish(shop_id)
    await group.order(order, wait_seconds=END_SECONDS)
    seen = await until(group, order["key"], status)
    assert (seen["status"], seen["close_reason"]) == (status, reason)


async def test_part_of_the_food_is_not_in_the_bag(gather: Gather) -> None:
    group, shop_id = await gather()
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", {})
    await group.add("rider", "c1", rider("c1", misses=1))
    lines = [{"item_id": "dish-0", "quantity": 3, "choices": {}}]
    seen = await ended(group, wish(shop_id, lines=lines))
    assert seen["status"] == "delivered"
    assert "order.refunding" in types(seen)


async def test_who_declines_for_good_leaves_it_to_the_other(gather: Gather) -> None:
    group, shop_id = await gather()
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", {})
    await group.add("rider", "c1", rider("c1", claims=0, decline_reason="too_far"))
    await group.add("rider", "c2", rider("c2"))
    seen = await ended(group, wish(shop_id))
    assert (seen["status"], seen["rider_id"]) == ("delivered", "c2")


async def test_who_pauses_is_asked_again_afterwards(gather: Gather) -> None:
    group, shop_id = await gather()
    await group.add("merchant", shop_id, QUICK)
    await group.add("customer", "o1", {})
    resting = {"pauses_after_seconds": 0, "pauses_for_seconds": 300}
    await group.add("rider", "c1", rider("c1", **resting))
    seen = await ended(group, wish(shop_id))
    assert (seen["status"], seen["rider_id"]) == ("delivered", "c1")
