"""An order that credit pays whole, on a real Temporal and PostgreSQL: no channel, no waiting."""

from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from api.durable import Durable
from domain.contracts.life import Command
from domain.ids import order_workflow, refund_workflow
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from tests.crediting import TOTAL_FEN, Desk
from tests.temporal import development_server
from workers.queues import ORDERS, Tools
from workers.serve import worker
from workflows.kit.codec import EncryptionCodec
from workflows.kit.connect import connect
from workflows.kit.plugin import plugin
from workflows.takeaway import TakeawayOrder


def timers(history: WorkflowHistory) -> int:
    """How many timers an order has started."""
    return sum(event.HasField("timer_started_event_attributes") for event in history.events)


async def test_a_rider_is_looked_for_when_the_food_is_wished_for(
    database: Database, site_id: str
) -> None:
    gateways = Gateways(Settings())
    desk = await Desk(database, site_id, gateways).build()
    await desk.gift(TOTAL_FEN)
    wished = datetime.now(UTC) + timedelta(hours=3)
    order = await desk.order(TOTAL_FEN, wished_by=wished)
    async with development_server() as told:
        client = await connect(told)
        durable = Durable(told, database)
        async with worker(client, ORDERS, Tools(database=database, gateways=gateways)):
            await durable.place(order, summary="for later")
            accept = Command(actor="merchant:m", request_id="a")
            await durable.command(order.order_id, "accept", accept, update_id="a")
    [task] = await desk.all("SELECT * FROM delivery_tasks WHERE order_id = :id", id=order.order_id)
    usual = order.timers
    cooked = wished - timedelta(seconds=usual.promise_seconds - usual.kitchen_seconds)
    searched = cooked - timedelta(seconds=usual.rider_ahead_seconds)
    times = (task.promised_at, task.food_ready_at, task.search_from)
    for at, expected in zip(times, (wished, cooked, searched), strict=True):
        assert abs(at - expected) < timedelta(milliseconds=1)


async def test_credit_alone(database: Database, site_id: str) -> None:
    gateways = Gateways(Settings())
    desk = await Desk(database, site_id, gateways).build()
    await desk.gift(TOTAL_FEN)
    order = await desk.order(TOTAL_FEN)
    async with development_server() as told:
        client = await connect(told)
        durable = Durable(told, database)
        async with worker(client, ORDERS, Tools(database=database, gateways=gateways)):
            answer = await durable.place(order, summary="credit alone")
            assert (answer.status, answer.outcome) == ("awaiting_acceptance", "done")
            assert await durable.place(order, summary="credit alone") == answer
            handle = client.get_workflow_handle(order_workflow(order.order_id))
            assert timers(await handle.fetch_history()) <= 1, "the merchant's, not the payment's"

            command = Command(actor="customer:ann", request_id="r")
            ended = await durable.command(order.order_id, "cancel", command, update_id="r")
            assert ended.status == "cancelled"
            number = f"{order.order_id}r01"
            await handle.result()
            await client.get_workflow_handle(refund_workflow(number)).result()
            history = await handle.fetch_history()
    assert (await desk.view(order.order_id))["payment"] == "refunded"
    assert await desk.left() == TOTAL_FEN
    await desk.assert_laws()
    codec = EncryptionCodec.from_text(told.payload_key.get_secret_value())
    replayer = Replayer(workflows=[TakeawayOrder], plugins=[plugin(codec, sandboxed=True)])
    assert (await replayer.replay_workflow(history)).replay_failure is None
