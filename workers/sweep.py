"""Finds what has lost its workflow (orders, refunds, tickets, settlements…), facts too; mends it.

Visibility and old rows only nominate; `describe` and a second look at the row decide.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Concatenate, ParamSpec, TypeVar

import structlog

from domain.contracts.life import RecoverOrder
from domain.contracts.payouts import PayoutOrder
from domain.contracts.refunds import RefundOrder
from domain.contracts.settlement import SettleOrder
from domain.contracts.tickets import TicketOf, TicketRef
from domain.ids import (
    after_sale_workflow,
    answers_workflow,
    order_workflow,
    payout_workflow,
    recover_workflow,
    refund_workflow,
    settlement_workflow,
    ticket_workflow,
    tip_workflow,
)
from domain.riding import PHOTO_DAYS
from services import (
    credit,
    ledger,
    loose_ends,
    metrics,
    outbox,
    payouts,
    process,
    reconciliation,
    settlement,
    shifts,
    suspense,
    tickets,
    tips,
    waiting,
)
from services.db import Database, Reader
from services.loose_ends import BEGINNING, PAGE_ROWS, OpenOrder, OpenRefund
from workers.queues import FINANCE, ORDERS
from workers.temporal import WorkflowGone, Workflows

SWEEP_SECONDS = 15.0
SUSPENSE_SECONDS = 300.0
PAGES = 5
"""Of visibility per round and question."""
LOOK_BACK = timedelta(days=1)
FIRST_REPEAT_SECONDS = 10.0
LONGEST_REPEAT_SECONDS = 3_600.0
_OPEN = "WorkflowType = 'TakeawayOrder' AND ExecutionStatus = 'Running'"
_BROKEN = (
    "WorkflowType = 'TakeawayOrder' AND "
    "ExecutionStatus IN ('Terminated', 'Canceled', 'Failed', 'TimedOut') AND CloseTime > '{}'"
)

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Sweep:
    """One round looks at a bounded page of everything; the next round goes on where it ended."""

    def __init__(
        self, database: Database, workflows: Workflows, *, photo_days: int = PHOTO_DAYS
    ) -> None:
        self._database = database
        self._photo_days = photo_days
        self._workflows = workflows
        self._quiet_after = BEGINNING
        self._refunds_after = BEGINNING
        self._tickets_after = 0
        self._wishes_after = BEGINNING
        self._settlements_after = BEGINNING
        self._open_token: bytes | None = None
        self._broken_token: bytes | None = None
        self._repeats: dict[int, tuple[float, float]] = {}
        self._suspense_due = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep until told to stop."""
        while not stop.is_set():
            await self.once()
            await process.rest(stop, SWEEP_SECONDS)

    async def once(self) -> None:
        """One round; a part that fails is logged and doesn't keep the others from their work."""
        parts: tuple[Callable[[], Awaitable[None]], ...] = (
            self.broken_orders,
            self.quiet_orders,
            self.outlived_rows,
            self.refunds,
            self.new_tickets,
            self.tickets,
            self.answers,
            self.ticket_counts,
            self.wishes,
            self.tips,
            self.new_settlements,
            self.settlements,
            self.payouts,
            self.notices,
            self.leftovers,
            self.credit,
            self.suspense,
            self.waiting,
            self.pauses,
            self.streams,
        )
        with metrics.SWEEP_SECONDS.time():
            for part in parts:
                try:
                    await part()
                except Exception:
                    metrics.RELAY_FAILURES.labels("sweep").inc()
                    log.exception("sweep failed", part=part.__name__)

    async def _read(
        self, ask: Callable[Concatenate[Reader, P], Awaitable[T]], *args: P.args, **named: P.kwargs
    ) -> T:
        async with self._database.read() as reader:
            return await ask(reader, *args, **named)

    async def broken_orders(self) -> None:
        """Executions that ended other than by completing, while their row is open."""
        since = (datetime.now(UTC) - LOOK_BACK).isoformat()
        nominated, self._broken_token = await self._nominated(
            _BROKEN.format(since), self._broken_token
        )
        open_rows = await self._read(loose_ends.open_of, nominated)
        for order in open_rows:
            await self._recover(order)

    async def quiet_orders(self) -> None:
        """Open rows that have not changed for a while: does their workflow live?"""
        page = await self._read(loose_ends.quiet_orders, self._quiet_after)
        for order in page:
            await self._recover(order)
        full = len(page) == PAGE_ROWS
        self._quiet_after = (page[-1].changed_at, page[-1].order_id) if full else BEGINNING

    async def outlived_rows(self) -> None:
        """Open executions whose row has ended: they are told."""
        nominated, self._open_token = await self._nominated(_OPEN, self._open_token)
        ended = await self._read(loose_ends.ended_of, nominated)
        for order_id in ended:
            try:
                await self._workflows.tell(order_workflow(order_id), "row_ended")
            except WorkflowGone:
                continue  # visibility was late
            _found("row_ended", order_id)

    async def refunds(self) -> None:
        """Open refunds without an open workflow: started again under their stored number."""
        page = await self._read(loose_ends.quiet_refunds, self._refunds_after)
        for refund in page:
            await self._follow(refund)
        full = len(page) == PAGE_ROWS
        self._refunds_after = (page[-1].created_at, page[-1].out_refund_no) if full else BEGINNING

    async def new_tickets(self) -> None:
        """Tickets come as rows of other acts: here each gets the workflow that follows it."""
        page = await self._read(tickets.unfollowed)
        for ticket in page:
            await self._start_ticket(ticket)

    async def answers(self) -> None:
        """What desks have said of disputes comes as rows: here it gets its way to the channel."""
        waiting = await self._read(tickets.unanswered)
        for ticket_id in waiting:
            workflow_id, ticket = answers_workflow(ticket_id), TicketRef(ticket_id=ticket_id)
            if not await self._workflows.is_open(workflow_id):
                await self._workflows.start(
                    "DisputeAnswers", workflow_id, ticket, queue=ORDERS.name
                )

    async def ticket_counts(self) -> None:
        """What waits for people, as this process's metrics show it."""
        counts = await self._read(tickets.counts)
        metrics.TICKETS_OPEN.clear()
        metrics.TICKETS_OVERDUE.clear()
        for kind, (unresolved, overdue) in counts.items():
            metrics.TICKETS_OPEN.labels(kind).set(unresolved)
            metrics.TICKETS_OVERDUE.labels(kind).set(overdue)

    async def tickets(self) -> None:
        """Open tickets that have lost their workflow: started again where the row is."""
        page = await self._read(tickets.quiet, self._tickets_after)
        for ticket in page:
            if await self._workflows.is_open(ticket_workflow(ticket.ticket_id)):
                continue
            still_open = await self._read(tickets.of, [ticket.ticket_id])
            for row in still_open:
                await self._start_ticket(row)
                _found("ticket_without_workflow", row.order_id)
        full = len(page) == tickets.PAGE_ROWS
        self._tickets_after = page[-1].ticket_id if full else 0

    async def wishes(self) -> None:
        """Wishes for money back that wait without an open workflow: they go on where they were."""
        page = await self._read(loose_ends.quiet_wishes, self._wishes_after)
        for _, ask in page:
            workflow_id = after_sale_workflow(ask.after_sale_id)
            if not await self._workflows.is_open(workflow_id):
                await self._workflows.start("AfterSale", workflow_id, ask, queue=ORDERS.name)
                _found("after_sale_without_workflow", ask.order_id)
        full = len(page) == PAGE_ROWS
        self._wishes_after = (page[-1][0], page[-1][1].after_sale_id) if full else BEGINNING

    async def tips(self) -> None:
        """Tips of whose money nothing is certain: those without an open workflow get another."""
        page = await self._read(tips.unfinished)
        for tip in page:
            workflow_id = tip_workflow(tip.out_trade_no)
            if not await self._workflows.is_open(workflow_id):
                await self._workflows.start("Tip", workflow_id, tip, queue=ORDERS.name)
                _found("tip_without_workflow", tip.order_id)

    async def new_settlements(self) -> None:
        """Settlements come as rows of orders' ends: here each gets its workflow."""
        for _ in range(PAGES):
            page = await self._read(settlement.unfollowed)
            await self._settle(page)
            if len(page) < settlement.PAGE_ROWS:
                break

    async def settlements(self) -> None:
        """Open settlements that have lost their workflow: they go on where their rows are."""
        page = await self._read(settlement.quiet, self._settlements_after)
        for _, order in page:
            if not await self._workflows.is_open(settlement_workflow(order.order_id)):
                await self._settle([order])
                _found("settlement_without_workflow", order.order_id)
        full = len(page) == settlement.PAGE_ROWS
        self._settlements_after = (page[-1][0], page[-1][1].order_id) if full else BEGINNING

    async def payouts(self) -> None:
        """Batches come approved as rows: here each gets its workflow, or another if it lost it."""
        approved = await self._read(payouts.open_batches)
        for batch_id in approved:
            workflow_id = payout_workflow(batch_id)
            if not await self._workflows.is_open(workflow_id):
                order = PayoutOrder(batch_id=batch_id)
                await self._workflows.start("Payout", workflow_id, order, queue=FINANCE.name)

    async def leftovers(self) -> None:
        """What nobody will ask for again goes, a page at a time."""
        async with self._database.write() as writer:
            await loose_ends.forget(writer, photo_days=self._photo_days)

    async def credit(self) -> None:
        """A page of platform credit whose time is over: what is left of it expires."""
        async with self._database.write() as writer:
            for expired in await credit.expire(writer, now=datetime.now(UTC)):
                await ledger.post(writer, expired)

    async def suspense(self) -> None:
        """Every few minutes: how much waits in suspense and in differences; old money: tickets."""
        now = asyncio.get_running_loop().time()
        if now < self._suspense_due:
            return
        self._suspense_due = now + SUSPENSE_SECONDS
        async with self._database.write() as writer:
            for held in await suspense.look(writer):
                metrics.SUSPENSE_FEN.labels(held.site_id, "all").set(held.all_fen)
                metrics.SUSPENSE_FEN.labels(held.site_id, "old").set(held.old_fen)
            for channel, count in (await reconciliation.count_open(writer)).items():
                metrics.DIFFERENCES_OPEN.labels(channel).set(count)

    async def waiting(self) -> None:
        """What is open with a channel, and for how long, as this process's metrics show it."""
        found = await self._read(waiting.look)
        metrics.WAITING.clear()
        metrics.WAITING_SECONDS.clear()
        for one in found:
            metrics.WAITING.labels(one.channel, one.what).set(one.count)
            metrics.WAITING_SECONDS.labels(one.channel, one.what).set(one.oldest_seconds)

    async def pauses(self) -> None:
        """Riders who pause longer than their reason lets them: support is told."""
        async with self._database.write() as writer:
            for one in await shifts.overlong(writer):
                about = {"site_id": one.site_id, "order_id": "", "key": one.key}
                data = {"rider_id": one.rider_id, "reason_code": one.pause_code}
                await tickets.open_ticket(writer, kind="rider_paused", data=data, **about)

    async def streams(self) -> None:
        """What waits for each sink of events, as this process's metrics show it."""
        found = await self._read(outbox.backlogs)
        for one in found:
            lag = datetime.now(UTC) - one.oldest_at if one.oldest_at else timedelta()
            metrics.STREAM_BACKLOG.labels(one.sink).set(one.events)
            metrics.STREAM_LAG.labels(one.sink).set(max(lag.total_seconds(), 0))

    async def notices(self) -> None:
        """Facts about payments that were confirmed but not applied: told again, ever later."""
        page = await self._read(loose_ends.unapplied)
        now = asyncio.get_running_loop().time()
        self._repeats = {
            fact.notice_id: self._repeats.get(fact.notice_id, (now, FIRST_REPEAT_SECONDS))
            for fact in page
        }
        for fact in page:
            due, wait_seconds = self._repeats[fact.notice_id]
            if due <= now:
                async with self._database.write() as writer:
                    await loose_ends.tell_again(writer, fact)
                _found("fact_unapplied", fact.order_id)
                longer = min(2 * wait_seconds, LONGEST_REPEAT_SECONDS)
                self._repeats[fact.notice_id] = (now + wait_seconds, longer)

    async def _nominated(self, query: str, token: bytes | None) -> tuple[list[str], bytes | None]:
        """Orders of the next executions that visibility lists, and where to go on."""
        orders: list[str] = []
        for _ in range(PAGES):
            page, token = await self._workflows.page(query, rows=PAGE_ROWS, token=token)
            orders += [found.id.partition("/")[2] for found in page]
            if token is None:
                break
        return orders, token

    async def _recover(self, order: OpenOrder) -> None:
        if await self._workflows.is_open(order_workflow(order.order_id)):
            return
        async with self._database.read() as reader:
            # Its workflow may have written the end and closed since the row was read.
            still_open = await loose_ends.open_of(reader, [order.order_id])
        if not still_open:
            return
        await self._workflows.start(
            "Recover",
            recover_workflow(order.order_id),
            RecoverOrder(order_id=order.order_id, poll_seconds=order.refund_poll_seconds),
            queue=ORDERS.name,
        )
        _found("order_without_workflow", order.order_id)

    async def start_refunds(self, numbers: Collection[str]) -> None:
        """Start the workflows of these stored refunds, those that are open left alone."""
        stored = await self._read(loose_ends.refunds_of, numbers)
        for refund in stored:
            await self._start_refund(refund)

    async def _follow(self, refund: OpenRefund) -> None:
        if await self._workflows.is_open(refund_workflow(refund.out_refund_no)):
            return
        still_open = await self._read(loose_ends.refunds_of, [refund.out_refund_no])
        if not still_open:
            return
        await self._start_refund(refund)
        _found("refund_without_workflow", refund.order_id)

    async def _start_refund(self, refund: OpenRefund) -> None:
        await self._workflows.start(
            "Refund",
            refund_workflow(refund.out_refund_no),
            RefundOrder(
                out_refund_no=refund.out_refund_no,
                order_id=refund.order_id,
                poll_seconds=refund.poll_seconds,
            ),
            queue=ORDERS.name,
        )

    async def _start_ticket(self, ticket: TicketOf) -> None:
        workflow_id = ticket_workflow(ticket.ticket_id)
        await self._workflows.start("Ticket", workflow_id, ticket, queue=ORDERS.name)
        async with self._database.write() as writer:
            await tickets.followed(writer, ticket.ticket_id)

    async def _settle(self, page: Sequence[SettleOrder]) -> None:
        for order in page:
            await self._workflows.start(
                "Settlement", settlement_workflow(order.order_id), order, queue=FINANCE.name
            )
        if page:
            async with self._database.write() as writer:
                await settlement.followed(writer, [order.order_id for order in page])


def _found(finding: str, order_id: str) -> None:
    metrics.SWEPT.labels(finding).inc()
    log.warning("swept", finding=finding, order_id=order_id)
