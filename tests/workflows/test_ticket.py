"""A ticket's workflow on a real Temporal and real rows: the clock and people, up to the end."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from activities.tickets import build
from domain.contracts.tickets import (
    AssignTicket,
    EscalateTicket,
    ResolveTicket,
    TicketEvidence,
    TicketMessage,
    TicketNow,
)
from domain.ids import ticket_workflow
from services import tables, tickets
from services.db import Database
from tests.temporal import development_server
from tests.zone import City
from workflows.kit.connect import connect
from workflows.ticket import Ticket

QUEUE = "tickets-of-tests"
FAST = 3_600.0
"""15 minutes are a quarter of a second."""
QUICK = 200.0
"""20 seconds are a tenth of a second."""
SOON_SECONDS = 20.0
SUE = {"actor": "support:sue", "request_id": "r"}
Handle = WorkflowHandle[Any, TicketNow]
Follow = Callable[..., Awaitable[Handle]]


@pytest.fixture(scope="module")
async def client(database: Database) -> AsyncIterator[Client]:
    async with development_server() as told:
        connected = await connect(told)
        async with Worker(
            connected, task_queue=QUEUE, workflows=[Ticket], activities=build(database)
        ):
            yield connected


@pytest.fixture
def follow(client: Client, database: Database, site_id: str) -> Follow:
    """Opens a ticket of a kind and starts its workflow as the sweep would."""

    async def follow(
        kind: str, *, speed: float = 1, order_id: str = "", watched: bool = True
    ) -> Handle:
        async with database.write() as writer:
            site = {"site_id": site_id, "name": "Site", "speed": speed}
            await writer.run(insert(tables.sites).values(site).on_conflict_do_nothing())
            ticket_id = await tickets.open_ticket(
                writer,
                site_id=site_id,
                order_id=order_id or uuid.uuid4().hex,
                kind=kind,
                key="k",
            )
            [found] = await tickets.of(writer, [ticket_id])
        return await client.start_workflow(
            Ticket.run,
            found if watched else replace(found, look_seconds=0.0),
            id=ticket_workflow(ticket_id),
            task_queue=QUEUE,
        )

    return follow


async def entries(database: Database, handle: Handle) -> list[str]:
    ticket_id = int(handle.id.partition("/")[2])
    async with database.read() as reader:
        return [line.kind for line in await tickets.entries(reader, ticket_id)]


async def ended(handle: Handle) -> TicketNow:
    async with asyncio.timeout(SOON_SECONDS):
        return await handle.result()


async def refused(act: Awaitable[Any]) -> str | None:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await act
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause.type


async def test_silence_is_reminded_of_and_escalated_once(
    follow: Follow, database: Database
) -> None:
    handle = await follow("late", speed=FAST, watched=False)
    async with asyncio.timeout(SOON_SECONDS):
        while "escalated" not in (seen := await entries(database, handle)):  # noqa: ASYNC110  rows
            await asyncio.sleep(0.05)
    assert seen[0] == "reminded"
    done = ResolveTicket(outcome="solved", **SUE)
    now = await handle.execute_update(Ticket.resolve, done)
    assert (now.state, now.owner, now.outcome) == ("resolved", "lead", "solved")
    assert await ended(handle) == now
    kinds = await entries(database, handle)
    assert (kinds.count("escalated"), kinds[-1]) == (1, "resolved")


async def test_people_answer_until_it_is_resolved(follow: Follow, database: Database) -> None:
    handle = await follow("customer")
    given = AssignTicket(assignee="sue", **SUE)
    assert (await handle.execute_update(Ticket.assign, given)).assignee == "sue"
    for _ in range(2):  # the same message again is the same message
        words = TicketMessage(message_id="m1", **SUE)
        await handle.execute_update(Ticket.message, words)
    up = EscalateTicket(reason_code="angry", **SUE)
    assert (await handle.execute_update(Ticket.escalate, up)).owner == "lead"
    assert await refused(handle.execute_update(Ticket.escalate, up)) == "action_not_allowed"
    won = ResolveTicket(outcome="won", **SUE)
    assert await refused(handle.execute_update(Ticket.resolve, won)) == "action_not_allowed"
    photo = TicketEvidence(evidence_id="never stored", **SUE)
    assert await refused(handle.execute_update(Ticket.evidence, photo)) == "action_not_allowed"
    state = await handle.query(Ticket.status)
    assert (state.state, state.owner, state.assignee) == ("assigned", "lead", "sue")
    await handle.execute_update(Ticket.resolve, ResolveTicket(outcome="refunded", **SUE))
    assert (await ended(handle)).outcome == "refunded"
    assert await entries(database, handle) == ["assigned", "message", "escalated", "resolved"]


async def test_too_many_words_are_refused_but_never_the_end(
    follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.tickets.ENTRIES_MAX", 2)
    handle = await follow("customer")
    for name in ("m1", "m2"):
        await handle.execute_update(Ticket.message, TicketMessage(message_id=name, **SUE))
    third = TicketMessage(message_id="m3", **SUE)
    assert await refused(handle.execute_update(Ticket.message, third)) == "action_not_allowed"
    await handle.execute_update(Ticket.resolve, ResolveTicket(outcome="rejected", **SUE))
    assert (await ended(handle)).outcome == "rejected"


async def test_what_has_settled_itself_needs_nobody(
    follow: Follow, database: Database, site_id: str
) -> None:
    city = await City.build(database, site_id, speed=QUICK)
    task = await city.add_task()
    handle = await follow("late", order_id=task.order_id)
    await asyncio.sleep(0.3)
    assert (await handle.query(Ticket.status)).state == "open"
    async with database.write() as writer:
        await writer.run(
            text("UPDATE orders SET status = 'delivered' WHERE order_id = :id"),
            {"id": task.order_id},
        )
    now = await ended(handle)
    assert (now.state, now.outcome) == ("resolved", "settled_itself")
    async with database.read() as reader:
        noted = await reader.all(
            text("SELECT kind, data, actor FROM order_timeline WHERE order_id = :id"),
            {"id": task.order_id},
        )
    assert [(line.kind, line.actor) for line in noted] == [("ticket.resolved", "system")]
    assert noted[0].data["outcome"] == "settled_itself"


async def test_a_second_run_goes_on_where_the_row_is(
    follow: Follow, client: Client, database: Database
) -> None:
    handle = await follow("customer")
    await handle.execute_update(Ticket.assign, AssignTicket(assignee="sue", **SUE))
    await handle.terminate()
    ticket_id = int(handle.id.partition("/")[2])
    async with database.read() as reader:
        [found] = await tickets.of(reader, [ticket_id])
    again = await client.start_workflow(Ticket.run, found, id=handle.id, task_queue=QUEUE)
    assert (await again.query(Ticket.status)).assignee == "sue"
    await again.execute_update(Ticket.resolve, ResolveTicket(outcome="solved", **SUE))
    await ended(again)
    stale = await client.start_workflow(
        Ticket.run, replace(found, look_seconds=0.1), id=handle.id, task_queue=QUEUE
    )
    assert (await ended(stale)).outcome == "solved"
