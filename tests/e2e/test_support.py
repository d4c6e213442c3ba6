"""Support's hand: by the API, by `temporal workflow signal`, by the Temporal UI's buttons."""

import asyncio
import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from cli.temporal import find
from domain.ids import order_workflow
from tests.e2e.conftest import MakeWorld
from tests.e2e.world import World, poll
from workflows.kit.connect import connect

pytestmark = pytest.mark.stack

QUICK = {"notice_seconds": 1, "refund_poll_seconds": [1, 1]}


async def signal(world: World, order_id: str, name: str, *arguments: str) -> None:
    """What a person types."""
    binary = find(world.settings)
    assert binary is not None
    command: list[str | Path] = [
        binary.path,
        "workflow",
        "signal",
        "--address",
        world.settings.temporal_address,
        "--workflow-id",
        order_workflow(order_id),
        "--name",
        name,
        *arguments,
    ]
    sent = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=False
    )
    assert sent.returncode == 0, sent.stderr


def envelope(order_id: str, action: str, **args: Any) -> str:
    """The JSON of DESIGN §3."""
    return json.dumps(
        {
            "action": action,
            "order": order_id,
            "reason_code": "test",
            "request_id": f"sig-{action}",
            "args": args,
        }
    )


async def kinds(world: World, order_id: str, wanted: str) -> set[str] | None:
    found = {line["kind"] for line in await world.timeline(order_id)}
    return found if any(kind.startswith(wanted) for kind in found) else None


async def refused_signals(world: World, order_id: str, count: int) -> list[dict[str, Any]] | None:
    lines = [one for one in await world.timeline(order_id) if one["kind"] == "signal_refused"]
    return lines if len(lines) >= count else None


async def test_nonsense_signals_are_lines_on_the_timeline(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900})
    order = await world.paid()
    order_id = order["order_id"]
    await signal(world, order_id, "no_such_signal", "--input", '{"a": 1}')
    plain = ("--input", "no json at all", "--input-meta", "encoding=binary/plain")
    await signal(world, order_id, "intervene", *plain)
    await signal(world, order_id, "intervene", "--input", '["an", "array"]')
    await signal(world, order_id, "intervene", "--input", '{"action": 7}')
    await signal(world, order_id, "intervene", "--input", envelope(order_id, "reassign"))
    await signal(world, order_id, "payment_settled", "--input", '{"notice_id": "one"}')
    lines = await poll(partial(refused_signals, world, order_id, 6))
    assert {line["data"]["reason"] for line in lines} == {"action_not_allowed", "validation_failed"}
    assert (await world.merchant(order_id, "accept"))["status"] == "preparing"


