"""Temporal's answers as facts: refusals come back by name, whatever is away is unavailable.

The workflow here is a stand-in with the real wire names; the real one is in e2e.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from api.durable import FACTS, ORDERS_QUEUE, Durable, fact_of
from domain import ids
from domain.contracts.life import Answer, Command, Intervene, Order, State, Timers
from domain.errors import ActionNotAllowed, NotFound, PaymentRefused, SoldOut, Unavailable
from services.db import Database
from services.settings import Settings
from tests.api.town import Town
from tests.temporal import development_server
from workflows.kit.connect import connect


@workflow.defn(name="TakeawayOrder", sandboxed=False)
class StandIn:
    """Counts what it is told; `shop_id` says how placing goes."""

    @workflow.init
    def __init__(self, order: Order) -> None:
        self.order = order
        self.told = 0
        self.over = False

    @workflow.run
    async def run(self, order: Order) -> None:  # noqa: ARG002 - taken by __init__
        await workflow.wait_condition(lambda: self.over and workflow.all_handlers_finished())

    def _answer(self) -> Answer:
        self.told += 1
        return Answer(order_id=self.order.order_id, status="preparing", seq=self.told)

    @workflow.update
    async def place(self) -> Answer:
        if self.order.shop_id == "sold-out":
            self.over = True
            raise ApplicationError("none left", {"item_id": "tea"}, type="sold_out")
        return self._answer()

    @workflow.update
    async def accept(self, command: Command) -> Answer:
        if command.actor == "slow":
            await workflow.sleep(3_600)
        return self._answer()

    @workflow.update
    async def finish(self) -> Answer:
        self.over = True
        return self._answer()

    @workflow.update
    async def intervene(self, envelope: Intervene) -> Answer:
        if envelope.action == "odd":
            raise ApplicationError("who knows", type="odd")
        return self._answer()

    @workflow.query
    def status(self) -> State:
        return State(
            order_id=self.order.order_id,
            status="preparing",
            payment="paid",
            kitchen="preparing",
            held=False,
            seq=self.told,
        )


@pytest.fixture(scope="module")
async def durable(database: Database) -> AsyncIterator[Durable]:
    async with development_server() as told:
        client = await connect(told)
        async with Worker(
            client,
            task_queue=ORDERS_QUEUE,
            workflows=[StandIn],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            yield Durable(told, database)


def order(order_id: str = "", shop_id: str = "shop") -> Order:
    return Order(
        order_id=order_id or uuid.uuid4().hex[:26],
        site_id="site",
        customer_id="ann",
        merchant_id="merchant",
        shop_id=shop_id,
        quote_id="quote",
        channel="wechat",
        method="native",
        total_fen=1,
        auto_accept=False,
        tableware=0,
        pay_by=datetime.now(UTC) + timedelta(minutes=15),
        timers=Timers(),
    )


async def test_twenty_taps_are_one_life(durable: Durable) -> None:
    wanted = order()
    answers = await asyncio.gather(*(durable.place(wanted, summary="x") for _ in range(20)))
    assert {answer.seq for answer in answers} == {1}
    assert await durable.placed(wanted.order_id)
    assert not await durable.placed("nothing")


async def test_a_refusal_comes_back_by_name_now_and_later(durable: Durable) -> None:
    wanted = order(shop_id="sold-out")
    with pytest.raises(SoldOut) as refused:
        await durable.place(wanted, summary="x")
    assert (refused.value.detail, refused.value.data) == ("none left", {"item_id": "tea"})
    with pytest.raises(SoldOut):
        await durable.placed(wanted.order_id)


async def test_commands_repeat_under_their_id(durable: Durable) -> None:
    placed = await durable.place(order(), summary="x")
    command = Command(actor="merchant:m", request_id="r")
    first = await durable.command(placed.order_id, "accept", command, update_id="u")
    again = await durable.command(placed.order_id, "accept", command, update_id="u")
    assert first == again
    envelope = Intervene(action="hold", order="o", reason_code="r", request_id="q", actor="s")
    assert (await durable.intervene(placed.order_id, envelope)).seq == first.seq + 1
    assert (await durable.intervene(placed.order_id, envelope)).seq == first.seq + 1
    state = await durable.state(placed.order_id)
    assert state is not None
    assert (state.status, state.seq) == ("preparing", first.seq + 1)
    assert await durable.state("nothing") is None


async def test_when_the_life_is_over_the_rows_say_so(durable: Durable, town: Town) -> None:
    stream = await town.order()
    placed = await durable.place(order(stream.order_id), summary="x")
    handle = (await durable._connected()).get_workflow_handle(ids.order_workflow(placed.order_id))
    await handle.execute_update("finish", id="finish")
    await handle.result()
    command = Command(actor="merchant:m", request_id="r")
    with pytest.raises(ActionNotAllowed) as refused:
        await durable.command(placed.order_id, "accept", command, update_id="late")
    assert refused.value.data == {"status": "awaiting_payment"}
    with pytest.raises(NotFound):
        await durable.command("nothing", "accept", command, update_id="late")
    assert (await durable.place(order(stream.order_id), summary="x")).seq == placed.seq
    assert await durable.placed(stream.order_id)


async def test_waits_are_bounded_and_the_unknown_is_unavailable(
    durable: Durable, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = await durable.place(order(), summary="x")
    monkeypatch.setattr("api.durable.WAIT", timedelta(seconds=0.5))
    slow = Command(actor="slow", request_id="r")
    with pytest.raises(Unavailable):
        await durable.command(placed.order_id, "accept", slow, update_id="slow")
    odd = Intervene(action="odd", order="o", reason_code="r", request_id="q")
    monkeypatch.undo()
    with pytest.raises(Unavailable):
        await durable.intervene(placed.order_id, odd)


async def test_while_the_server_is_away(told: Settings, database: Database) -> None:
    away = Durable(told, database)
    for act in (
        away.check(),
        away.state("x"),
        away.placed("x"),
        away.place(order(), summary="x"),
        away.command("x", "accept", None, update_id="u"),
    ):
        with pytest.raises(Unavailable):
            await act


def test_facts_are_found_among_causes() -> None:
    inner = ApplicationError("no", {"code": "X"}, type="gateway_unavailable")
    outer = RuntimeError("activity failed")
    outer.__cause__ = inner
    fact = fact_of(outer)
    assert isinstance(fact, PaymentRefused)
    assert (fact.detail, fact.data) == ("no", {"code": "X"})
    assert fact_of(ApplicationError("?", type="strange")) is None
    assert fact_of(ApplicationError("no details", type="sold_out")) is not None
    assert {"sold_out", "quote_expired", "action_not_allowed", "claim_taken"} <= set(FACTS)
