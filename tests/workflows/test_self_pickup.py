"""Orders that customers fetch, on a real Temporal and PostgreSQL: taken, not ready, left there."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from api.durable import Durable
from domain.contracts.life import Answer, Command, Ended, Timers
from domain.errors import ActionNotAllowed, ProofWrong
from domain.ids import order_workflow
from domain.proof import TRIES, handover_code
from services import pickups
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from tests.crediting import GOODS_FEN, Desk
from tests.temporal import development_server
from workers.queues import ORDERS, Tools
from workers.serve import worker
from workflows.kit.codec import EncryptionCodec
from workflows.kit.connect import connect
from workflows.kit.plugin import plugin
from workflows.takeaway import TakeawayOrder

KEY = b"key"
SOON = Timers(
    promise_seconds=0.1,
    late_seconds=0.1,
    late_support_seconds=0.2,
    late_fail_seconds=0.3,
    collect_remind_seconds=(0.1, 0.2),
    collect_seconds=0.3,
    after_sale_seconds=0.1,
)
MOMENT = timedelta(milliseconds=1)
PATIENCE = Timers(after_sale_seconds=0.1)
PATIENCE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Counter:
    """A shop where customers fetch, and its orders' workflows."""

    desk: Desk
    client: Client
    durable: Durable
    codec: EncryptionCodec

    async def preparing(self, timers: Timers, wished_by: datetime | None = None) -> str:
        """A paid order in the kitchen; its id."""
        await self.desk.gift(GOODS_FEN)
        order = await self.desk.order(GOODS_FEN, fetched=True, timers=timers, wished_by=wished_by)
        await self.durable.place(order, summary="to be fetched")
        await self.tap(order.order_id, "accept")
        return order.order_id

    async def tap(self, order_id: str, name: str) -> Answer:
        """The shop's people do something."""
        command = Command(actor="merchant:m", request_id=name)
        return await self.durable.command(order_id, name, command, update_id=name)

    async def ended(self, order_id: str) -> Ended:
        """Its workflow's last word; what was done replays."""
        handle = self.client.get_workflow_handle_for(TakeawayOrder.run, order_workflow(order_id))
        async with asyncio.timeout(PATIENCE_SECONDS):
            ended = await handle.result()
        await self.replay(await handle.fetch_history())
        return ended

    async def replay(self, history: WorkflowHistory) -> None:
        """The same code does the same again."""
        replayer = Replayer(workflows=[TakeawayOrder], plugins=[plugin(self.codec, sandboxed=True)])
        assert (await replayer.replay_workflow(history)).replay_failure is None

    async def events(self, order_id: str) -> list[str]:
        """What the public saw."""
        found = await self.desk.all(
            "SELECT type FROM order_events WHERE order_id = :id ORDER BY seq", id=order_id
        )
        return [row.type.removeprefix("order.") for row in found]

    async def booked(self, order_id: str, event: str) -> int:
        """What an event's journals moved for the order, fen."""
        [row] = await self.desk.all(
            """SELECT coalesce(sum(e.amount_fen), 0)::bigint AS fen FROM ledger_journals j
            JOIN ledger_entries e ON e.journal_id = j.id AND e.side = 'D'
            WHERE j.order_id = :id AND j.event = :event""",
            id=order_id,
            event=event,
        )
        return int(row.fen)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Settings]:
    async with development_server() as told:
        yield told


@pytest.fixture
async def counter(database: Database, site_id: str, server: Settings) -> AsyncIterator[Counter]:
    gateways = Gateways(Settings())
    client = await connect(server)
    codec = EncryptionCodec.from_text(server.payload_key.get_secret_value())
    async with worker(client, ORDERS, Tools(database=database, gateways=gateways)):
        desk = await Desk(database, site_id, gateways).build()
        yield Counter(desk, client, Durable(server, database), codec)


