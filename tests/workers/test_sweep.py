"""The sweep on a real Temporal: only what has lost its workflow is mended, and only once."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text
from temporalio.client import Client, WorkflowExecutionStatus

from activities.orders import OrderActs
from domain.contracts.orders import Step
from domain.contracts.tickets import TicketStep
from domain.ids import (
    order_workflow,
    out_refund_no,
    recover_workflow,
    refund_workflow,
    settlement_workflow,
    ticket_workflow,
)
from services import credit, ledger, metrics, tables, tickets
from services.credit import Grant
from services.db import Database
from services.events import utc_now
from services.settings import Settings
from tests.sold import Sales
from workers.sweep import Sweep
from workers.temporal import WorkflowGone, Workflows

LONG_AGO = timedelta(minutes=5)
VISIBLE_SECONDS = 20.0
QUEUE = "nobody-serves-this"


@pytest.fixture(scope="session")
def workflows(temporal_settings: Settings) -> Workflows:
    return Workflows(temporal_settings)


@pytest.fixture
async def client(workflows: Workflows) -> Client:
    return await workflows.client()


@pytest.fixture
def sweep(database: Database, workflows: Workflows) -> Sweep:
    return Sweep(database, workflows)


@pytest.fixture
def new_order(database: Database, site_id: str) -> Callable[..., Awaitable[str]]:
    async def new_order(*, ended: bool = False, quiet: bool = False) -> str:
        order_id = uuid.uuid4().hex[:26]
        then = utc_now() - LONG_AGO
        names = ("customer_id", "merchant_id", "shop_id", "zone_id", "quote_id", "address_id")
        fen = ("goods_fen", "packing_fen", "delivery_fee_fen", "total_fen")
        async with database.write() as writer:
            await writer.run(
                insert(tables.orders).values(
                    order_id=order_id,
                    site_id=site_id,
                    **dict.fromkeys(names, order_id),
                    status="cancelled" if ended else "preparing",
                    payment="paid",
                    kitchen="none",
                    fulfilment="delivery",
                    tableware=0,
                    business_day="2026-01-01",
                    number=1,
                    **dict.fromkeys(fen, 100),
                    timers={"refund_poll_seconds": [1, 2]},
                    pay_by=then,
                    ended_at=then if ended else None,
                    changed_at=then if quiet else utc_now(),
                )
            )
        return order_id

    return new_order


async def status_of(client: Client, workflow_id: str) -> WorkflowExecutionStatus | None:
    return (await client.get_workflow_handle(workflow_id).describe()).status


async def signals_of(client: Client, workflow_id: str) -> list[str]:
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    return [
        event.workflow_execution_signaled_event_attributes.signal_name
        for event in history.events
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]


async def live(client: Client, order_id: str) -> str:
    workflow_id = order_workflow(order_id)
    await client.start_workflow("TakeawayOrder", id=workflow_id, task_queue=QUEUE)
    return workflow_id


async def visible(client: Client, workflow_id: str, status: str) -> None:
    query = f"WorkflowId = '{workflow_id}' AND ExecutionStatus = '{status}'"
    async with asyncio.timeout(VISIBLE_SECONDS):
        while not (await client.count_workflows(query)).count:  # noqa: ASYNC110  in a server
            await asyncio.sleep(0.05)


async def test_a_terminated_order_is_recovered_once(
    client: Client, workflows: Workflows, sweep: Sweep, new_order: Callable[..., Awaitable[str]]
) -> None:
    order_id = await new_order()
    workflow_id = await live(client, order_id)
    await client.get_workflow_handle(workflow_id).terminate()
    await visible(client, workflow_id, "Terminated")
    await sweep.broken_orders()
    recovery = client.get_workflow_handle(recover_workflow(order_id))
    first = await recovery.describe()
    assert first.status is WorkflowExecutionStatus.RUNNING
    assert first.workflow_type == "Recover"
    await sweep.broken_orders()
    assert (await recovery.describe()).run_id == first.run_id
    assert not await workflows.is_open(workflow_id)


async def test_an_order_whose_row_has_ended_is_not_recovered(
    client: Client, workflows: Workflows, sweep: Sweep, new_order: Callable[..., Awaitable[str]]
) -> None:
    order_id = await new_order(ended=True)
    workflow_id = await live(client, order_id)
    await client.get_workflow_handle(workflow_id).terminate()
    await visible(client, workflow_id, "Terminated")
    await sweep.broken_orders()
    assert not await workflows.is_open(recover_workflow(order_id))


async def test_quiet_rows_are_looked_after_only_without_a_living_workflow(
    client: Client, workflows: Workflows, sweep: Sweep, new_order: Callable[..., Awaitable[str]]
) -> None:
    lost, living = await new_order(quiet=True), await new_order(quiet=True)
    fresh = await new_order()
    await live(client, living)
    await sweep.quiet_orders()
    assert await workflows.is_open(recover_workflow(lost))
    assert not await workflows.is_open(recover_workflow(living))
    assert not await workflows.is_open(recover_workflow(fresh))


async def test_a_workflow_that_outlived_its_row_is_told(
    client: Client, sweep: Sweep, new_order: Callable[..., Awaitable[str]]
) -> None:
    ended, going_on = await new_order(ended=True), await new_order()
    for order_id in (ended, going_on):
        await visible(client, await live(client, order_id), "Running")
    await sweep.outlived_rows()
    assert await signals_of(client, order_workflow(ended)) == ["row_ended"]
    assert await signals_of(client, order_workflow(going_on)) == []


async def test_an_open_refund_without_a_workflow_is_followed(
    client: Client,
    database: Database,
    site_id: str,
    sweep: Sweep,
    new_order: Callable[..., Awaitable[str]],
) -> None:
    order_id = await new_order(ended=True)
    number = out_refund_no(order_id, 1)
    async with database.write() as writer:
        await writer.run(
            insert(tables.refunds).values(
                out_refund_no=number,
                site_id=site_id,
                order_id=order_id,
                out_trade_no="t",
                account_id="a",
                cause="c",
                source="held",
                reason="r",
                amount_fen=1,
                total_fen=1,
                state="created",
                created_at=utc_now() - LONG_AGO,
            )
        )
    await sweep.refunds()
    assert await status_of(client, refund_workflow(number)) is WorkflowExecutionStatus.RUNNING


async def test_an_unapplied_fact_is_told_again_but_not_at_every_round(
    database: Database, site_id: str, sweep: Sweep, new_order: Callable[..., Awaitable[str]]
) -> None:
    order_id = await new_order()
    async with database.write() as writer:
        await writer.run(
            insert(tables.inbox).values(
                channel="wechat",
                account_id=site_id,
                event_id="e",
                site_id=site_id,
                order_id=order_id,
                kind="payment",
                body=b"",
                received_at=utc_now() - LONG_AGO,
            )
        )

    async def told(*, confirm: bool) -> list[Any]:
        async with database.write() as writer:
            rows = await writer.all(
                text("SELECT workflow_id, name, body FROM facts WHERE order_id = :id"),
                {"id": order_id},
            )
            if confirm:
                await writer.run(
                    text("UPDATE facts SET confirmed_at = now() WHERE order_id = :id"),
                    {"id": order_id},
                )
        return [tuple(row) for row in rows]

    await sweep.notices()
    [(workflow_id, name, body)] = await told(confirm=False)
    assert (workflow_id, name) == (order_workflow(order_id), "payment_settled")
    assert set(body) == {"notice_id"}
    await sweep.notices()
    assert len(await told(confirm=True)) == 1
    await sweep.notices()
    await sweep.notices()
    assert len(await told(confirm=True)) == 2


async def test_a_fact_reaches_a_living_workflow_and_none_that_has_ended(
    client: Client, workflows: Workflows, new_order: Callable[..., Awaitable[str]]
) -> None:
    workflow_id = await live(client, await new_order())
    await workflows.tell(workflow_id, "payment_settled", {"notice_id": 1})
    assert await signals_of(client, workflow_id) == ["payment_settled"]
    await client.get_workflow_handle(workflow_id).terminate()
    with pytest.raises(WorkflowGone):
        await workflows.tell(workflow_id, "payment_settled", {"notice_id": 1})
    with pytest.raises(WorkflowGone):
        await workflows.tell("order/never-was", "payment_settled", {"notice_id": 1})


async def test_credit_whose_time_is_over_expires(
    database: Database, sweep: Sweep, site_id: str
) -> None:
    gift = Grant(
        grant_id=site_id,
        site_id=site_id,
        customer_id="ann",
        reason="gift",
        amount_fen=300,
        expires_at=utc_now() - LONG_AGO,
    )
    async with database.write() as writer:
        await ledger.post(writer, await credit.grant(writer, gift))
    await sweep.credit()
    async with database.read() as reader:
        left = "SELECT left_fen, expired_fen FROM credit_grants WHERE grant_id = :id"
        assert tuple(await reader.first(text(left), {"id": site_id}) or ()) == (0, 300)
        booked = await ledger.balances(reader, site_id)
    assert {one.balance_fen for one in booked} == {0}


async def test_a_missing_namespace_is_not_taken_for_a_missing_workflow(
    temporal_settings: Settings,
) -> None:
    elsewhere = Workflows(temporal_settings.model_copy(update={"temporal_namespace": "nowhere"}))
    with pytest.raises(Exception, match=r"(?i)namespace") as caught:
        await elsewhere.is_open("order/x")
    assert not isinstance(caught.value, WorkflowGone)


async def test_a_part_that_fails_does_not_keep_the_others_from_their_work(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    async def fail() -> None:
        raise OSError

    async def work() -> None:
        done.append("work")

    monkeypatch.setattr(sweep, "broken_orders", fail)
    monkeypatch.setattr(sweep, "notices", work)
    await sweep.once()
    assert done == ["work"]


async def new_ticket(database: Database, site_id: str) -> int:
    async with database.write() as writer:
        return await tickets.open_ticket(
            writer, site_id=site_id, order_id=uuid.uuid4().hex, kind="customer", key="k"
        )


async def test_a_ticket_of_any_transaction_gets_its_workflow_and_is_counted(
    client: Client, database: Database, site_id: str, sweep: Sweep
) -> None:
    ticket_id = await new_ticket(database, site_id)
    await sweep.new_tickets()
    handle = client.get_workflow_handle(ticket_workflow(ticket_id))
    first = await handle.describe()
    assert (first.status, first.workflow_type) == (WorkflowExecutionStatus.RUNNING, "Ticket")
    await sweep.ticket_counts()
    assert b'paotui_tickets_open{kind="customer"}' in metrics.exposition()
    async with database.read() as reader:
        assert ticket_id not in [one.ticket_id for one in await tickets.unfollowed(reader)]
    await handle.terminate()
    await sweep.tickets()
    assert (await handle.describe()).run_id == first.run_id  # its workflow was just there


async def test_an_open_ticket_that_lost_its_workflow_is_followed_again(
    client: Client, database: Database, site_id: str, sweep: Sweep
) -> None:
    lost, over = await new_ticket(database, site_id), await new_ticket(database, site_id)
    await sweep.new_tickets()
    for ticket_id in (lost, over):
        await client.get_workflow_handle(ticket_workflow(ticket_id)).terminate()
    async with database.write() as writer:
        step = TicketStep(ticket_id=over, key="resolved", data={"outcome": "solved"})
        await tickets.change(writer, step, tickets.Entry.RESOLVED)
        await writer.run(
            text("UPDATE tickets SET followed_at = :then WHERE site_id = :site_id"),
            {"then": utc_now() - LONG_AGO, "site_id": site_id},
        )
    await sweep.tickets()
    assert await status_of(client, ticket_workflow(lost)) is WorkflowExecutionStatus.RUNNING
    assert await status_of(client, ticket_workflow(over)) is WorkflowExecutionStatus.TERMINATED


async def test_what_waits_at_a_channel_is_shown_until_it_is_over(
    database: Database, site_id: str, sweep: Sweep
) -> None:
    told = {"channel": site_id, "account_id": site_id, "event_id": "e", "site_id": site_id}
    fact = {**told, "order_id": uuid.uuid4().hex, "kind": "payment", "body": b""}
    shown = f'paotui_waiting{{channel="{site_id}",what="fact"}} 1.0'.encode()
    async with database.write() as writer:
        await writer.run(insert(tables.inbox).values(**fact, received_at=utc_now() - LONG_AGO))
    await sweep.waiting()
    assert shown in metrics.exposition()
    aged = f'paotui_waiting_oldest_seconds{{channel="{site_id}",what="fact"}} 30'.encode()
    assert aged in metrics.exposition()
    async with database.write() as writer:
        over = text("UPDATE inbox SET applied_at = now() WHERE site_id = :site")
        await writer.run(over, {"site": site_id})
    await sweep.waiting()
    assert site_id.encode() not in metrics.exposition()


async def test_a_settlement_gets_its_workflow_and_again_when_it_is_lost(
    client: Client, database: Database, site_id: str, sweep: Sweep
) -> None:
    sales = await Sales(database, site_id).build()
    order_id = await sales.order()
    await OrderActs(database).complete(Step(order_id=order_id, key="completed"))
    await sweep.new_settlements()
    handle = client.get_workflow_handle(settlement_workflow(order_id))
    first = await handle.describe()
    assert (first.status, first.workflow_type) == (WorkflowExecutionStatus.RUNNING, "Settlement")
    await handle.terminate()
    await sweep.settlements()
    assert (await handle.describe()).run_id == first.run_id  # its workflow was just there
    async with database.write() as writer:
        await writer.run(
            text("UPDATE settlements SET followed_at = :then WHERE order_id = :order_id"),
            {"then": utc_now() - LONG_AGO, "order_id": order_id},
        )
    await sweep.settlements()
    again = await handle.describe()
    assert (again.status, again.run_id == first.run_id) == (WorkflowExecutionStatus.RUNNING, False)
    async with database.write() as writer:
        await writer.run(
            text("UPDATE settlements SET ended_at = now() WHERE order_id = :order_id"),
            {"order_id": order_id},
        )
