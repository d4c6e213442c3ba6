"""A wish for money back on a real Temporal and PostgreSQL, through the API's own door.

Refunds' own way home is replayed and driven elsewhere: a stand-in takes their place here.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Replayer, Worker

from activities.after_sales import build
from api.durable import ORDERS_QUEUE, Durable
from domain import ids
from domain.contracts.after_sales import (
    AfterSaleCommand,
    AfterSaleSaid,
    AfterSaleTimers,
    Ask,
    Decide,
)
from domain.contracts.refunds import RefundOrder
from domain.errors import ActionNotAllowed
from services.db import Database
from services.settings import Settings
from tests.sold import Sales
from tests.temporal import development_server
from workers.sweep import Sweep
from workers.temporal import Workflows
from workflows.after_sale import AfterSale
from workflows.kit.codec import EncryptionCodec
from workflows.kit.connect import connect
from workflows.kit.plugin import plugin

QUICK = 0.3
STATE = "SELECT state FROM after_sales WHERE after_sale_id = :id"
OVERDUE = """
SELECT count(*) >= 3 FROM tickets WHERE order_id = :order_id AND kind = 'after_sale_overdue'
"""
PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Parts:
    """A server with a worker behind it, and the doors to it."""

    told: Settings
    client: Client
    durable: Durable


@workflow.defn(name="Refund", sandboxed=False)
class Home:
    """A refund that is home at once."""

    @workflow.run
    async def run(self, refund: RefundOrder) -> str:
        return refund.out_refund_no


class Desk:
    """Wishes and answers, and where they end."""

    def __init__(self, parts: Parts, sales: Sales) -> None:
        self.client = parts.client
        self.durable = parts.durable
        self.sales = sales

    async def ask(self, *lines: tuple[int, int], **more: Any) -> Ask:
        """A wish on an order of its own, kept."""
        ask = self.sales.asked(await self.sales.order(), *lines, **more)
        await self.durable.ask_refund(ask)
        return ask

    async def tap(self, ask: Ask, name: str, actor: str = "merchant:m") -> AfterSaleSaid:
        command = AfterSaleCommand(actor=actor, request_id=uuid.uuid4().hex, reason_code="because")
        return await self.durable.answer(ask.after_sale_id, name, command)

    async def decide(self, ask: Ask, actor: str, decision: str = "approve") -> AfterSaleSaid:
        command = Decide(
            actor=actor, request_id=uuid.uuid4().hex, reason_code="because", decision=decision
        )
        return await self.durable.answer(ask.after_sale_id, "decide", command)

    async def end(self, ask: Ask) -> str:
        """The state in which the wish's workflow ends."""
        handle = self.client.get_workflow_handle(
            ids.after_sale_workflow(ask.after_sale_id), result_type=AfterSaleSaid
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            said = await handle.result()
        assert said is not None
        return said.state

    async def until(self, question: str, ask: Ask, wanted: object) -> None:
        """Wait until the rows of `ask` answer the question so."""
        parameters = {"id": ask.after_sale_id, "order_id": ask.order_id}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.sales.all(question, **parameters))[0][0] != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def back_fen(self, ask: Ask) -> int:
        return int((await self.sales.row(ask.order_id)).refunded_fen)


@pytest.fixture(scope="module")
async def parts(database: Database) -> AsyncIterator[Parts]:
    async with development_server() as told:
        client = await connect(told)
        async with Worker(
            client,
            task_queue=ORDERS_QUEUE,
            workflows=[AfterSale, Home],
            activities=build(database, {}),
        ):
            yield Parts(told, client, Durable(told, database))


@pytest.fixture
async def desk(parts: Parts, database: Database, site_id: str) -> Desk:
    return Desk(parts, await Sales(database, site_id).build())


async def test_the_merchant_approves_and_the_refund_is_on_its_way(desk: Desk) -> None:
    ask = await desk.ask((2, 1))
    said = await desk.tap(ask, "approve")
    assert (said.state, said.outcome) == ("approved", "done")
    assert await desk.end(ask) == "approved"
    [number] = said.refund_nos
    handle = desk.client.get_workflow_handle(ids.refund_workflow(number))
    assert await handle.result() == number
    assert await desk.back_fen(ask) == 2_100
    with pytest.raises(ActionNotAllowed):
        await desk.tap(ask, "approve")


async def test_a_repeated_wish_is_one_wish_and_a_refused_one_stays_refused(desk: Desk) -> None:
    ask = await desk.ask((2, 1))
    again = await asyncio.gather(*(desk.durable.ask_refund(ask) for _ in range(5)))
    assert {said.state for said in again} == {"asked"}
    other = desk.sales.asked(ask.order_id, (2, 1))
    for _ in range(2):
        with pytest.raises(ActionNotAllowed) as refused:
            await desk.durable.ask_refund(other)
        assert refused.value.data["reason"] == "nothing_left"
        assert refused.value.data["left_lines"] == [{"line_no": 1, "quantity": 3}]
    await desk.tap(ask, "approve")
    await desk.end(ask)
    assert (await desk.durable.ask_refund(ask)).after_sale_id == ask.after_sale_id


