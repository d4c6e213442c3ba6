"""The only place of the API that messages Temporal; every wait is bounded, every failure named."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from domain import errors, ids
from domain.contracts.after_sales import AfterSaleCommand, AfterSaleSaid, Ask
from domain.contracts.life import Answer, Intervene, Order
from domain.contracts.life import State as OrderState
from domain.contracts.tickets import TicketNow, TicketOf
from domain.contracts.tips import GiveTip, TipSaid
from domain.errors import (
    ActionNotAllowed,
    DomainError,
    NotFound,
    PaymentRefused,
    Unavailable,
)
from domain.orders import Status, may_follow
from domain.tickets import State
from services import events
from services.db import Database
from services.settings import Settings
from workflows.kit import attributes
from workflows.kit.connect import connect

ORDERS_QUEUE = "orders"
WAIT = timedelta(seconds=12)
"""For an update's answer: longer than one gateway call, shorter than clients wait."""
QUICK = timedelta(seconds=3)
CONNECT_SECONDS = 3.0
REST_SECONDS = 1.0
"""After a failed connection nobody is made to wait for another for so long."""
BEHIND_TRIES = 10
BEHIND_PAUSE_SECONDS = 0.2
CAUSES_MAX = 10
ENDED_UNDER_UPDATE = "AcceptedUpdateCompletedWorkflow"

FACTS: dict[str, type[DomainError]] = {
    fact.problem: fact
    for fact in vars(errors).values()
    if isinstance(fact, type) and issubclass(fact, DomainError) and fact is not DomainError
} | {PaymentRefused.problem: PaymentRefused}
"""Problem name → fact. Out of a workflow a gateway's word is certain: it refused."""

Given = TypeVar("Given")

log = structlog.get_logger()


