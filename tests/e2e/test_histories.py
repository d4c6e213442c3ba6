"""What Temporal keeps of an order: few events, encrypted, nothing personal, always the same."""

import json
import os
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client, WorkflowHistory

from domain.ids import order_workflow, out_refund_no, recover_workflow, refund_workflow
from services.settings import Settings
from tests.e2e.conftest import MakeWorld
from tests.e2e.tills import ALL, WAYS, pay_at
from tests.e2e.world import CANARIES, World, poll
from tests.replay.recording import FOLDER, decrypted, fingerprint, payloads
from workflows.kit.connect import connect

pytestmark = pytest.mark.stack

MAX_EVENTS = 60
MAX_CARD_EVENTS = 66
"""A hold is taken when the shop accepts."""
MARKER_FIELDS = {
    "seq",
    "attempt",
    "activity_id",
    "activity_type",
    "complete_time",
    "backoff",
    "original_schedule_time",
    "activation_index",
}
LIFE = {"after_sale_seconds": 1, "rider_ahead_seconds": 900}
REFUND = {"refund_poll_seconds": [20]}


@pytest.fixture
async def temporal(stack: Settings) -> Client:
    return await connect(stack)


def is_as_recorded(name: str, history: WorkflowHistory) -> bool:
    """Compare with the committed history; `PAOTUI_RECORD=1` commits to this one instead."""
    path = FOLDER / f"{name}.json"
    if os.environ.get("PAOTUI_RECORD"):
        path.write_text(history.to_json())
    return fingerprint(history) == fingerprint(WorkflowHistory.from_json(name, path.read_text()))


async def test_a_life_is_short_encrypted_and_as_recorded(
    make_world: MakeWorld, temporal: Client
) -> None:
    world = await make_world(riders=1, timers=LIFE)
    order_id = (await world.delivered())["order_id"]
    handle = temporal.get_workflow_handle(order_workflow(order_id))
    await handle.result()
    sealed = await handle.fetch_history()
    assert len(sealed.events) <= MAX_EVENTS
    clear = [
        payload.data
        for event in sealed.events
        for payload in payloads(event)
        if payload.metadata["encoding"] != b"binary/encrypted"
        and "type" not in payload.metadata  # search attributes: codes and ids
    ]
    # What is left is the SDK's own note of a local activity: its name, number and time.
    assert clear
    assert all(set(json.loads(data)) <= MARKER_FIELDS for data in clear)
    assert is_as_recorded("takeaway-completed", await decrypted(temporal, handle.id))


async def test_an_orders_life_by_card_is_short_too(make_world: MakeWorld, temporal: Client) -> None:
    world = await make_world(riders=1, timers=LIFE, channels=ALL)
    order = await world.place(payment=WAYS["card"])
    order_id = order["order_id"]
    await pay_at(world, order)
    await world.until(order_id, lambda view: view["payment"] == "authorized")
    await world.merchant(order_id, "accept")
    task = await world.claim(order_id, "r0")
    await world.merchant(order_id, "ready")
    held = {"token": task["token"]}
    await world.rider("r0", f"tasks/{task['task_id']}/pickup", held)
    held["code"] = (await world.view(order_id))["handover_code"]
    await world.rider("r0", f"tasks/{task['task_id']}/deliver", held)
    handle = temporal.get_workflow_handle(order_workflow(order_id))
    await handle.result()
    assert len((await handle.fetch_history()).events) <= MAX_CARD_EVENTS


async def test_a_refund_is_as_recorded(make_world: MakeWorld, temporal: Client) -> None:
    world = await make_world(timers=REFUND)
    order_id = (await world.paid())["order_id"]
    await world.cancel(order_id)
    await world.until_home(order_id)
    refund = refund_workflow(out_refund_no(order_id, 1))
    await temporal.get_workflow_handle(refund).result()
    assert is_as_recorded("refund-success", await decrypted(temporal, refund))


async def test_an_order_that_credit_pays_is_as_recorded(
    make_world: MakeWorld, temporal: Client
) -> None:
    world = await make_world(timers=REFUND)
    await world.gift(2_300)
    order_id = (await world.paid(credit_fen=2_300))["order_id"]
    await world.cancel(order_id)
    await world.until_home(order_id)
    for name, workflow_id in (
        ("takeaway-credit", order_workflow(order_id)),
        ("refund-credit", refund_workflow(out_refund_no(order_id, 1))),
    ):
        await temporal.get_workflow_handle(workflow_id).result()
        assert is_as_recorded(name, await decrypted(temporal, workflow_id))


async def test_a_recovery_is_as_recorded(make_world: MakeWorld, temporal: Client) -> None:
    world = await make_world(timers=REFUND)
    order_id = (await world.paid())["order_id"]
    await temporal.get_workflow_handle(order_workflow(order_id)).terminate()
    await world.until_home(order_id)
    await temporal.get_workflow_handle(recover_workflow(order_id)).result()
    assert is_as_recorded(
        "recover-terminated", await decrypted(temporal, recover_workflow(order_id))
    )


async def test_nothing_personal_leaves_its_rows(
    make_world: MakeWorld, temporal: Client, stack: Settings
) -> None:
    world = await make_world(riders=1, timers=LIFE)
    order_id = (await world.delivered())["order_id"]
    broken = {"name": CANARIES[0], "phone": CANARIES[1], "text": CANARIES[2], "lat": "x"}
    who = world.token("customer", "c0")
    refused = await world.api.post("/v1/addresses", headers=who, json=broken)
    assert refused.status_code == 422
    await world.until(order_id, lambda view: view["status"] == "completed")

    history = await decrypted(temporal, order_workflow(order_id))
    told = history.to_json() + "".join(await all_metrics(world)) + logs(stack)
    assert len(logs(stack)) > 1_000
    for canary in (*CANARIES, f"o{world.site_id}0"):
        assert canary not in told


async def all_metrics(world: World) -> list[str]:
    """What every process shows at /metrics."""
    ports = {name: port for name, port in world.ports().items() if name.endswith("metrics")}
    assert len(ports) >= 4
    async with httpx.AsyncClient() as http:
        return [
            (await http.get(f"http://127.0.0.1:{port}/metrics")).text for port in ports.values()
        ]


def logs(stack: Settings) -> str:
    """Everything the parts have written."""
    files = [path for path in Path(stack.home, "logs").iterdir() if path.is_file()]
    return "".join(path.read_text(errors="replace") for path in files)


async def test_nothing_is_left_unsaid(make_world: MakeWorld) -> None:
    """Facts are confirmed and the outbox is empty soon after."""
    world = await make_world()
    await world.paid()

    async def told() -> bool | None:
        return not await world.untold() or None

    await poll(told)
