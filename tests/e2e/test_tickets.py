"""Tickets through the whole product: whoever opens one, somebody follows it to its end."""

import uuid
from typing import Any

import pytest

from domain.tickets import Outcome
from tests.e2e.conftest import MakeWorld
from tests.e2e.world import Json, World, poll

pytestmark = pytest.mark.stack

SPEED = 60.0
"""Looks every 20 seconds are looks every third of one."""
LATE = {"promise_seconds": 60, "late_seconds": 7_200, "late_support_seconds": 60}


async def ticket(world: World, kind: str, state: str = "") -> Json:
    """The site's only ticket of a kind, once there is one in that state."""
    path = f"/v1/support/tickets?kind={kind}" + (f"&state={state}" if state else "")

    async def look() -> Json | None:
        items = (await world.call("GET", path, world.token("support", "ann")))["items"]
        return items[0] if items else None

    found: Json = await poll(look)
    return found


async def test_a_late_order_has_a_ticket_that_ends_with_it(make_world: MakeWorld) -> None:
    world = await make_world(riders=1, speed=SPEED, timers=LATE)
    order, task = await world.picked_up()
    order_id = order["order_id"]
    assert (await ticket(world, "late"))["state"] == "open"
    code = (await world.view(order_id))["handover_code"]
    proof = {"token": task["token"], "code": code}
    await world.rider("r0", f"tasks/{task['task_id']}/deliver", proof)
    ended = await ticket(world, "late", "resolved")
    assert (ended["order_id"], ended["outcome"]) == (order_id, Outcome.SETTLED_ITSELF)
    kinds = [line["kind"] for line in await world.timeline(order_id)]
    assert "support_asked.late" in kinds
    assert "ticket.resolved" in kinds


async def test_a_complaint_is_answered_at_once(make_world: MakeWorld) -> None:
    world = await make_world()
    order_id = (await world.paid())["order_id"]
    ann, sue = world.token("customer", "c0"), world.token("support", "sue")
    named = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"reason_code": "no_answer", "text": "where is it?"}
    opened = await world.call("POST", f"/v1/orders/{order_id}/tickets", ann | named, body)
    path = f"/tickets/{opened['ticket_id']}"

    async def tell(name: str, words: dict[str, Any]) -> Json:
        return await world.call("POST", f"/v1/support{path}/{name}", sue, words)

    await tell("assign", {"assignee": "sue"})
    await tell("message", {"text": "it is coming"})
    photo = b"\x89PNG\r\n\x1a\n" + bytes(200_000)
    kept = await world.api.post(f"/v1{path}/evidence", headers=ann, content=photo)
    assert kept.status_code == 201, kept.text
    await tell("escalate", {"reason_code": "unhappy"})
    ended = await tell("resolve", {"outcome": "compensated"})
    assert (ended["state"], ended["owner"]) == ("resolved", "lead")
    seen = await world.call("GET", f"/v1{path}", ann)
    assert [one["text"] for one in seen["messages"]] == ["where is it?", "it is coming"]