class Durable:
    """Orders' workflows, as the API talks to them."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._rests_until = 0.0

    async def place(self, order: Order, *, summary: str) -> Answer:
        """Start the order's life and wait for its first answer; a repeat gets the same one."""
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "TakeawayOrder",
            order,
            id=ids.order_workflow(order.order_id),
            task_queue=ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=TypedSearchAttributes(
                [
                    SearchAttributePair(attributes.ORDER_STATUS, Status.AWAITING_PAYMENT.value),
                    SearchAttributePair(attributes.SITE, order.site_id),
                    SearchAttributePair(attributes.SHOP, order.shop_id),
                ]
            ),
            static_summary=summary,
            static_details=f"site `{order.site_id}`, shop `{order.shop_id}`, "
            f"order `{order.order_id}`",
        )
        try:
            return await self._begin(start, "place", (), update_id=order.order_id, gives=Answer)
        except _Gone:
            over = await self._ended(order.order_id)
            # «Not found» would be kept as this key's answer, and the order may yet be placed.
            raise (Unavailable() if isinstance(over, NotFound) else over) from None

    async def placed(self, order_id: str) -> bool:
        """Whether there was an earlier `place`, whose answer is waited for; raises its refusal."""
        client = await self._connected()
        handle = client.get_workflow_handle(ids.order_workflow(order_id))
        try:
            async with _named():
                await handle.get_update_handle(order_id, result_type=Answer).result(
                    rpc_timeout=WAIT
                )
        except _Gone:
            async with self._database.read() as reader:
                return await events.stream(reader, order_id) is not None
        return True

    async def command(self, order_id: str, name: str, arg: object, *, update_id: str) -> Answer:
        """Send a command as an update and wait for its answer; `update_id` makes repeats one.

        After a death of its worker a workflow may be behind its own row for a moment: what it
        refuses in a status that is over is asked again.
        """
        for _ in range(BEHIND_TRIES):
            try:
                return await self._update(order_id, name, arg, update_id=update_id)
            except ActionNotAllowed as refused:
                if not await self._is_over(order_id, str(refused.data.get("status", ""))):
                    raise
            await asyncio.sleep(BEHIND_PAUSE_SECONDS)
        return await self._update(order_id, name, arg, update_id=update_id)

    async def _is_over(self, order_id: str, said: str) -> bool:
        """Whether the order's row has moved on from the status that a refusal named."""
        async with self._database.read() as reader:
            stream = await events.stream(reader, order_id)
        known = set(Status)
        if stream is None or said not in known or stream.view["status"] not in known:
            return False
        return may_follow(Status(said), Status(stream.view["status"]))

    async def _update(self, order_id: str, name: str, arg: object, *, update_id: str) -> Answer:
        client = await self._connected()
        handle = client.get_workflow_handle(ids.order_workflow(order_id))
        try:
            async with _named():
                answer: Answer = await handle.execute_update(
                    name, arg, id=update_id, result_type=Answer, rpc_timeout=WAIT
                )
                return answer
        except _Gone:
            raise await self._ended(order_id) from None

    async def ticket(
        self, ticket_id: int, row: TicketOf | None, name: str, arg: object, *, update_id: str
    ) -> TicketNow:
        """Send a command to a ticket's workflow, which begins by it if nobody started it yet.

        `row`: its input; None: the ticket is over, and only what was done before is answered.
        """
        workflow_id = ids.ticket_workflow(ticket_id)
        try:
            if row is None:
                handle = (await self._connected()).get_workflow_handle(workflow_id)
                async with _named():
                    over: TicketNow = await handle.execute_update(
                        name, arg, id=update_id, result_type=TicketNow, rpc_timeout=WAIT
                    )
                    return over
            start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
                "Ticket",
                row,
                id=workflow_id,
                task_queue=ORDERS_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            )
            return await self._begin(start, name, (arg,), update_id=update_id, gives=TicketNow)
        except _Gone:
            raise ActionNotAllowed("the ticket is resolved", state=State.RESOLVED) from None

    async def intervene(self, order_id: str, envelope: Intervene) -> Answer:
        """Support's hand."""
        update_id = ids.derive("intervene", order_id, envelope.actor, envelope.request_id)
        return await self.command(order_id, "intervene", envelope, update_id=update_id)

    async def ask_refund(self, ask: Ask) -> AfterSaleSaid:
        """Start an after-sale and wait until its wish is kept; a repeat gets the same answer."""
        client = await self._connected()
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "AfterSale",
            ask,
            id=ids.after_sale_workflow(ask.after_sale_id),
            task_queue=ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"{ask.reason_code}, order {ask.order_id}",
        )
        try:
            async with _named():
                said: AfterSaleSaid = await client.execute_update_with_start_workflow(
                    "asked",
                    start_workflow_operation=start,
                    id=ask.after_sale_id,
                    result_type=AfterSaleSaid,
                    rpc_timeout=WAIT,
                )
                return said
        except _Gone:
            handle = client.get_workflow_handle(ids.after_sale_workflow(ask.after_sale_id))
            told = handle.get_update_handle(ask.after_sale_id, result_type=AfterSaleSaid)
            async with _named():
                kept: AfterSaleSaid = await told.result(rpc_timeout=WAIT)
                return kept
        finally:
            with contextlib.suppress(Exception, asyncio.CancelledError):
                async with asyncio.timeout(0):
                    await start.workflow_handle()

    async def give_tip(self, tip: GiveTip) -> TipSaid:
        """Start a tip and wait until it can be paid; a repeat gets the same answer."""
        workflow_id, update_id = ids.tip_workflow(tip.out_trade_no), tip.out_trade_no
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            "Tip",
            tip,
            id=workflow_id,
            task_queue=ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=f"order {tip.order_id}",
        )
        try:
            return await self._begin(start, "opened", (), update_id=update_id, gives=TipSaid)
        except _Gone:
            handle = (await self._connected()).get_workflow_handle(workflow_id)
            told = handle.get_update_handle(update_id, result_type=TipSaid)
            async with _named():
                said: TipSaid = await told.result(rpc_timeout=WAIT)
                return said

    async def answer(self, after_sale_id: str, name: str, arg: AfterSaleCommand) -> AfterSaleSaid:
        """The answer of customer, merchant or support to an after-sale; once per request."""
        client = await self._connected()
        handle = client.get_workflow_handle(ids.after_sale_workflow(after_sale_id))
        try:
            async with _named():
                said: AfterSaleSaid = await handle.execute_update(
                    name, arg, id=arg.request_id, result_type=AfterSaleSaid, rpc_timeout=WAIT
                )
                return said
        except _Gone:
            raise ActionNotAllowed("this after-sale is over", reason="wrong_state") from None

    async def state(self, order_id: str) -> OrderState | None:
        """What the workflow believes; None where there is none any more."""
        client = await self._connected()
        handle = client.get_workflow_handle(ids.order_workflow(order_id))
        try:
            state: OrderState = await handle.query(
                "status", result_type=OrderState, rpc_timeout=QUICK
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise Unavailable from error
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError, TimeoutError) as error:
            raise Unavailable from error
        return state

    async def check(self) -> None:
        """Raise unless Temporal answers."""
        client = await self._connected()
        if not await client.service_client.check_health(timeout=QUICK):
            raise Unavailable

    async def _begin(
        self,
        start: WithStartWorkflowOperation[Any, Any],
        name: str,
        args: tuple[object, ...],
        *,
        update_id: str,
        gives: type[Given],
    ) -> Given:
        """Update-with-start; raises `_Gone` where that workflow has completed."""
        client = await self._connected()
        try:
            async with _named():
                answer: Given = await client.execute_update_with_start_workflow(
                    name,
                    args=args,
                    start_workflow_operation=start,
                    id=update_id,
                    result_type=gives,
                    rpc_timeout=WAIT,
                )
                return answer
        finally:
            # The SDK keeps the start's failure in a future that warns unless somebody looks.
            with contextlib.suppress(Exception, asyncio.CancelledError):
                async with asyncio.timeout(0):
                    await start.workflow_handle()

    async def _connected(self) -> Client:
        if self._client is not None:
            return self._client
        async with self._connecting:
            if self._client is None:
                if time.monotonic() < self._rests_until:
                    raise Unavailable
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        self._client = await connect(self._settings)
                except (RuntimeError, TimeoutError, RPCError) as error:
                    self._rests_until = time.monotonic() + REST_SECONDS
                    raise Unavailable from error
            return self._client

    async def _ended(self, order_id: str) -> DomainError:
        """Nobody is there to be told: the rows say why."""
        async with self._database.read() as reader:
            stream = await events.stream(reader, order_id)
        if stream is None:
            return NotFound("there is no such order")
        return ActionNotAllowed("the order is over", status=stream.view["status"])


