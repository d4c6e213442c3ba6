"""The state of an order's workflow, and how it acts: one step after the other."""

import asyncio
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from domain import ids
from domain.contracts import orders
from domain.contracts.act import Act
from domain.contracts.life import Answer, Command, Order
from domain.contracts.orders import Done, EndStep, Step, SupportStep, TimelineStep
from domain.contracts.payments import Attempt
from domain.errors import ActionNotAllowed
from domain.orders import (
    FINAL,
    Action,
    CloseReason,
    Kitchen,
    Payment,
    Status,
    ensure_allowed,
)
from workflows.kit import acts, attributes, policies
from workflows.kit.clock import Clock, Ring
from workflows.kit.refunds import start_refunds
from workflows.kit.support import Desk

MILESTONES = frozenset({Status.PREPARING, Status.DELIVERED}) | FINAL
"""Statuses at which the search attribute moves: each move is a history event."""

StepOf = TypeVar("StepOf")
DoneOf = TypeVar("DoneOf", bound=Done)


class OrderActing:
    """The state of one order and what any order can do; what it believes is what is committed."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.timers = order.timers
        self.promise_seconds = order.timers.promise_seconds
        """From acceptance; more, once accepted, for an order that is wished for later."""
        self.seq = 0
        self.status = Status.AWAITING_PAYMENT
        self.payment = Payment.UNPAID
        self.hold_lost = False
        self.kitchen = Kitchen.NONE
        self.close_reason = ""
        self.placed: bool | None = None
        self.payment_open = True
        self.attempts = 1
        self.watching = False
        self.ending: EndStep | None = None
        self.signals = 0
        self.background: list[asyncio.Task[None]] = []
        self.asking: list[workflow.ActivityHandle[Any]] = []
        self.lock = asyncio.Lock()
        self.clock = Clock()
        self.desk = Desk(self)

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self.status in FINAL

    async def end_answer(self) -> Answer:
        """Wait until the wish to end has come true, or a rider was faster."""
        await workflow.wait_condition(lambda: self.ended or self.ending is None)
        if not self.ended:
            raise ActionNotAllowed("a rider has the food", status=self.status.value)
        return self.answer()

    async def act(
        self, contract: Act[StepOf, DoneOf], step: StepOf, action: Action | None = None
    ) -> None:
        """One step, after what came before it is done; an action is checked again by then."""
        async with self.lock:
            if action is not None:
                self._ensure(action)
            elif self.ended:
                raise ActionNotAllowed(status=self.status.value)
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
        step = SupportStep(order_id=self.order.order_id, key=key, kind=kind)
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
        async with self.lock:
            await self._take_all(await acts.local(orders.NOTE, step, **policies.ROW))

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
