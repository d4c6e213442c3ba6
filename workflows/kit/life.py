"""What every kind of order's life shares: paying, ending, support's desk, facts and answers."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from domain import ids
from domain.contracts import orders, payments
from domain.contracts.act import Act
from domain.contracts.life import Answer, Command, Intervene, OpenPayment, Order, State
from domain.contracts.orders import Done, EndStep, Step, SupportStep, TimelineStep
from domain.contracts.payments import Attempt, Found, OfOrder, Poll, Settle, StoreAttempt
from domain.errors import ActionNotAllowed, DomainError
from domain.orders import (
    COOKING,
    FINAL,
    Action,
    CloseReason,
    Kitchen,
    Payment,
    Status,
    ensure_allowed,
)
from workflows.kit import acts, attributes, facts, policies
from workflows.kit.clock import Clock, Ring
from workflows.kit.refunds import start_refunds
from workflows.kit.support import Desk

MILESTONES = frozenset({Status.PREPARING, Status.DELIVERED}) | FINAL
"""Statuses at which the search attribute moves: each move is a history event."""
MAX_ATTEMPTS = 20
MAX_REFUSED_NOTES = 100
"""Beyond it, nonsense signals are no longer written down."""
MAX_NAME_CHARS = 64
TICKET_DUE = timedelta(minutes=30)

StepOf = TypeVar("StepOf")
DoneOf = TypeVar("DoneOf", bound=Done)


class OrderLife:
    """The state of one order and what any order can do; what it believes is what is committed."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.timers = order.timers
        self.seq = 0
        self.status = Status.AWAITING_PAYMENT
        self.payment = Payment.UNPAID
        self.kitchen = Kitchen.NONE
        self.close_reason = ""
        self.placed: bool | None = None
        self.payment_open = True
        self.attempts = 1
        self.ending: EndStep | None = None
        self.signals = 0
        self.lock = asyncio.Lock()
        self.clock = Clock()
        self.desk = Desk(self)

    # Placing and paying ---------------------------------------------------------------------

    @workflow.update
    async def place(self) -> Answer:
        """Reserve, then open the payment: the first answer a customer gets."""
        async with self.lock:
            if self.placed:
                return self.answer("opened" if self.payment_open else "unknown")
            try:
                self._take(await acts.local(orders.RESERVE, self.order, **policies.ROW))
            except FailureError:
                self.placed = False
                raise
            try:
                return self.answer(await self._open(self._attempt()))
            except FailureError:
                self.wish_end(CloseReason.PAYMENT_REFUSED, "gateway")
                raise
            finally:
                self.placed = True

    @place.validator
    def _may_place(self) -> None:
        if self.placed is False:
            raise ActionNotAllowed(status="not_placed")

    @workflow.update
    async def open_payment(self, command: OpenPayment) -> Answer:
        """Pay again, or by another method: a new number at the gateway."""
        async with self.lock:
            self._ensure(Action.OPEN_PAYMENT)
            stored = await acts.local(
                payments.STORE_ATTEMPT,
                StoreAttempt(
                    order_id=self.order.order_id,
                    attempt=self.attempts + 1,
                    channel=command.channel,
                    method=command.method,
                ),
                **policies.ROW,
            )
            self.attempts += 1
            return self.answer(await self._open(stored))

    @open_payment.validator
    def _may_open_payment(self, command: OpenPayment) -> None:  # noqa: ARG002
        self._may(Action.OPEN_PAYMENT)
        if self.attempts >= MAX_ATTEMPTS:
            raise ActionNotAllowed("too many payments", status=self.status.value)

    async def _paid(self) -> None:
        """Wait for the money: first for a notice, then by asking, at most until `pay_by`."""
        polling: list[asyncio.Task[None]] = []

        async def start_polling() -> None:
            polling.append(asyncio.create_task(self._poll()))

        async def expire() -> None:
            self.wish_end(CloseReason.PAYMENT_EXPIRED, "system")

        if not self.payment_open:
            polling.append(asyncio.create_task(self._insist_on_payment()))
        self._alarm("ask the gateway", self.timers.notice_seconds, start_polling)
        self.clock.set("payment expires", self.order.pay_by, expire)
        await self._live_until(lambda: self.status is not Status.AWAITING_PAYMENT)
        self.clock.drop("ask the gateway", "payment expires")
        for task in polling:
            task.cancel()

    async def _open(self, attempt: Attempt) -> str:
        """Ask the gateway once; an unknown answer is settled in the background."""
        try:
            await acts.local(payments.OPEN, attempt, **policies.GATEWAY_ONCE)
        except FailureError as error:
            if acts.is_final(error):
                raise
            self.payment_open = False
            return "unknown"
        self.payment_open = True
        return "opened"

    async def _insist_on_payment(self) -> None:
        """Repeat a create whose answer is unknown, under its number, until it is certain."""
        left = max(self.order.pay_by - workflow.now(), timedelta(milliseconds=1))
        try:
            await acts.regular(
                payments.OPEN, self._attempt(), **policies.within(left, policies.GATEWAY)
            )
        except FailureError as error:
            if acts.is_final(error):
                self.wish_end(CloseReason.PAYMENT_REFUSED, "gateway")
        else:
            self.payment_open = True

    async def _poll(self) -> None:
        """One retrying activity asks the gateway until it finds money or the time is over."""
        left = self.order.pay_by - workflow.now()
        if left <= timedelta():
            return
        poll = Poll(order_id=self.order.order_id, waits_seconds=self.timers.poll_seconds)
        try:
            found = await acts.regular(
                payments.POLL, poll, **policies.within(left, policies.PATIENT)
            )
        except FailureError:
            return
        async with self.lock:
            await self._settle_all(found)

    async def _settle_all(self, found: Found) -> None:
        for notice_id in found.notice_ids:
            await self._settle(notice_id)

    async def _settle(self, notice_id: int) -> None:
        settle = Settle(order_id=self.order.order_id, notice_id=notice_id)
        await self._take_all(await acts.local(payments.SETTLE, settle, **policies.ROW))

    # Ending --------------------------------------------------------------------------------------

    async def _live_until(self, reached: Callable[[], bool]) -> None:
        """Let alarms ring until the stage is reached or the order has ended early."""
        while not (reached() or self.ended):
            if self.ending is not None:
                await self._end(self.ending)
            else:
                await self.clock.rest(
                    lambda: reached() or self.ended or self.ending is not None,
                    held=self.desk.held,
                )

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self.status in FINAL

    async def _end(self, ending: EndStep) -> None:
        """Cancel is close, query, and only then release (law 3)."""
        async with self.lock:
            found = Found()
            if self.status is Status.AWAITING_PAYMENT:
                of_order = OfOrder(order_id=self.order.order_id)
                found = await acts.regular(payments.CLOSE, of_order, **policies.GATEWAY)
            if found.notice_ids and ending.reason == CloseReason.PAYMENT_EXPIRED:
                self.ending = None  # the customer had paid in time
            else:
                done = await acts.local(orders.END, ending, **policies.ROW)
                if self.ending is ending:
                    self.ending = None
                if done.ended:
                    self.close_reason = ending.reason
                await self._take_all(done)
            for notice_id in found.notice_ids:
                await self._settle(notice_id)

    async def _end_answer(self) -> Answer:
        """Wait until the wish to end has come true, or a rider was faster."""
        await workflow.wait_condition(lambda: self.ended or self.ending is None)
        if not self.ended:
            raise ActionNotAllowed("a rider has the food", status=self.status.value)
        return self.answer()

    # Facts -------------------------------------------------------------------------------------

    @workflow.signal(dynamic=True)
    async def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        """Every signal: decoded by hand, so that nonsense becomes a line on the timeline."""
        # At once where it can be: a command that comes with the fact then waits for its act.
        if self.placed is None:
            await workflow.wait_condition(lambda: self.placed is not None)
        self.signals += 1
        try:
            await self._on_fact(name, facts.read(args))
        except (DomainError, FailureError, ValueError) as error:
            kind = error.problem if isinstance(error, DomainError) else "validation_failed"
            await self._note_refusal(name, kind)

    async def _on_fact(self, name: str, data: dict[str, object]) -> None:
        match name:
            case "payment_settled":
                async with self.lock:
                    await self._settle(facts.whole_number(data, "notice_id"))
            case "refund_ended":
                self.payment = Payment(str(data.get("payment")))
            case "no_rider":
                if self.status in COOKING:
                    self.wish_end(CloseReason.NO_RIDER, "dispatch")
            case "row_ended":
                # The act's answer is the row's state: if it has ended, so has the story.
                await self.note(f"row_ended:{self.signals}", "row_ended", {})
            case "intervene":
                await self.desk.by_signal(data)
            case _:
                raise ActionNotAllowed("no such signal", status=self.status.value)

    async def _note_refusal(self, name: str, reason: str) -> None:
        if not self.placed or self.signals > MAX_REFUSED_NOTES:
            return
        shown = name if name.isprintable() else ascii(name)
        data = {"name": shown[:MAX_NAME_CHARS], "reason": reason}
        await self.note(f"signal_refused:{self.signals}", "signal_refused", data)

    @workflow.update
    async def intervene(self, envelope: Intervene) -> Answer:
        """Support's hand, with an answer."""
        return self.answer(await self.desk.intervene(envelope))

    @intervene.validator
    def _may_intervene(self, envelope: Intervene) -> None:
        self.desk.ensure(envelope)

    @workflow.query(name="status")
    def state(self) -> State:
        """What the order believes now."""
        return State(
            order_id=self.order.order_id,
            status=self.status,
            payment=self.payment,
            kitchen=self.kitchen,
            held=self.desk.held,
            seq=self.seq,
            close_reason=self.close_reason,
        )

    # What the desk and the stages share ------------------------------------------------------

    async def act(
        self, contract: Act[StepOf, DoneOf], step: StepOf, action: Action | None = None
    ) -> None:
        """One step, after what came before it is done; an action is checked again by then."""
        async with self.lock:
            if action is not None:
                self._ensure(action)
            await self._take_all(await acts.local(contract, step, **policies.ROW))

    def wish_end(
        self, reason: CloseReason, actor: str, request_id: str = "", *, always: bool = False
    ) -> None:
        """Have the story end the order; `always`: even with the food on the road."""
        if self.ending is None or always:
            self.ending = EndStep(
                order_id=self.order.order_id,
                key="ended",
                actor=actor,
                request_id=request_id,
                reason=reason,
                even_after_pickup=always,
            )

    async def ask_support(self, kind: str, key: str) -> None:
        """Open a ticket for people."""
        step = SupportStep(
            order_id=self.order.order_id,
            key=key,
            kind=kind,
            due_at=workflow.now() + TICKET_DUE,
        )
        await self.act(orders.ASK_SUPPORT, step)

    async def note(
        self, key: str, kind: str, data: dict[str, str], by: Command | None = None
    ) -> None:
        """Write a line of the inner timeline."""
        by = by or Command(actor="system", request_id="")
        step = TimelineStep(
            order_id=self.order.order_id,
            key=key,
            actor=by.actor,
            request_id=by.request_id,
            kind=kind,
            data=data,
        )
        await self.act(orders.NOTE, step)

    def step(self, key: str, command: Command | None = None) -> Step:
        """A step of this order, by whoever tapped, or by itself."""
        by = command or Command(actor="system", request_id="")
        return Step(order_id=self.order.order_id, key=key, actor=by.actor, request_id=by.request_id)

    def answer(self, outcome: str = "done") -> Answer:
        """What a caller learns."""
        return Answer(
            order_id=self.order.order_id, status=self.status, seq=self.seq, outcome=outcome
        )

    def _attempt(self) -> Attempt:
        number = ids.out_trade_no(self.order.order_id, self.attempts)
        return Attempt(order_id=self.order.order_id, out_trade_no=number)

    def _alarm(self, name: str, seconds: float, ring: Ring) -> None:
        self.clock.set(name, workflow.now() + timedelta(seconds=seconds), ring)

    def _may(self, action: Action) -> None:
        """Refuse what is not allowed now; under an act that runs, its handler decides (`_still`).

        The act may have committed before its worker died: people see its outcome already.
        """
        if self.ending is not None or not self.lock.locked():
            self._ensure(action)

    async def _still(self, action: Action) -> None:
        """Refuse what is not allowed once the act under way is done."""
        async with self.lock:
            self._ensure(action)

    def _ensure(self, action: Action) -> None:
        if not self.placed or self.ending is not None:
            raise ActionNotAllowed(status=self.status.value)
        ensure_allowed(action, self.status)

    async def _take_all(self, done: Done) -> None:
        self._take(done)
        await start_refunds(
            done.refund_nos,
            order_id=self.order.order_id,
            poll_seconds=self.timers.refund_poll_seconds,
        )

    def _take(self, done: Done) -> None:
        """Believe what was committed; show milestones to operations."""
        before, self.status = self.status, Status(done.status)
        self.seq = max(self.seq, done.seq)
        self.payment = Payment(done.payment)
        self.kitchen = Kitchen(done.kitchen)
        if self.status is before:
            return
        workflow.set_current_details(f"{self.status} since {workflow.now():%H:%M:%S} UTC")
        if self.status in MILESTONES:
            updates = [attributes.ORDER_STATUS.value_set(self.status)]
            if self.close_reason:
                updates.append(attributes.CLOSE_REASON.value_set(self.close_reason))
            workflow.upsert_search_attributes(updates)
