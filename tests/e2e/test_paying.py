"""Paying well: one tap, one attempt per tap, why it failed and what is left, nothing grown old."""

import asyncio
import uuid

import pytest
from sqlalchemy import text

from tests.e2e.conftest import MakeWorld
from tests.e2e.test_channels import ALL, QUICK, WAYS, again, pay_at
from tests.e2e.world import Json, World, poll

pytestmark = pytest.mark.stack

AGED = text("""
UPDATE payment_attempts SET created_at = now() - interval '2 hours' WHERE order_id = :id
""")
SLOW = {"refund_poll_seconds": [1, 1]}
"""Nobody asks the gateway: what a page says comes from what was heard."""


async def page(world: World, order_id: str) -> Json:
    """The payment's page, as the customer's app asks for it."""
    return await world.call("GET", f"/v1/orders/{order_id}/payment", world.token("customer", "c0"))


async def kept(world: World, customer: str = "c0") -> Json:
    """What is kept of a customer for paying."""
    return await world.call("GET", "/v1/me/payment-methods", world.token("customer", customer))


async def attempts(world: World, order_id: str) -> list[str]:
    """The states of an order's attempts, oldest first."""
    question = text("SELECT state FROM payment_attempts WHERE order_id = :id ORDER BY attempt")
    async with world.database.read() as reader:
        return [row.state for row in await reader.all(question, {"id": order_id})]


async def test_what_has_grown_old_is_renewed_and_the_same_tap_is_one_payment(
    make_world: MakeWorld,
) -> None:
    world = await make_world(timers=QUICK)
    order = await world.place()
    way = {"channel": "wechat", "method": "jsapi"}
    same = await asyncio.gather(*(again(world, order["order_id"], way) for _ in range(3)))
    assert await attempts(world, order["order_id"]) == ["opened"]
    prepay = order["payment_parameters"]["package"]
    assert {one["payment_parameters"]["package"] for one in same} == {prepay}
    async with world.database.write() as writer:
        await writer.run(AGED, {"id": order["order_id"]})
    pages = await asyncio.gather(*(page(world, order["order_id"]) for _ in range(3)))
    assert {one["state"] for one in pages} == {"open"}
    [renewed] = {one["payment_parameters"]["package"] for one in pages}
    assert renewed != prepay
    assert await attempts(world, order["order_id"]) == ["opened", "opened"]
    assert (await world.pay(pages[0])).is_success
    await world.until(order["order_id"], lambda view: view["payment"] == "paid")
    paid = await page(world, order["order_id"])
    assert (paid["state"], paid["ask_again_after_seconds"], paid["ways"]) == ("paid", None, [])

    async def closed() -> bool | None:
        return await attempts(world, order["order_id"]) == ["closed", "paid"] or None

    await poll(closed)
    await world.assert_laws()


async def test_a_card_is_kept_by_consent_and_then_one_tap(make_world: MakeWorld) -> None:
    world = await make_world(customers=2, timers=QUICK, channels=ALL)
    assert await kept(world) == {"last_used": None, "saved": [], "complete": True}
    first = await world.place(payment=WAYS["card"] | {"save": True})
    await pay_at(world, first)
    await world.until(first["order_id"], lambda view: view["payment"] == "authorized")
    found = await kept(world)
    assert found["last_used"] == WAYS["card"]
    [card] = found["saved"]
    shown = {"brand": "visa", "last4": "4242", "expires": "2034-12"}
    assert card.items() >= (shown | {"merchant_id": world.merchant_id}).items()
    tapped = await world.place(payment=None)
    assert tapped["payment_channel"] == "card"
    await world.until(tapped["order_id"], lambda view: view["payment"] == "authorized")
    theirs = WAYS["card"] | {"saved_method": card["saved_method"]}
    quote = await world.quote("c1")
    stolen = await world.try_place(quote, "c1", payment=theirs)
    assert stolen.status_code == 404, stolen.text
    path = f"/v1/me/payment-methods/{card['saved_method']}"
    other = await world.api.delete(path, headers=world.token("customer", "c1"))
    assert other.status_code == 404
    gone = await world.api.delete(path, headers=world.token("customer", "c0"))
    assert gone.status_code == 204, gone.text
    assert (await kept(world))["saved"] == []
    forgotten = await world.try_place(await world.quote(), payment=theirs)
    assert forgotten.status_code == 404
    await world.assert_laws()


async def test_a_decline_says_why_and_another_channel_is_one_call(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK, channels=ALL)
    order = await world.place(payment=WAYS["card"])
    await pay_at(world, order, card="declined:insufficient_funds")

    async def told() -> Json | None:
        found = await page(world, order["order_id"])
        return found if found["failure"] else None

    found = await poll(told)
    assert (found["state"], found["failure"]["advice"]) == ("open", "other_method")
    assert found["failure"]["reason"] == "insufficient_funds"
    assert [way["channel"] for way in found["ways"]] == ["wechat", "alipay", "bank", "card"]
    await pay_at(world, await again(world, order["order_id"], WAYS["alipay"]))
    await world.until(order["order_id"], lambda view: view["payment"] == "paid")
    await world.assert_laws()


