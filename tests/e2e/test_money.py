"""The money stories: nothing is lost, doubled or left unexplained, whatever goes wrong."""

import asyncio

import pytest

from tests.e2e.conftest import MakeWorld
from tests.e2e.world import Json, World

pytestmark = pytest.mark.stack

QUICK = {"notice_seconds": 1, "poll_seconds": [0.5], "refund_poll_seconds": [1, 1]}


async def assert_all_home(world: World, order: Json, *, payments: int = 1) -> None:
    """Everything that was taken for an order has gone back, once."""
    moved = await world.oracle(order["order_id"])
    paid = [one for one in moved if one["paid_fen"]]
    assert len(paid) == payments
    for one in paid:
        assert one["charges"] == 1
        assert one["refunded_fen"] == one["paid_fen"]
        assert len(one["refunds"]) == 1
    await world.assert_laws()


async def test_paid_while_the_cancel_closes(make_world: MakeWorld) -> None:
    """The customer pays, the notice is lost, and cancels: the query finds the money."""
    world = await make_world(timers={"refund_poll_seconds": [1]})
    await world.fault("notify", "lost", times=1)
    order = await world.place()
    assert (await world.pay(order)).is_success
    assert (await world.cancel(order["order_id"])).json()["status"] == "cancelled"
    view = await world.until(order["order_id"], lambda view: view.get("late_payment") == "success")
    assert view["status"] == "cancelled"
    await assert_all_home(world, order)