async def test_it_is_fetched_against_the_code(counter: Counter) -> None:
    order_id = await counter.preparing(PATIENCE)
    assert (await counter.desk.view(order_id))["delivery"] == "none"
    assert (await counter.tap(order_id, "ready")).status == "awaiting_pickup"
    code = handover_code(order_id, KEY)
    await pickups.check_code(counter.desk.database, order_id=order_id, code=code, key=KEY)
    assert (await counter.tap(order_id, "hand_over")).status == "delivered"
    assert (await counter.ended(order_id)).status == "completed"
    told = ["placed", "paid", "accepted", "ready", "collected", "completed"]
    assert await counter.events(order_id) == told
    assert await counter.booked(order_id, "order_settled") == GOODS_FEN
    assert await counter.booked(order_id, "rider_earned") == 0
    await counter.desk.assert_laws()


async def test_five_wrong_codes_bring_support_and_the_right_one_is_too_late(
    counter: Counter,
) -> None:
    order_id = await counter.preparing(PATIENCE)
    right = handover_code(order_id, KEY)
    wrong = f"{(int(right) + 1) % 10_000:04d}"
    said = {"order_id": order_id, "key": KEY}
    for left in range(TRIES - 1, -1, -1):
        with pytest.raises(ProofWrong) as refused:
            await pickups.check_code(counter.desk.database, code=wrong, **said)
        assert refused.value.data == {"tries_left": left}
    with pytest.raises(ProofWrong):
        await pickups.check_code(counter.desk.database, code=right, **said)
    found = await counter.desk.all("SELECT kind FROM tickets WHERE order_id = :id", id=order_id)
    assert [row.kind for row in found] == ["proof_refused"]
    await counter.tap(order_id, "hand_over")
    await counter.ended(order_id)


async def test_what_is_wished_for_later_is_cooked_for_then_and_late_against_it(
    counter: Counter,
) -> None:
    wished = datetime.now(UTC) + timedelta(seconds=3)
    order_id = await counter.preparing(SOON, wished_by=wished)
    [row] = await counter.desk.all(
        "SELECT promised_at, food_ready_at FROM orders JOIN pickups USING (order_id)"
        " WHERE order_id = :id",
        id=order_id,
    )
    assert abs(row.promised_at - wished) < MOMENT
    cooked = wished + timedelta(seconds=SOON.kitchen_seconds - SOON.promise_seconds)
    assert abs(row.food_ready_at - cooked) < MOMENT
    # Nobody cooks: it is late, and given up, only when its window is over.
    assert (await counter.ended(order_id)).close_reason == "not_ready"
    told = await counter.desk.all(
        "SELECT type, at FROM order_events WHERE order_id = :id ORDER BY seq", id=order_id
    )
    assert "order.late" in [row.type for row in told]
    assert min(row.at for row in told if row.type == "order.late") > wished


async def test_nobody_comes_and_the_shop_has_earned_its_part(counter: Counter) -> None:
    order_id = await counter.preparing(SOON)
    await counter.tap(order_id, "ready")
    ended = await counter.ended(order_id)
    assert (ended.status, ended.close_reason) == ("completed", "not_collected")
    told = await counter.events(order_id)
    assert told[-3:] == ["collect_reminded", "collect_reminded", "uncollected"]
    view = await counter.desk.view(order_id)
    assert (view["payment"], view["after_sale"], view["close_reason"]) == (
        "paid",
        "none",
        "not_collected",
    )
    assert await counter.booked(order_id, "order_settled") == GOODS_FEN
    with pytest.raises(ActionNotAllowed):
        await counter.tap(order_id, "hand_over")
    await counter.desk.assert_laws()


async def test_what_is_never_ready_is_the_shops_fault(counter: Counter) -> None:
    order_id = await counter.preparing(SOON)
    ended = await counter.ended(order_id)
    assert (ended.status, ended.close_reason) == ("cancelled", "not_ready")
    assert await counter.booked(order_id, "merchant_paid_by_platform") == 0
    assert await counter.booked(order_id, "credit_refunded") == GOODS_FEN
    await counter.desk.assert_laws()
