"""A tip given after delivery: a payment beside the order's life, opened, watched and closed."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import FailureError

from domain.contracts import payments, tips
from domain.contracts.payments import Attempt, Found, OfOrder, Poll, Settle
from domain.contracts.tips import GiveTip, TipSaid
from domain.errors import DomainError
from workflows.kit import acts, facts, policies
from workflows.kit.refunds import start_refunds


@workflow.defn(name="Tip")
class Tip:
    """One tip; its row says how far it is, so it may be started anew at any time."""

    @workflow.init
    def __init__(self, tip: GiveTip) -> None:
        """Begin: nothing is stored yet."""
        self.tip = tip
        self.said: TipSaid | None = None
        self.refusal: FailureError | None = None
        self.outcome = ""
        self.lock = asyncio.Lock()

    @workflow.run
    async def run(self, tip: GiveTip) -> TipSaid | None:  # noqa: ARG002 - taken by __init__
        """Open it, wait for its money, and close what nobody paid."""
        try:
            self.said = await self._open()
        except FailureError as error:
            self.refusal = error
        else:
            await self._paid()
            if not self.outcome:
                await self._closed()
            self.said = self._say(self.outcome or "closed")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.said

    async def _open(self) -> TipSaid:
        attempt = await acts.local(tips.STORE, self.tip, **policies.ROW)
        if self._left() <= timedelta():
            return self._say("unknown")
        try:
            await acts.local(payments.OPEN, attempt, **policies.GATEWAY_ONCE)
        except FailureError as error:
            if acts.is_final(error):
                raise
            return self._say("unknown")
        return self._say("opened")

    async def _paid(self) -> None:
        """Wait for the money: first for a notice, then by asking, at most until `pay_by`."""
        attempt = Attempt(order_id=self.tip.order_id, out_trade_no=self.tip.out_trade_no)
        if self.said == self._say("unknown") and (left := self._left()) > timedelta():
            with suppress(FailureError):
                policy = policies.within(left, policies.GATEWAY)
                await acts.regular(payments.OPEN, attempt, **policy)
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(self.outcome),
                timeout=self.tip.notice_seconds,
                timeout_summary="no notice: ask the gateway",
            )
        if self.outcome or (left := self._left()) <= timedelta():
            return
        poll = Poll(
            order_id=self.tip.order_id,
            waits_seconds=self.tip.poll_seconds,
            out_trade_no=self.tip.out_trade_no,
        )
        policy = policies.within(left, policies.PATIENT)
        asking = acts.start_regular(payments.POLL, poll, **policy)
        await workflow.wait_condition(lambda: bool(self.outcome) or asking.done())
        if self.outcome:
            asking.cancel()
        else:
            with suppress(FailureError):
                await self._settle_all(await asking)

    async def _closed(self) -> None:
        """Closed, and again while it may be paid; money that was faster is settled."""
        this = OfOrder(order_id=self.tip.order_id, out_trade_no=self.tip.out_trade_no)
        while not self.outcome:
            found = await acts.regular(payments.CLOSE, this, **policies.GATEWAY)
            await self._settle_all(found)
            if not found.close_again_seconds:
                return
            await asyncio.sleep(found.close_again_seconds)

    async def _settle_all(self, found: Found) -> None:
        for notice_id in found.notice_ids:
            await self._settle(notice_id)

    async def _settle(self, notice_id: int) -> None:
        settle = Settle(order_id=self.tip.order_id, notice_id=notice_id)
        async with self.lock:
            settled = await acts.local(payments.SETTLE, settle, **policies.ROW)
            if settled.outcome != "unwanted":
                self.outcome = self.outcome or settled.outcome
            await start_refunds(
                settled.refund_nos,
                order_id=self.tip.order_id,
                poll_seconds=self.tip.refund_poll_seconds,
            )

    def _left(self) -> timedelta:
        return self.tip.pay_by - workflow.now()

    def _say(self, outcome: str) -> TipSaid:
        return TipSaid(out_trade_no=self.tip.out_trade_no, outcome=outcome)

    @workflow.update
    async def opened(self) -> TipSaid:
        """Wait until the customer can pay, or it is refused."""
        await workflow.wait_condition(lambda: (self.said or self.refusal) is not None)
        if self.said is None:
            assert self.refusal is not None  # noqa: S101 - waited for above
            raise self.refusal
        return self.said

    @workflow.signal(dynamic=True)
    async def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        """The gateway's notice, as a stored fact; anything else changes nothing."""
        with suppress(DomainError, FailureError):
            if name == "payment_settled":
                await self._settle(facts.whole_number(facts.read(args), "notice_id"))

    @workflow.query
    def status(self) -> str:
        """Where the tip is."""
        return self.outcome or (self.said.outcome if self.said else "created")