async def test_a_refused_first_way_leaves_the_order_payable(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK, channels=ALL, payers={"bank": "nobody"})
    wallet = {"channel": "bank", "method": "wallet"}
    refused = await world.try_place(await world.quote(), payment=wallet)
    told = refused.json()
    assert (refused.status_code, told["failure"]["advice"]) == (422, "sign_again"), told
    assert [way["channel"] for way in told["payments"]] == ["wechat", "alipay", "card", "bank"]
    found = await page(world, told["order_id"])
    assert (found["state"], found["failure"]["reason"]) == ("failed", "authorisation_lost")
    order = await again(world, told["order_id"], {"channel": "wechat", "method": "jsapi"})
    assert (await world.pay(order)).is_success
    await world.until(told["order_id"], lambda view: view["payment"] == "paid")
    await world.assert_laws()


async def test_checking_while_unknown_and_the_channel_that_is_down_comes_last(
    make_world: MakeWorld,
) -> None:
    world = await make_world(timers=SLOW, channels=ALL)
    script = {"channel": "wechat", "operation": "create", "fault": "http_500", "times": None}
    script |= {"mchid": world.mchid}
    (await world.gateway.post("/control/faults", json=script)).raise_for_status()
    answer = await world.try_place(await world.quote())
    assert answer.status_code == 202, answer.text
    order_id = answer.json()["order_id"]
    found = await page(world, order_id)
    assert (found["state"], found["payment_parameters"]) == ("checking", None)
    assert found["ask_again_after_seconds"] > 0
    assert found["ways"][-1]["channel"] == "wechat"
    assert (await world.quote())["payments"][-1]["channel"] == "wechat"
    await pay_at(world, await again(world, order_id, WAYS["bank"]))
    await world.until(order_id, lambda view: view["payment"] == "paid")
    await world.assert_laws()


@pytest.mark.parametrize("channel", sorted(WAYS))
async def test_a_create_that_was_taken_unseen_is_repeated_under_its_number(
    make_world: MakeWorld, channel: str
) -> None:
    world = await make_world(timers=QUICK, channels=ALL)
    script = {"channel": channel, "operation": "create", "fault": "drop_after_commit", "times": 1}
    script |= {"mchid": world.payee(channel)}
    (await world.gateway.post("/control/faults", json=script)).raise_for_status()
    quote, key = await world.quote(), uuid.uuid4().hex

    async def placed() -> Json | None:
        answer = await world.try_place(quote, key=key, payment=WAYS[channel])
        return dict(answer.json()) if answer.status_code == 201 else None

    order = await poll(placed)
    await pay_at(world, order)
    await world.until(order["order_id"], lambda view: view["status"] == "awaiting_acceptance")
    assert len(await world.moved(channel)) == 1
    assert len(await attempts(world, order["order_id"])) == 1
    await world.assert_laws()


async def test_a_code_nobody_scanned_is_watched_and_late_money_goes_home(
    make_world: MakeWorld,
) -> None:
    """Alipay knows nothing of it when the order ends; it can be paid all the same."""
    world = await make_world(timers=QUICK, channels=ALL)
    order = await world.place(payment=WAYS["alipay"])
    assert (await world.cancel(order["order_id"])).is_success
    assert await attempts(world, order["order_id"]) == ["watched"]
    await pay_at(world, order)
    await world.until(order["order_id"], lambda view: view.get("late_payment") == "success")
    assert await attempts(world, order["order_id"]) == ["late"]
    [moved] = await world.moved("alipay")
    assert moved["refunded_fen"] == moved["paid_fen"] == order["total_fen"]
    await world.assert_laws()


async def test_a_code_nobody_scanned_is_closed_once_it_has_expired(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK | {"payment_seconds": 3}, channels=ALL)
    order = await world.place(payment=WAYS["alipay"])
    await world.until(order["order_id"], lambda view: view["status"] == "cancelled")
    assert (await page(world, order["order_id"]))["state"] == "expired"

    async def closed() -> bool | None:
        return await attempts(world, order["order_id"]) == ["closed"] or None

    await poll(closed, seconds=30)
    await world.assert_laws()


async def test_a_phones_browser_pays_by_its_own_address(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    order = await world.place(method="h5")
    shown = order["payment_parameters"]["h5_url"]
    assert (await world.gateway.post("/control/pay", json={"h5_url": shown})).is_success
    await world.until(order["order_id"], lambda view: view["payment"] == "paid")
    await world.assert_laws()
