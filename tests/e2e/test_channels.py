"""Every channel through the whole product: paid, held, voided, sent home, and two at once."""

import pytest

from tests.e2e.conftest import MakeWorld
from tests.e2e.tills import ALL, WAYS, again, pay_at
from tests.e2e.world import Json, World, poll

pytestmark = pytest.mark.stack

QUICK = {"notice_seconds": 1, "poll_seconds": [0.5], "refund_poll_seconds": [1, 1]}


async def paid_by(world: World, channel: str) -> Json:
    """An order that waits for its merchant, paid by this channel."""
    order = await world.place(payment=WAYS[channel])
    await pay_at(world, order)
    await world.until(order["order_id"], lambda view: view["status"] == "awaiting_acceptance")
    return order


@pytest.mark.parametrize("channel", ["alipay", "bank"])
async def test_what_was_taken_goes_home(make_world: MakeWorld, channel: str) -> None:
    world = await make_world(timers=QUICK, channels=ALL)
    order = await paid_by(world, channel)
    assert (await world.cancel(order["order_id"])).is_success
    await world.until_home(order["order_id"])
    [moved] = await world.moved(channel)
    assert moved["refunded_fen"] == moved["paid_fen"] == order["total_fen"]
    await world.assert_laws()


async def test_a_hold_is_voided_and_nothing_was_ever_taken(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK, channels=ALL)
    order = await paid_by(world, "card")
    assert (await world.view(order["order_id"]))["payment"] == "authorized"
    assert (await world.cancel(order["order_id"])).is_success
    view = await world.view(order["order_id"])
    assert (view["status"], view["payment"], view["paid_fen"]) == ("cancelled", "unpaid", 0)
    [moved] = await world.moved("card")
    assert (moved["paid_fen"], moved["trade_state"]) == (0, "CLOSED")
    await world.assert_laws()


@pytest.mark.parametrize("fault", [None, "drop_after_commit", "http_500"])
async def test_a_hold_is_taken_once_when_the_shop_accepts(
    make_world: MakeWorld, fault: str | None
) -> None:
    world = await make_world(timers=QUICK, channels=ALL)
    order = await paid_by(world, "card")
    if fault:
        script = {"channel": "card", "operation": "capture", "fault": fault}
        script |= {"mchid": world.payee("card"), "times": 1}
        (await world.gateway.post("/control/faults", json=script)).raise_for_status()
    await world.merchant(order["order_id"], "accept")
    await world.until(order["order_id"], lambda view: view["payment"] == "paid")
    [moved] = await world.moved("card")
    assert (moved["paid_fen"], moved["charges"]) == (order["total_fen"], 1)
    await world.intervene(order["order_id"], "cancel_refund")
    await world.until_home(order["order_id"])
    await world.assert_laws()


async def test_a_hold_that_runs_out_before_it_is_taken_leaves_a_ticket_and_an_end(
    make_world: MakeWorld,
) -> None:
    world = await make_world(riders=1, timers=QUICK | {"after_sale_seconds": 1}, channels=ALL)
    order = await paid_by(world, "card")
    script = {"channel": "card", "operation": "capture", "fault": "http_500", "times": None}
    script |= {"mchid": world.payee("card")}
    fault = (await world.gateway.post("/control/faults", json=script)).raise_for_status().json()
    await world.merchant(order["order_id"], "accept")
    task = await world.claim(order["order_id"], "r0")
    await world.merchant(order["order_id"], "ready")
    await world.rider("r0", f"tasks/{task['task_id']}/pickup", {"token": task["token"]})
    proof = {"token": task["token"], "code": (await world.view(order["order_id"]))["handover_code"]}
    await world.rider("r0", f"tasks/{task['task_id']}/deliver", proof)
    hold = {"account": world.payee("card"), "out_trade_no": f"{order['order_id']}p01"}
    (await world.gateway.post("/control/card/expiries", json=hold)).raise_for_status()
    (await world.gateway.delete(f"/control/faults/{fault['id']}")).raise_for_status()
    view = await world.until(
        order["order_id"],
        lambda view: (view["status"], view["payment"]) == ("completed", "unpaid"),
    )
    assert view["paid_fen"] == 0
    who = world.token("support", "ann")
    [ticket] = (await world.call("GET", "/v1/support/tickets?kind=hold_lost", who))["items"]
    assert ticket["owner"] == "finance"
    await world.assert_laws()


async def test_a_declined_card_is_no_end(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK, channels=ALL)
    order = await world.place(payment=WAYS["card"])
    await pay_at(world, order, card="declined:insufficient_funds")
    other = await again(world, order["order_id"], WAYS["alipay"])
    await pay_at(world, other)
    await world.until(order["order_id"], lambda view: view["payment"] == "paid")

    async def closed() -> bool | None:
        [moved] = await world.moved("card")
        return moved["trade_state"] == "CLOSED" or None

    await poll(closed)
    await world.assert_laws()


@pytest.mark.parametrize(("decision", "outcome"), [("win", "won"), ("lose", "lost")])
async def test_a_dispute_is_booked_and_its_ticket_ends_with_it(
    make_world: MakeWorld, decision: str, outcome: str
) -> None:
    world = await make_world(timers=QUICK, channels=ALL, speed=60)
    order = await paid_by(world, "card")
    await world.merchant(order["order_id"], "accept")
    await world.until(order["order_id"], lambda view: view["payment"] == "paid")
    owner = {"account": world.payee("card")}
    number = owner | {"out_trade_no": f"{order['order_id']}p01"}
    opened = (await world.gateway.post("/control/card/disputes", json=number)).json()
    path = f"/control/card/disputes/{opened['id']}/{decision}"
    (await world.gateway.post(path, json=owner)).raise_for_status()
    who, url = world.token("support", "ann"), "/v1/support/tickets?kind=dispute&state=resolved"

    async def decided() -> Json | None:
        items = (await world.call("GET", url, who))["items"]
        return items[0] if items else None

    assert (await poll(decided))["outcome"] == outcome
    money = await world.call("GET", f"/v1/support/orders/{order['order_id']}/money", who)
    booked = [one["event"] for one in money["journals"] if one["event"].startswith("dispute")]
    assert booked == ["dispute_opened", f"dispute_{outcome}"]
    await world.assert_laws()


async def test_a_channel_that_is_down_leaves_the_others(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK, channels=ALL)
    script = {"channel": "alipay", "operation": "create", "fault": "http_500", "times": None}
    script |= {"mchid": world.payee("alipay")}
    (await world.gateway.post("/control/faults", json=script)).raise_for_status()
    quote = await world.quote()
    assert [way["channel"] for way in quote["payments"]] == list(ALL)
    answer = await world.try_place(quote, payment=WAYS["alipay"])
    assert answer.status_code == 202, answer.text
    order_id = answer.json()["order_id"]
    order = await again(world, order_id, WAYS["wechat"])
    assert (await world.pay(order)).is_success
    await world.until(order_id, lambda view: view["payment"] == "paid")
    await world.assert_laws()
