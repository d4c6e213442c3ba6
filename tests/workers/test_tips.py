"""Tips that have lost their workflow, on a real Temporal: followed again, and told what came."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text
from temporalio.client import WorkflowExecutionStatus

from domain import ids
from domain.contracts.life import Timers
from services import events, tables, tips
from services.db import Database
from services.settings import Settings
from tests.sold import Sales
from workers.sweep import Sweep
from workers.temporal import Workflows

LONG_AGO = timedelta(minutes=5)


@pytest.fixture
async def tip(database: Database, site_id: str) -> dict[str, Any]:
    """An open tip whose workflow is gone."""
    order_id = await (await Sales(database, site_id).build()).order()
    row = {
        "out_trade_no": ids.tip_no(order_id, "lost"),
        "site_id": site_id,
        "order_id": order_id,
        "purpose": "tip",
        "attempt": 1,
        "account_id": f"{site_id}-account",
        "channel": "wechat",
        "method": "native",
        "amount_fen": 300,
        "state": "opened",
        "expires_at": events.utc_now(),
        "created_at": events.utc_now() - LONG_AGO,
    }
    async with database.write() as writer:
        await writer.run(insert(tables.payment_attempts).values(**row))
    return row


async def test_a_tip_without_a_workflow_is_followed_as_it_was_given(
    database: Database, temporal_settings: Settings, tip: dict[str, Any]
) -> None:
    async with database.read() as reader:
        [given] = [
            one for one in await tips.unfinished(reader) if one.out_trade_no == tip["out_trade_no"]
        ]
    assert (given.amount_fen, given.pay_by) == (300, tip["expires_at"])
    assert given.poll_seconds == Timers().poll_seconds
    workflows = Workflows(temporal_settings)
    sweep = Sweep(database, workflows)
    await sweep.tips()
    handle = (await workflows.client()).get_workflow_handle(ids.tip_workflow(given.out_trade_no))
    first = await handle.describe()
    assert (first.status, first.workflow_type) == (WorkflowExecutionStatus.RUNNING, "Tip")
    await sweep.tips()
    assert (await handle.describe()).run_id == first.run_id


async def test_an_unapplied_fact_about_a_tip_is_told_to_the_tip(
    database: Database, temporal_settings: Settings, tip: dict[str, Any]
) -> None:
    async with database.write() as writer:
        await writer.run(
            insert(tables.inbox).values(
                channel="wechat",
                account_id=tip["account_id"],
                event_id="e",
                site_id=tip["site_id"],
                order_id=tip["order_id"],
                kind="payment",
                fact={"out_trade_no": tip["out_trade_no"]},
                body=b"",
                received_at=events.utc_now() - LONG_AGO,
            )
        )
    await Sweep(database, Workflows(temporal_settings)).notices()
    async with database.read() as reader:
        told = await reader.all(
            text("SELECT workflow_id FROM facts WHERE order_id = :id"), {"id": tip["order_id"]}
        )
    assert [row.workflow_id for row in told] == [ids.tip_workflow(tip["out_trade_no"])]
