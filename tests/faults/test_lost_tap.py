"""A `place` that dies with the server that had taken it leaves no order waiting for ever."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from domain import ids
from domain.contracts.life import Order
from tests.faults.board import Board
from tests.faults.stage import Stage
from workflows.kit.connect import connect

pytestmark = [pytest.mark.stack, pytest.mark.timeout(120)]

PAYMENT_SECONDS = 25


async def test_an_order_whose_tap_was_lost_places_itself_and_expires(stage: Stage) -> None:
    """What is left of such a start is a workflow that nobody has told anything."""
    world = await stage.city(1)
    client = await connect(stage.settings)
    placed = await world.place()
    history = await client.get_workflow_handle(
        ids.order_workflow(placed["order_id"])
    ).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    [known] = await client.data_converter.decode(started.input.payloads, [Order])
    pay_by = datetime.now(UTC) + timedelta(seconds=PAYMENT_SECONDS)
    lost = dataclasses.replace(known, order_id=ids.derive(world.site_id, "lost"), pay_by=pay_by)

    handle = await client.start_workflow(
        "TakeawayOrder", lost, id=ids.order_workflow(lost.order_id), task_queue="orders"
    )

    ended = await handle.result()
    assert (ended["status"], ended["close_reason"]) == ("cancelled", "payment_expired")
    board = Board(stage.database, [world.site_id])
    await board.look()
    assert board.status[lost.order_id] == "cancelled"
    assert (await world.cancel(placed["order_id"])).is_success
    await world.assert_laws()