class _Gone(Exception):
    """There is no such workflow, or nobody in it any more who could answer."""


@asynccontextmanager
async def _named() -> AsyncIterator[None]:
    """Bound the wait, and turn whatever Temporal says into a fact, or into `_Gone`."""
    try:
        async with asyncio.timeout(WAIT.total_seconds()):
            yield
    except WorkflowUpdateFailedError as error:
        fact = fact_of(error)
        if fact is not None:
            raise fact from None
        if ENDED_UNDER_UPDATE in _types(error):
            raise _Gone from error
        log.warning("update_failed", exc_info=error)
        raise Unavailable from error
    except WorkflowAlreadyStartedError as error:
        raise _Gone from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _Gone from error
        raise Unavailable from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
        raise Unavailable from error


def fact_of(error: BaseException) -> DomainError | None:
    """The named fact among an exception's causes, or None."""
    for cause in _causes(error):
        if isinstance(cause, ApplicationError) and cause.type in FACTS:
            fact = FACTS[cause.type](cause.message)
            if cause.details and isinstance(cause.details[0], dict):
                fact.data = cause.details[0]
            return fact
    return None


def _types(error: BaseException) -> set[str | None]:
    return {cause.type for cause in _causes(error) if isinstance(cause, ApplicationError)}


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < CAUSES_MAX:
        found.append(cause)
        cause = cause.__cause__
    return found