@pytest.mark.parametrize(
    ("lines", "limit", "end"), [([(1, 1)], 344, "approved"), ([(2, 1)], 344, "escalated")]
)
async def test_a_silent_merchant(
    desk: Desk, lines: list[tuple[int, int]], limit: int, end: str
) -> None:
    timers = AfterSaleTimers(merchant_seconds=QUICK)
    ask = await desk.ask(*lines, timers=timers, auto_approve_fen=limit)
    await desk.until(STATE, ask, end)


async def test_a_refusal_goes_to_support_where_two_must_agree(desk: Desk) -> None:
    ask = await desk.ask((2, 1))
    with pytest.raises(ActionNotAllowed):
        await desk.tap(ask, "escalate", "customer:ann")
    assert (await desk.tap(ask, "reject")).state == "rejected"
    assert (await desk.tap(ask, "escalate", "customer:ann")).state == "escalated"
    with pytest.raises(ActionNotAllowed):
        await desk.tap(ask, "approve")
    first = await desk.decide(ask, "support:sue")
    assert (first.state, first.outcome) == ("awaiting_approval", "approval_requested")
    with pytest.raises(ActionNotAllowed) as same:
        await desk.decide(ask, "support:sue")
    assert same.value.data["reason"] == "second_person_needed"
    assert await desk.back_fen(ask) == 0
    assert (await desk.decide(ask, "support:tom")).state == "approved"
    assert await desk.end(ask) == "approved"
    assert await desk.back_fen(ask) == 2_100


async def test_two_of_support_at_once_are_two_persons(desk: Desk) -> None:
    ask = await desk.ask((2, 1), reason_code="damaged")
    answers = await asyncio.gather(desk.decide(ask, "support:sue"), desk.decide(ask, "support:tom"))
    assert sorted(said.state for said in answers) == ["approved", "awaiting_approval"]
    assert await desk.back_fen(ask) == 2_100


async def test_support_may_refuse_for_good(desk: Desk) -> None:
    ask = await desk.ask((1, 1), reason_code="other")
    assert (await desk.decide(ask, "support:sue", "reject")).state == "declined"
    assert await desk.end(ask) == "declined"
    assert await desk.back_fen(ask) == 0
    free = desk.sales.asked(ask.order_id, (1, 1))
    assert (await desk.durable.ask_refund(free)).state == "asked"


async def test_silences_of_customer_and_support_have_their_ends(desk: Desk) -> None:
    timers = AfterSaleTimers(escalate_seconds=QUICK, support_seconds=QUICK)
    left = await desk.ask((1, 1), timers=timers)
    await desk.tap(left, "reject")
    assert await desk.end(left) == "declined"
    small = await desk.ask((1, 1), timers=timers, reason_code="damaged")
    assert await desk.end(small) == "approved"
    large = await desk.ask((2, 1), timers=timers, reason_code="damaged")
    await desk.until(OVERDUE, large, wanted=True)
    assert await desk.back_fen(large) == 0


async def test_what_lost_its_workflow_goes_on_where_it_was(
    desk: Desk, parts: Parts, database: Database
) -> None:
    ask = await desk.ask((2, 1), reason_code="damaged")
    await desk.decide(ask, "support:sue")
    workflow_id = ids.after_sale_workflow(ask.after_sale_id)
    await desk.client.get_workflow_handle(workflow_id).terminate()
    async with database.write() as writer:
        earlier = "UPDATE after_sales SET changed_at = now() - interval '5 minutes'"
        await writer.run(text(f"{earlier} WHERE after_sale_id = :id"), {"id": ask.after_sale_id})
    await Sweep(database, Workflows(parts.told)).wishes()
    with pytest.raises(ActionNotAllowed) as same:
        await desk.decide(ask, "support:sue")
    assert same.value.data["reason"] == "second_person_needed"
    assert (await desk.decide(ask, "support:tom")).state == "approved"
    assert await desk.back_fen(ask) == 2_100


async def test_what_was_lived_replays(desk: Desk, parts: Parts) -> None:
    ask = await desk.ask((2, 1))
    await desk.tap(ask, "reject")
    await desk.tap(ask, "escalate", "customer:ann")
    await desk.decide(ask, "support:sue")
    await desk.decide(ask, "support:tom")
    await desk.end(ask)
    handle = desk.client.get_workflow_handle(ids.after_sale_workflow(ask.after_sale_id))
    codec = EncryptionCodec.from_text(parts.told.payload_key.get_secret_value())
    replayer = Replayer(workflows=[AfterSale], plugins=[plugin(codec, sandboxed=True)])
    replayed = await replayer.replay_workflow(await handle.fetch_history())
    assert replayed.replay_failure is None
