"""A customer's wish for money back, beside the order's life and often longer than it."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from domain.after_sale import SUPPORTS, UNDECIDED, State, ensure_follows, needs_second_person
from domain.contracts import after_sales
from domain.contracts.act import Act
from domain.contracts.after_sales import (
    AfterSaleCommand,
    AfterSaleSaid,
    AfterSaleStep,
    Ask,
    Decide,
)
from domain.errors import ActionNotAllowed, DomainError
from workflows.kit import acts, policies
from workflows.kit.clock import Clock, Ring
from workflows.kit.refunds import start_refunds

SYSTEM = AfterSaleCommand(actor="system", request_id="")
ALARM = "nobody answers"


@workflow.defn(name="AfterSale")
class AfterSale:
    """One wish; what it believes is what its acts have committed."""

    @workflow.init
    def __init__(self, ask: Ask) -> None:
        """Begin: nothing is kept yet."""
        self.ask = ask
        self.said: AfterSaleSaid | None = None
        self.refusal: FailureError | None = None
        self.reminders = 0
        self.lock = asyncio.Lock()
        self.clock = Clock()

    # The story -----------------------------------------------------------------------------

    @workflow.run
    async def run(self, ask: Ask) -> AfterSaleSaid | None:
        """Keep the wish, let people answer, and have silence answered by its timer."""
        try:
            self.said = await acts.local(after_sales.ASK, ask, **policies.ROW)
        except FailureError as error:
            self.refusal = error
        else:
            self._wait_for_the_next()
        while self.said is not None and self.state in UNDECIDED:
            # An alarm that comes together with an answer finds that it may not.
            with suppress(DomainError, FailureError):
                await self.clock.rest(lambda: self.state not in UNDECIDED, held=False)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.said

    @property
    def state(self) -> State:
        """Where the wish is."""
        if self.said is None:
            raise ActionNotAllowed("nothing was asked", reason="not_asked")
        return State(self.said.state)

    def _wait_for_the_next(self) -> None:
        """Every state that somebody must end has one alarm."""
        timers = self.ask.timers
        match self.state:
            case State.ASKED:
                self._alarm(timers.merchant_seconds, self._merchant_is_silent)
            case State.REJECTED:
                self._alarm(timers.escalate_seconds, self._customer_is_silent)
            case State.ESCALATED | State.AWAITING_APPROVAL:
                self._alarm(timers.support_seconds, self._support_is_silent)
            case _:
                self.clock.drop(ALARM)

    def _alarm(self, seconds: float, ring: Ring) -> None:
        self.clock.set(ALARM, workflow.now() + timedelta(seconds=seconds), ring)

    async def _merchant_is_silent(self) -> None:
        if self._amount_fen() <= self.ask.auto_approve_fen:
            await self._act(after_sales.APPROVE, State.APPROVED, SYSTEM)
        else:
            await self._act(after_sales.ESCALATE, State.ESCALATED, SYSTEM)

    async def _customer_is_silent(self) -> None:
        await self._act(after_sales.DECLINE, State.DECLINED, SYSTEM)

    async def _support_is_silent(self) -> None:
        """Reminded first; then the customer is believed, but never above four eyes' limit."""
        small = self._amount_fen() <= self.ask.approval_limit_fen
        if self.reminders and small:
            await self._act(after_sales.APPROVE, State.APPROVED, SYSTEM)
            return
        self.reminders += 1
        step = self._step(f"reminded:{self.reminders}", SYSTEM)
        await acts.local(after_sales.REMIND, step, **policies.ROW)
        self._alarm(self.ask.timers.support_seconds, self._support_is_silent)

    # People's answers --------------------------------------------------------------------------

    @workflow.update
    async def asked(self) -> AfterSaleSaid:
        """Wait until the wish is kept, or refused."""
        await self._kept()
        if self.said is None:
            assert self.refusal is not None  # noqa: S101 - waited for above
            raise self.refusal
        return self.said

    @workflow.update
    async def approve(self, command: AfterSaleCommand) -> AfterSaleSaid:
        """The merchant gives the money back."""
        return await self._act(after_sales.APPROVE, State.APPROVED, command, State.ASKED)

    @workflow.update
    async def reject(self, command: AfterSaleCommand) -> AfterSaleSaid:
        """The merchant says no."""
        return await self._act(after_sales.REJECT, State.REJECTED, command, State.ASKED)

    @workflow.update
    async def escalate(self, command: AfterSaleCommand) -> AfterSaleSaid:
        """The customer turns to support."""
        return await self._act(after_sales.ESCALATE, State.ESCALATED, command, State.REJECTED)

    @workflow.update
    async def decide(self, command: Decide) -> AfterSaleSaid:
        """Support decides; above the limit two of them must agree."""
        if command.decision != "approve":
            return await self._act(after_sales.DECLINE, State.DECLINED, command, *SUPPORTS)
        await self._kept()
        async with self.lock:
            # Of two who agree at once, the one who waited here is the second person.
            if not needs_second_person(
                self._amount_fen(),
                limit_fen=self.ask.approval_limit_fen,
                agreed_by=self.said.agreed_by if self.said else "",
                actor=command.actor,
            ):
                return await self._do(after_sales.APPROVE, State.APPROVED, command, *SUPPORTS)
            request, then = after_sales.REQUEST_APPROVAL, State.AWAITING_APPROVAL
            said = await self._do(request, then, command, State.ESCALATED)
            return replace(said, outcome="approval_requested")

    @workflow.query
    def status(self) -> AfterSaleSaid | None:
        """The wish as it was committed last."""
        return self.said

    # Acts ----------------------------------------------------------------------------------------

    async def _kept(self) -> None:
        """An answer may come sooner than the wish is read, when the workflow was started anew."""
        await workflow.wait_condition(lambda: self.said is not None or self.refusal is not None)

    async def _act(
        self,
        contract: Act[AfterSaleStep, AfterSaleSaid],
        after: State,
        command: AfterSaleCommand,
        *when: State,
    ) -> AfterSaleSaid:
        """One answer after the other; `when`: the states in which it is this person's turn."""
        await self._kept()
        async with self.lock:
            return await self._do(contract, after, command, *when)

    async def _do(
        self,
        contract: Act[AfterSaleStep, AfterSaleSaid],
        after: State,
        command: AfterSaleCommand,
        *when: State,
    ) -> AfterSaleSaid:
        if when and self.state not in when:
            raise ActionNotAllowed(
                f"not while {self.state}", reason="wrong_state", after_sale=self.state.value
            )
        ensure_follows(self.state, after)
        said = await acts.local(contract, self._step(after, command), **policies.ROW)
        self.said = said
        self._wait_for_the_next()
        await start_refunds(
            said.refund_nos,
            order_id=self.ask.order_id,
            poll_seconds=self.ask.timers.refund_poll_seconds,
        )
        return said

    def _step(self, what: str, command: AfterSaleCommand) -> AfterSaleStep:
        return AfterSaleStep(
            order_id=self.ask.order_id,
            key=f"after_sale:{self.ask.after_sale_id}:{what}",
            actor=command.actor,
            request_id=command.request_id,
            after_sale_id=self.ask.after_sale_id,
            reason_code=command.reason_code,
        )

    def _amount_fen(self) -> int:
        return 0 if self.said is None else self.said.amount_fen
