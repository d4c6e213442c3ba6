"""What every kind of order's life shares: paying, ending, support's desk and facts."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from domain.contracts import orders, payments
from domain.contracts.act import Act
from domain.contracts.life import Answer, Intervene, OpenPayment, State
from domain.contracts.orders import EndStep
from domain.contracts.payments import Attempt, Found, OfOrder, Poll, Settle, StoreAttempt
from domain.errors import ActionNotAllowed, DomainError
from domain.orders import (
    COOKING,
    Action,
    CloseReason,
    Payment,
    Status,
)
from workflows.kit import acts, facts, policies
from workflows.kit.acting import OrderActing
from workflows.kit.policies import RegularPolicy

LOST_TAP = timedelta(seconds=20)
"""Longer than the API waits for the answer to `place`."""
BEFORE_ACCEPTANCE = frozenset(
    {Status.AWAITING_PAYMENT, Status.UNDER_REVIEW, Status.AWAITING_ACCEPTANCE}
)
MAX_ATTEMPTS = 20
MAX_REFUSED_NOTES = 100
"""Beyond it, nonsense signals are no longer written down."""
MAX_NAME_CHARS = 64

In = TypeVar("In")
Out = TypeVar("Out")


class OrderLife(OrderActing):
    """An order that is paid, may end early, and hears what people and parts say."""

    # Placing and paying ---------------------------------------------------------------------

    @workflow.update
    async def place(self) -> Answer:
        """Reserve, then open the payment: the first answer a customer gets."""
        return await self._place()

    @place.validator
    def _may_place(self) -> None:
        if self.placed is False:
            raise ActionNotAllowed(status="not_placed")

    async def _place(self) -> Answer:
        async with self.lock:
            if self.placed:
                return self.answer("opened" if self.payment_open else "unknown")
            try:
                self._take(await acts.local(orders.RESERVE, self.order, **policies.ROW))
            except FailureError:
                self.placed = False
                raise
            if self.status is not Status.AWAITING_PAYMENT:
                self.placed = True  # paid whole already: no channel is asked
                return self.answer()
            try:
                return self.answer(await self._open(self._attempt()))
            except FailureError:
                self._refused()
                raise
            finally:
                self.placed = True

    async def _begun(self) -> None:
        """Wait for the first tap; one that died with server and worker is not waited for."""
        # The tap comes with the start: it runs first, and no timer is needed.
        await workflow.wait_condition(lambda: True)
        if self.placed is None and not self.lock.locked():
            await self._place_if_lost()
        await workflow.wait_condition(lambda: self.placed is not None)

    async def _place_if_lost(self) -> None:
        try:
            await workflow.wait_condition(
                lambda: self.placed is not None or self.lock.locked(),
                timeout=LOST_TAP,
                timeout_summary="the tap was lost",
            )
        except TimeoutError:
            # It may have reserved already: what nobody pays for ends by the payment's timer.
            with suppress(FailureError):
                await self._place()

    @workflow.update
    async def open_payment(self, command: OpenPayment) -> Answer:
        """Pay again, or by another method: a new number at the gateway."""
        async with self.lock:
            self._ensure(Action.OPEN_PAYMENT)
            self._ensure_few_attempts()
            stored = await acts.local(
                payments.STORE_ATTEMPT,
                StoreAttempt(
                    order_id=self.order.order_id,
                    attempt=self.attempts + 1,
                    channel=command.channel,
                    method=command.method,
                    wishes=command.wishes,
                ),
                **policies.ROW,
            )
            self.attempts += 1
            outcome = await self._open(stored)
            if outcome == "unknown":
                self._spawn(self._insist(stored))
            return self.answer(outcome)

    @open_payment.validator
    def _may_open_payment(self, command: OpenPayment) -> None:  # noqa: ARG002
        self._may(Action.OPEN_PAYMENT)
        self._ensure_few_attempts()

    def _ensure_few_attempts(self) -> None:
        if self.attempts >= MAX_ATTEMPTS:
            raise ActionNotAllowed("too many payments", status=self.status.value)

    async def _paid(self) -> None:
        """Wait for the money: first for a notice, then by asking, at most until `pay_by`."""

        async def start_polling() -> None:
            # The polling ends at the deadline by itself: meanwhile that needs no timer.
            self.clock.drop("payment expires")
            self._spawn(self._poll())

        if not self.payment_open:
            self._spawn(self._insist(self._attempt()))
        self._alarm("ask the gateway", self.timers.notice_seconds, start_polling)
        self._set_expiry()
        await self._live_until(lambda: self.status is not Status.AWAITING_PAYMENT)
        self.clock.drop("ask the gateway", "payment expires")
        for asking in self.asking:
            asking.cancel()
        if self.attempts > 1 and not self.ended:
            self._spawn(self._close_others())

    def _set_expiry(self) -> None:
        async def expire() -> None:
            self.wish_end(CloseReason.PAYMENT_EXPIRED, "system")

        self.clock.set("payment expires", self.order.pay_by, expire)

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

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the story, which does not end before it."""
        self.background.append(asyncio.create_task(work))

    async def _ask(self, contract: Act[In, Out], value: In, policy: RegularPolicy) -> Out | None:
        """Ask the gateway until payment is over; only the question is called off, no settling."""
        left = self.order.pay_by - workflow.now()
        if left <= timedelta() or self.status is not Status.AWAITING_PAYMENT:
            return None
        asking = acts.start_regular(contract, value, **policies.within(left, policy))
        self.asking.append(asking)
        return await asking

    async def _insist(self, attempt: Attempt) -> None:
        """Repeat a create whose answer is unknown, under its number, until it is certain."""
        try:
            opened = await self._ask(payments.OPEN, attempt, policies.GATEWAY)
        except FailureError as error:
            if acts.is_final(error) and self.attempts == 1:
                self._refused()
        else:
            self.payment_open = opened is not None

    def _refused(self) -> None:
        """The first way was refused: till the payment's timer the customer may take another."""
        if not workflow.patched("refused-stays-payable"):
            self.wish_end(CloseReason.PAYMENT_REFUSED, "gateway")

    async def _close_others(self) -> None:
        """Paid once: what else was opened is closed, and money that was faster goes home."""
        others = OfOrder(order_id=self.order.order_id, keep_held=True)
        found = await acts.regular(payments.CLOSE, others, **policies.GATEWAY)
        async with self.lock:
            await self._settle_all(found)

    async def _capture(self) -> None:
        """Take what the channel holds, once; an unknown answer is settled in the background.

        Raises when the hold is gone: the order ends.
        """
        held = OfOrder(order_id=self.order.order_id)
        try:
            async with self.lock:
                # Not before the lock: the notice that it is held may be settled just now.
                if self.payment is not Payment.AUTHORIZED:
                    return
                found = await acts.local(payments.CAPTURE, held, **policies.GATEWAY_ONCE)
                await self._settle_all(found)
        except FailureError as error:
            if acts.is_final(error):
                self.wish_end(CloseReason.PAYMENT_REFUSED, "gateway")
                raise
            self._spawn(self._insist_on_capture(held))

    async def _insist_on_capture(self, held: OfOrder) -> None:
        try:
            found = await acts.regular(payments.CAPTURE, held, **policies.GATEWAY)
        except FailureError:
            self.hold_lost = True
            self.wish_end(CloseReason.PAYMENT_REFUSED, "gateway")
        else:
            async with self.lock:
                await self._settle_all(found)

    async def _poll(self) -> None:
        """One retrying activity asks the gateway until it finds money or the time is over."""
        poll = Poll(order_id=self.order.order_id, waits_seconds=self.timers.poll_seconds)
        found = None
        with suppress(FailureError):
            found = await self._ask(payments.POLL, poll, policies.PATIENT)
        if found is not None:
            async with self.lock:
                await self._settle_all(found)
        if self.status is Status.AWAITING_PAYMENT:
            self._set_expiry()

    async def _settle_all(self, found: Found) -> None:
        for notice_id in found.notice_ids:
            await self._settle(notice_id)
        if found.close_again_seconds and not self.watching:
            self.watching = True
            self._spawn(self._watch(found.close_again_seconds))

    async def _watch(self, seconds: float) -> None:
        """Close again what may be paid till then; money that was faster goes home."""
        await asyncio.sleep(seconds)
        self.watching = False
        await self._close_others()

    async def _settle(self, notice_id: int) -> None:
        settle = Settle(order_id=self.order.order_id, notice_id=notice_id)
        settled = await acts.local(payments.SETTLE, settle, **policies.ROW)
        await self._take_all(settled)
        if settled.outcome == "unwanted":
            self._spawn(self._close_others())

    # Ending --------------------------------------------------------------------------------------

    async def _live_until(self, reached: Callable[[], bool]) -> None:
        """Let alarms ring until the stage is reached or the order has ended early."""
        while not (reached() or self.ended):
            if self.ending is not None:
                await self._end(self.ending)
            else:
                await self._rest(reached)

    async def _rest(self, reached: Callable[[], bool]) -> None:
        """Until something happens or an alarm rings; what an alarm may not do is written down."""
        try:
            await self.clock.rest(
                lambda: reached() or self.ended or self.ending is not None,
                held=self.desk.held,
            )
        except (DomainError, FailureError) as error:
            await self._note_refusal("alarm", acts.problem_of(error))

    async def _end(self, ending: EndStep) -> None:
        """Cancel is close, query, and only then release (law 3)."""
        async with self.lock:
            found = Found()
            if self.status is Status.AWAITING_PAYMENT or self.payment is Payment.AUTHORIZED:
                of_order = OfOrder(order_id=self.order.order_id)
                found = await acts.regular(payments.CLOSE, of_order, **policies.GATEWAY)
            in_time = ending.reason == CloseReason.PAYMENT_EXPIRED and bool(found.notice_ids)
            if in_time:
                await self._settle_all(found)
            if not in_time or self.status is Status.AWAITING_PAYMENT:
                done = await acts.local(orders.END, ending, **policies.ROW)
                if done.ended:
                    self.close_reason = ending.reason
                await self._take_all(done)
            if self.ending is ending:
                self.ending = None
            if not in_time:
                await self._settle_all(found)

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
            await self._note_refusal(name, acts.problem_of(error))

    async def _on_fact(self, name: str, data: dict[str, object]) -> None:
        match name:
            case "payment_settled":
                async with self.lock:
                    await self._settle(facts.whole_number(data, "notice_id"))
            case "refund_ended":
                self.payment = Payment(str(data.get("payment")))
            case "no_rider":
                # Accepted it was: an answer that died with its worker may come after this fact.
                await workflow.wait_condition(
                    lambda: not self.placed or self.status not in BEFORE_ACCEPTANCE
                )
                if self.status in COOKING:
                    self.wish_end(CloseReason.NO_RIDER, "dispatch")
                elif self._carrying() and workflow.patched("goods-left-behind"):
                    # Nobody took over what an accident left behind; the act looks if that is so.
                    self.wish_end(CloseReason.NO_RIDER, "dispatch", always=True)
            case "undeliverable":
                if self._carrying():
                    self.wish_end(CloseReason.CUSTOMER_UNREACHABLE, "dispatch", always=True)
            case "row_ended":
                # The act's answer is the row's state: if it has ended, so has the story.
                await self.note(f"row_ended:{self.signals}", "row_ended", {})
            case "intervene":
                await self.desk.by_signal(data)
            case _:
                raise ActionNotAllowed("no such signal", status=self.status.value)

    def _carrying(self) -> bool:
        return self.status is Status.DELIVERING and self.ending is None

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
