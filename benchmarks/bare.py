"""The same order's life with nothing behind it: Temporal, a worker of empty activities, taps."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from benchmarks.bare_worker import COMPLETED, PAID, SERVING
from benchmarks.children import child
from benchmarks.city import AFTER_SALE_SECONDS, FACT_SECONDS
from domain import ids
from domain.contracts.life import Answer, Command, Order, RiderCommand, Timers
from services.settings import Settings
from workflows.kit import attributes
from workflows.kit.connect import connect

RPC_TIMEOUT = timedelta(seconds=30)


class Bare:
    """One worker process and the client that drives it."""

    def __init__(self, client: Client, worker: asyncio.subprocess.Process, queue: str) -> None:
        self._client = client
        self._worker = worker
        self._queue = queue
        self._waiting: dict[str, asyncio.Event] = {}

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._worker.pid

    async def whole(self) -> None:
        """One order's life: the same start, updates and signal that the API and relay send."""
        order = _order()
        handle = await self._place(order)
        paid = self._event(f"{PAID} {order.order_id}")
        completed = self._event(f"{COMPLETED} {order.order_id}")
        await handle.signal("payment_settled", {"notice_id": 1}, rpc_timeout=RPC_TIMEOUT)
        await self._seen(paid)
        for name in ("accept", "ready"):
            await self._update(handle, name, Command(actor="merchant:m", request_id=_new()))
        for name in ("pickup", "deliver"):
            rider = RiderCommand(actor="rider:r", request_id=_new(), rider_id="r", token=1)
            await self._update(handle, name, rider)
        await self._seen(completed)

    async def listen(self) -> None:
        """Hear what the worker tells."""
        assert self._worker.stdout is not None
        async for line in self._worker.stdout:
            waiting = self._waiting.pop(line.decode().strip(), None)
            if waiting is not None:
                waiting.set()

    async def _place(self, order: Order) -> WorkflowHandle[object, object]:
        start: WithStartWorkflowOperation[object, object] = WithStartWorkflowOperation(
            "TakeawayOrder",
            order,
            id=ids.order_workflow(order.order_id),
            task_queue=self._queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(attributes.ORDER_STATUS, "awaiting_payment"),
                    SearchAttributePair(attributes.SITE, order.site_id),
                    SearchAttributePair(attributes.SHOP, order.shop_id),
                ]
            ),
            static_summary=f"Kitchen #{order.order_id[-6:]}",
        )
        await self._client.execute_update_with_start_workflow(
            "place",
            start_workflow_operation=start,
            id=order.order_id,
            result_type=Answer,
            rpc_timeout=RPC_TIMEOUT,
        )
        return await start.workflow_handle()

    @staticmethod
    async def _update(handle: WorkflowHandle[object, object], name: str, command: Command) -> None:
        await handle.execute_update(
            name, command, id=command.request_id, result_type=Answer, rpc_timeout=RPC_TIMEOUT
        )

    def _event(self, line: str) -> asyncio.Event:
        return self._waiting.setdefault(line, asyncio.Event())

    @staticmethod
    async def _seen(event: asyncio.Event) -> None:
        async with asyncio.timeout(FACT_SECONDS):
            await event.wait()


@asynccontextmanager
async def bare_on(settings: Settings) -> AsyncIterator[Bare]:
    """A worker on a task queue of its own at the stack's Temporal."""
    queue = f"benchmark-{_new()}"
    client = await connect(settings)
    async with child("benchmarks.bare_worker", queue) as worker:
        assert worker.stdout is not None
        async with asyncio.timeout(FACT_SECONDS):
            while (line := await worker.stdout.readline()) != f"{SERVING}\n".encode():
                assert line, "the bare worker ended"
        bare = Bare(client, worker, queue)
        listening = asyncio.create_task(bare.listen())
        try:
            yield bare
        finally:
            listening.cancel()


def _order() -> Order:
    now = datetime.now(UTC)
    site_id = f"b{_new()[:10]}"
    return Order(
        order_id=ids.derive("benchmark", _new()),
        site_id=site_id,
        customer_id="c0",
        merchant_id="merchant",
        shop_id=f"{site_id}-shop0",
        quote_id=_new(),
        channel="wechat",
        method="jsapi",
        total_fen=3_900,
        auto_accept=False,
        tableware=1,
        pay_by=now + timedelta(seconds=Timers().payment_seconds),
        timers=Timers(after_sale_seconds=AFTER_SALE_SECONDS),
    )


def _new() -> str:
    return uuid.uuid4().hex
