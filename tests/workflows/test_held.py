"""Orders that support holds at the door, on a real Temporal and PostgreSQL: silence, a photo."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from temporalio.client import Client
from temporalio.worker import Replayer

from api.durable import Durable
from domain.contracts.life import Answer, Command, Ended, Intervene, RiderCommand, Timers
from domain.errors import ActionNotAllowed
from domain.ids import order_workflow
from domain.riding import Call, DropOff
from services import dispatch
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

pytestmark = pytest.mark.usefixtures("personal_key")
SILENCE_SECONDS = 1.0
TIMERS = Timers(unreachable_seconds=SILENCE_SECONDS, after_sale_seconds=0.1)
PATIENCE_SECONDS = 30
PHOTO = b"\x89PNG\r\n\x1a\n a door"
RIDER = {"rider_id": "rod", "token": 1}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Door:
    """One order whose rider stands at its customer's door."""

    desk: Desk
    client: Client
    durable: Durable
    codec: EncryptionCodec
    order_id: str
    task_id: str

    async def rider(self, act: Callable[..., Awaitable[T]], **more: Any) -> T:
        """A rider's act on the task, as the edge runs it."""
        theirs = {"site_id": self.desk.site_id, "task_id": self.task_id, **RIDER}
        async with self.desk.database.write() as writer:
            return await act(writer, **theirs, **more)

    async def support(self, action: str) -> Answer:
        """Support's hand."""
        envelope = Intervene(
            action=action,
            order=self.order_id,
            reason_code="test",
            request_id=action,
            actor="support:ann",
        )
        return await self.durable.intervene(self.order_id, envelope)

    async def ended(self) -> Ended:
        """Its workflow's last word; what was done replays."""
        workflow_id = order_workflow(self.order_id)
        handle = self.client.get_workflow_handle_for(TakeawayOrder.run, workflow_id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            ended = await handle.result()
        replayer = Replayer(workflows=[TakeawayOrder], plugins=[plugin(self.codec, sandboxed=True)])
        history = await handle.fetch_history()
        assert (await replayer.replay_workflow(history)).replay_failure is None
        return ended


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Settings]:
    async with development_server() as told:
        yield told


@pytest.fixture
async def door(database: Database, site_id: str, server: Settings) -> AsyncIterator[Door]:
    gateways, client = Gateways(Settings()), await connect(server)
    codec = EncryptionCodec.from_text(server.payload_key.get_secret_value())
    async with worker(client, ORDERS, Tools(database=database, gateways=gateways)):
        desk = await Desk(database, site_id, gateways).build()
        durable = Durable(server, database)
        await desk.gift(TOTAL_FEN)
        order = await desk.order(TOTAL_FEN, timers=TIMERS)
        await durable.place(order, summary="to be brought")
        accept = Command(actor="merchant:m", request_id="accept")
        await durable.command(order.order_id, "accept", accept, update_id="accept")
        async with database.write() as writer:
            claimed = """UPDATE delivery_tasks SET state = 'at_store', rider_id = :rider_id,
              token = :token, assigned_at = now() WHERE order_id = :id RETURNING task_id"""
            task_id = await writer.scalar(text(claimed), RIDER | {"id": order.order_id})
        pickup = RiderCommand(actor="rider:rod", request_id="pickup", **RIDER)  # type: ignore[arg-type]
        await durable.command(order.order_id, "pickup", pickup, update_id="pickup")
        made = Door(desk, client, durable, codec, order.order_id, task_id)
        await made.rider(dispatch.arrive_customer)
        yield made


async def test_a_silent_customers_time_goes_on_after_the_hold(door: Door) -> None:
    await door.support("hold")
    await door.rider(dispatch.log_call, outcome=Call.NO_ANSWER)
    await door.rider(dispatch.unreachable)
    told = (await door.desk.view(door.order_id))["unreachable_until"]
    await asyncio.sleep(SILENCE_SECONDS * 1.5)
    with pytest.raises(ActionNotAllowed):
        await door.rider(dispatch.bring_back)
    await door.support("release")
    view = await door.desk.view(door.order_id)
    longer = datetime.fromisoformat(view["unreachable_until"]) - datetime.fromisoformat(told)
    assert not view["held"]
    assert longer.total_seconds() >= SILENCE_SECONDS * 1.5
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                assert (await door.rider(dispatch.bring_back)).state == "failed"
                break
            except ActionNotAllowed:
                await asyncio.sleep(SILENCE_SECONDS / 10)
    handle = door.client.get_workflow_handle(order_workflow(door.order_id))
    await handle.signal("undeliverable", {"task_id": door.task_id})
    ended = await door.ended()
    assert (ended.status, ended.close_reason) == ("cancelled", "customer_unreachable")
    await door.desk.assert_laws()


async def test_a_held_order_is_handed_over_by_photo_and_stays_held(door: Door) -> None:
    await door.support("hold")
    async with door.desk.database.write() as writer:
        await dispatch.wish(
            writer,
            order_id=door.order_id,
            dropoff=DropOff.DOOR,
            actor="customer:ann",
            request_id="wish",
        )
    photo_id = await door.rider(dispatch.keep_photo, content=PHOTO)
    proof = {"site_id": door.desk.site_id, "task_id": door.task_id, "photo_id": photo_id}
    await dispatch.check_photo(door.desk.database, **proof, **RIDER)  # type: ignore[arg-type]
    deliver = RiderCommand(
        actor="rider:rod",
        request_id="deliver",
        photo_id=photo_id,
        **RIDER,  # type: ignore[arg-type]
    )
    delivered = await door.durable.command(door.order_id, "deliver", deliver, update_id="deliver")
    assert delivered.status == "delivered"
    await asyncio.sleep(TIMERS.after_sale_seconds * 10)
    view = await door.desk.view(door.order_id)
    assert (view["status"], view["held"], view["photo_id"]) == ("delivered", True, photo_id)
    await door.support("release")
    assert (await door.ended()).status == "completed"
    await door.desk.assert_laws()