async def test_a_signal_from_the_command_line_cancels(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    order = await world.accepted()
    order_id = order["order_id"]
    await signal(world, order_id, "intervene", "--input", envelope(order_id, "cancel_refund"))
    view = await world.until_home(order_id)
    assert view["close_reason"] == "support_cancelled"
    assert "intervention.cancel_refund" in {one["kind"] for one in await world.timeline(order_id)}
    await world.assert_laws()


async def test_hold_stops_the_timers_and_release_lets_them_go_on(make_world: MakeWorld) -> None:
    world = await make_world(timers={"merchant_seconds": 2, "merchant_remind_seconds": 1, **QUICK})
    order = await world.paid()
    assert (await world.intervene(order["order_id"], "hold")).is_success
    await asyncio.sleep(3)
    assert (await world.view(order["order_id"]))["held"] is True
    assert (await world.view(order["order_id"]))["status"] == "awaiting_acceptance"
    assert (await world.intervene(order["order_id"], "release")).is_success
    view = await world.until_home(order["order_id"])
    assert view["close_reason"] == "merchant_silent"


async def test_refund_above_the_limit_needs_another_person(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    order = await world.accepted()
    small = await world.intervene(order["order_id"], "refund", amount_fen=500)
    assert small.json()["outcome"] == "done"
    too_much = await world.intervene(order["order_id"], "refund", amount_fen=999_999)
    assert too_much.json()["outcome"] == "approval_requested"
    await world.until(order["order_id"], lambda view: view["payment"] == "partially_refunded")
    await world.assert_laws()


async def test_four_eyes(make_world: MakeWorld) -> None:
    world = await make_world(timers=QUICK)
    quote = await world.quote(quantity=15)
    placed = (await world.try_place(quote)).json()
    order_id = placed["order_id"]
    assert (await world.pay(placed)).is_success
    await world.until(order_id, lambda view: view["status"] == "awaiting_acceptance")
    asked = await world.intervene(order_id, "cancel_refund", subject="ann", request_id="ask-1")
    assert asked.json()["outcome"] == "approval_requested"
    own = await world.intervene(order_id, "approve", subject="ann", request_id="ask-1b")
    assert own.status_code in {409, 422}
    path = f"/v1/support/orders/{order_id}/interventions"
    headers = world.token("support", "bob") | {"Idempotency-Key": "yes-1"}
    body = {
        "action": "approve",
        "reason_code": "test",
        "request_id": "yes-1",
        "args": {"request_id": "ask-1"},
    }
    yes = await world.api.post(path, headers=headers, json=body)
    assert yes.is_success, yes.text
    assert (await world.until_home(order_id))["close_reason"] == "support_cancelled"
    await world.assert_laws()


async def test_a_reassigned_task_has_a_new_rider(make_world: MakeWorld) -> None:
    world = await make_world(riders=2, timers={"rider_ahead_seconds": 900})
    order = await world.accepted()
    first = None
    for rider in ("r0", "r1"):
        work = await world.call("GET", "/v1/rider/offers", world.token("rider", rider))
        first = rider if work["offers"] else first
    task = await world.claim(order["order_id"], first or "r0")
    assert (await world.intervene(order["order_id"], "reassign", rider_id="r1")).is_success
    path = f"/v1/rider/tasks/{task['task_id']}/pickup"
    if (first or "r0") == "r0":
        late = await world.api.post(
            path, headers=world.token("rider", "r0"), json={"token": task["token"]}
        )
        assert late.status_code in {404, 409}, late.text
    work = await world.call("GET", "/v1/rider/offers", world.token("rider", "r1"))
    [mine] = [one for one in work["tasks"] if one["order_id"] == order["order_id"]]
    await world.merchant(order["order_id"], "ready")
    await world.rider("r1", f"tasks/{mine['task_id']}/pickup", {"token": mine["token"]})
    await world.assert_laws()


@pytest.fixture
async def temporal(make_world: MakeWorld, stack: Any) -> Client:  # noqa: ARG001
    return await connect(stack)


async def test_cancel_in_the_temporal_ui_is_supports_cancel(
    make_world: MakeWorld, temporal: Client
) -> None:
    world = await make_world(timers=QUICK)
    order = await world.paid()
    await temporal.get_workflow_handle(order_workflow(order["order_id"])).cancel()
    view = await world.until_home(order["order_id"])
    assert view["close_reason"] == "support_cancelled"
    await world.assert_laws()


async def test_after_terminate_what_was_delivered_is_completed(
    make_world: MakeWorld, temporal: Client
) -> None:
    world = await make_world(riders=1, timers={"rider_ahead_seconds": 900})
    order = await world.delivered()
    await temporal.get_workflow_handle(order_workflow(order["order_id"])).terminate()
    view = await world.until(order["order_id"], lambda view: view["status"] == "completed")
    assert view["payment"] == "paid"
    await world.assert_laws()


async def test_after_terminate_the_sweep_sends_the_money_home(
    make_world: MakeWorld, temporal: Client
) -> None:
    world = await make_world(timers=QUICK)
    paid, unpaid = await world.paid(), await world.place()
    for order in (paid, unpaid):
        await temporal.get_workflow_handle(order_workflow(order["order_id"])).terminate()
    view = await world.until_home(paid["order_id"])
    assert view["close_reason"] == "support_cancelled"
    await world.until(unpaid["order_id"], lambda view: view["status"] == "cancelled")
    await world.assert_laws()