async def test_paid_after_the_workflow_has_ended(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    order = await world.place()
    assert (await world.cancel(order["order_id"])).is_success
    assert (await world.pay_number(order["order_id"], cleared_late=True)).is_success
    await world.until(order["order_id"], lambda view: view.get("late_payment") == "success")
    await assert_all_home(world, order)


async def test_a_lost_notice_is_found_by_asking(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    await world.fault("notify", "lost", times=None)
    order = await world.place()
    assert (await world.pay(order)).is_success
    await world.until(order["order_id"], lambda view: view["status"] == "awaiting_acceptance")
    await world.assert_laws()


async def test_fifty_notices_at_once_are_one_payment(make_world: MakeWorld) -> None:
    world = await make_world()
    order = await world.paid()
    resend = {
        "mchid": world.mchid,
        "out_trade_no": f"{order['order_id']}p01",
        "count": 50,
        "concurrent": True,
    }
    answers = await world.gateway.post("/control/notifications/resend", json=resend)
    assert set(answers.json()) <= {200, 204} or set(answers.json().get("answers", [])) <= {200, 204}
    view = await world.view(order["order_id"])
    assert (view["status"], view["paid_fen"]) == ("awaiting_acceptance", 2300)
    await world.assert_laws()


async def test_the_gateway_hangs_up_after_creating(make_world: MakeWorld) -> None:
    """Unknown is answered 202, repeated under the same number, and then paid once."""
    world = await make_world(timers=QUICK)
    await world.fault("create", "drop_after_commit", times=1)
    quote = await world.quote()
    answer = await world.try_place(quote, key="hangs-up")
    assert answer.status_code == 202, answer.text
    order_id = answer.json()["order_id"]

    for _ in range(100):
        answer = await world.try_place(quote, key="hangs-up")
        if answer.status_code != 202:
            break
        await asyncio.sleep(0.1)
    assert answer.status_code == 201, answer.text
    assert answer.json()["order_id"] == order_id
    assert (await world.pay(answer.json())).is_success
    await world.until(order_id, lambda view: view["status"] == "awaiting_acceptance")
    assert len(await world.oracle(order_id)) == 1
    await world.assert_laws()


async def test_the_gateway_hangs_up_after_refunding(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    await world.fault("refund", "drop_after_commit", times=1)
    order = await world.paid()
    assert (await world.cancel(order["order_id"])).json()["outcome"] == "done"
    await world.until_home(order["order_id"])
    await assert_all_home(world, order)


async def test_an_abnormal_refund_is_a_persons_work(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    habits = {"refund_outcome": "ABNORMAL", "refund_seconds": 0.2}
    await world.gateway.put(f"/control/merchants/{world.mchid}/settings", json=habits)
    order = await world.paid()
    await world.merchant(order["order_id"], "reject", {"reason_code": "too_busy"})
    view = await world.until(order["order_id"], lambda view: view.get("refund") == "abnormal")
    assert (view["status"], view["payment"]) == ("cancelled", "refunding")
    [moved] = await world.oracle(order["order_id"])
    assert moved["refunded_fen"] == 0
    assert [refund["status"] for refund in moved["refunds"]] == ["ABNORMAL"]


async def test_a_silent_merchant_costs_nothing(make_world: MakeWorld) -> None:
    world = await make_world(
        timers={"merchant_remind_seconds": 0.5, "merchant_seconds": 1, **QUICK}
    )
    order = await world.paid()
    view = await world.until_home(order["order_id"])
    assert view["close_reason"] == "merchant_silent"
    await assert_all_home(world, order)


async def test_no_rider_gives_everything_back(make_world: MakeWorld) -> None:
    quick = {"search_support_seconds": 0.5, "search_seconds": 1, "rider_ahead_seconds": 900}
    world = await make_world(timers=quick | QUICK)
    order = await world.accepted()
    view = await world.until_home(order["order_id"])
    assert view["close_reason"] == "no_rider"
    await assert_all_home(world, order)


async def test_nobody_pays(make_world: MakeWorld) -> None:
    world = await make_world(timers={"payment_seconds": 1.5, **QUICK}, stock=5)
    order = await world.place()
    view = await world.until(order["order_id"], lambda view: view["status"] == "cancelled")
    assert (view["close_reason"], view["payment"]) == ("payment_expired", "unpaid")
    assert (await world.pay(order)).status_code == 409
    await world.assert_laws()


async def test_cancel_is_free_until_the_shop_accepts(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    unpaid, paid = await world.place(), await world.paid()
    for order in (unpaid, paid):
        answer = (await world.cancel(order["order_id"])).json()
        assert (answer["status"], answer["outcome"]) == ("cancelled", "done")
    await world.until_home(paid["order_id"])
    await assert_all_home(world, paid)


async def test_the_merchant_is_asked_while_cooking(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    yes, no, silent = [await world.accepted() for _ in range(3)]
    for order in (yes, no, silent):
        assert (await world.cancel(order["order_id"])).json()["outcome"] == "asked"
    await world.merchant(yes["order_id"], "cancel-request", {"decision": "agree"})
    await world.merchant(no["order_id"], "cancel-request", {"decision": "decline"})
    await world.until_home(yes["order_id"])
    assert (await world.view(no["order_id"]))["cancel_request"] == "declined"
    assert (await world.view(silent["order_id"]))["cancel_request"] == "asked"
    await assert_all_home(world, yes)


async def test_silence_about_a_cancel_is_a_no_and_support_is_told(make_world: MakeWorld) -> None:
    world = await make_world(timers={"merchant_agree_seconds": 0.5})
    order = await world.accepted()
    await world.cancel(order["order_id"])
    await world.until(order["order_id"], lambda view: view["cancel_request"] == "declined")
    assert (await world.view(order["order_id"]))["status"] == "preparing"


async def test_after_pickup_a_cancel_is_refused(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900})
    order, _ = await world.picked_up()
    answer = await world.cancel(order["order_id"])
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/action_not_allowed"
    assert answer.json()["status"] in {409, "delivering"}


async def test_cancel_against_pickup_has_one_winner(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900, **QUICK})
    order = await world.accepted()
    task = await world.claim(order["order_id"], "r0")
    await world.cancel(order["order_id"])
    agree = world.merchant(order["order_id"], "cancel-request", {"decision": "agree"})
    path = f"tasks/{task['task_id']}/pickup"
    pickup = world.rider("r0", path, {"token": task["token"]})
    agreed, picked = await asyncio.gather(agree, pickup, return_exceptions=True)
    won = [result for result in (agreed, picked) if not isinstance(result, BaseException)]
    assert len(won) == 1, (agreed, picked)
    if isinstance(picked, BaseException):
        await world.until_home(order["order_id"])
        await assert_all_home(world, order)
    else:
        assert (await world.view(order["order_id"]))["status"] == "delivering"
        await world.assert_laws()


async def test_a_late_delivery_gives_the_fee_back_once(make_world: MakeWorld) -> None:
    timers = {"promise_seconds": 0.2, "late_seconds": 0.5, "rider_ahead_seconds": 900}
    world = await make_world(riders=1, timers=timers | QUICK)
    order = await world.accepted()
    view = await world.until(
        order["order_id"], lambda view: view["payment"] == "partially_refunded"
    )
    assert (view["late"], view["refunded_fen"]) == (True, view["delivery_fee_fen"])
    [moved] = await world.oracle(order["order_id"])
    assert moved["refunded_fen"] == view["delivery_fee_fen"]
    await world.assert_laws()


async def test_an_order_that_never_arrives_ends(make_world: MakeWorld) -> None:
    timers = {"promise_seconds": 0.1, "late_seconds": 0.1, "late_support_seconds": 0.2}
    world = await make_world(
        riders=1, timers={**timers, "late_fail_seconds": 10, "rider_ahead_seconds": 900, **QUICK}
    )
    order, _ = await world.picked_up()
    view = await world.until_home(order["order_id"])
    assert view["close_reason"] == "delivery_failed"
    assert (await world.oracle(order["order_id"]))[0]["refunded_fen"] == view["total_fen"]
    await world.assert_laws()


async def test_a_wrong_amount_is_frozen_and_goes_home(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    order = await world.place()
    assert (await world.pay(order, amount_fen=1)).is_success
    view = await world.until(order["order_id"], lambda view: view.get("late_payment") == "success")
    assert (view["status"], view["payment"]) == ("awaiting_payment", "unpaid")
    assert "payment_frozen" in {line["kind"] for line in await world.timeline(order["order_id"])}
    [moved] = await world.oracle(order["order_id"])
    assert (moved["paid_fen"], moved["refunded_fen"]) == (1, 1)
    tickets = await world.call("GET", "/v1/support/tickets", world.token("support", "ann"))
    assert {one["kind"] for one in tickets["items"]} == {"payment_mismatch", "late_payment"}
    await world.assert_laws()
