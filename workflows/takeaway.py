"""The life of a takeaway order, from tap to after-sale."""

import asyncio
from contextlib import suppress
from datetime import timedelta

from temporalio import workflow

from domain.contracts import orders
from domain.contracts.life import (
    Answer,
    Command,
    DecideCancel,
    Ended,
    Order,
    Reject,
    RiderCommand,
)
from domain.contracts.orders import AcceptStep, RiderStep
from domain.errors import ActionNotAllowed
from domain.orders import Action, CloseReason, Status, needs_merchant_consent, waits_seconds
from workflows.kit.collecting import Collecting

MAX_CANCEL_ASKS = 3


@workflow.defn(name="TakeawayOrder")
class TakeawayOrder(Collecting):
    """One order; what it believes is what its acts have committed."""

    @workflow.init
    def __init__(self, order: Order) -> None:
        """Begin before the first act: nothing is placed yet."""
        super().__init__(order)
        self.cancel_asks = 0
        self.cancel_asked = False
        self.after_sale_over = False

    # The story -----------------------------------------------------------------------------

    @workflow.run
    async def run(self, order: Order) -> Ended:  # noqa: ARG002 - taken by __init__
        """Tell the story; *Cancel* in the Temporal UI is support's cancel."""
        story = asyncio.create_task(self._story())
        while True:
            try:
                return await asyncio.shield(story)
            except asyncio.CancelledError:
                if story.done():
                    raise
                self.wish_end(CloseReason.SUPPORT_CANCELLED, "support:temporal", always=True)

    async def _story(self) -> Ended:
        await self._begun()
        if self.placed:
            await self._paid()
            await self._accepted()
            await (self._collected() if self.fetched else self._delivered())
            await self._after_sale()
        for task in self.background:
            with suppress(asyncio.CancelledError):
                await task
        await workflow.wait_condition(workflow.all_handlers_finished)
        status = self.status if self.placed else "not_placed"
        return Ended(order_id=self.order.order_id, status=status, close_reason=self.close_reason)

    async def _accepted(self) -> None:
        """Wait for the merchant: reminded once, and silence is a no."""

        async def remind() -> None:
            await self.act(orders.REMIND_MERCHANT, self.step("reminded"))

        async def give_up() -> None:
            self.wish_end(CloseReason.MERCHANT_SILENT, "system")

        if self.ended:
            return
        if not await self._auto_accepted():
            self._alarm("remind the merchant", self.timers.merchant_remind_seconds, remind)
            self._alarm("merchant is silent", self.timers.merchant_seconds, give_up)
        await self._live_until(lambda: self.status is not Status.AWAITING_ACCEPTANCE)
        self.clock.drop("remind the merchant", "merchant is silent")

    async def _auto_accepted(self) -> bool:
        """Whether the shop takes orders by itself, and nobody was faster to end this one."""
        if not self.order.auto_accept:
            return False
        with suppress(ActionNotAllowed):
            await self._accept(Command(actor="system", request_id=""))
        return self.status is not Status.AWAITING_ACCEPTANCE

    async def _delivered(self) -> None:
        """Kitchen and rider at work; one promise backs up every timer of theirs."""

        async def late() -> None:
            await self.act(orders.COMPENSATE_LATE, self.step("late"))

        async def late_support() -> None:
            await self.ask_support("late", "late_support")

        async def late_fail() -> None:
            self.wish_end(CloseReason.DELIVERY_FAILED, "system", always=True)

        promise = self.promise_seconds
        if not self.ended:
            self._alarm("late", promise + self.timers.late_seconds, late)
            self._alarm("very late", promise + self.timers.late_support_seconds, late_support)
            self._alarm("delivery failed", promise + self.timers.late_fail_seconds, late_fail)
        await self._live_until(lambda: self.status is Status.DELIVERED)
        self.clock.drop("late", "very late", "delivery failed")

    async def _after_sale(self) -> None:
        """Delivered; what nobody complains about is settled."""

        async def close() -> None:
            self.after_sale_over = True

        if not self.ended:
            self._alarm("after-sale closes", self.timers.after_sale_seconds, close)
        await self._live_until(lambda: self.after_sale_over)
        await self._money_is_certain()
        if not self.ended:
            await self.act(orders.COMPLETE, self.step("completed"))

    # Commands of people ------------------------------------------------------------------------

    @workflow.update
    async def accept(self, command: Command) -> Answer:
        """The shop takes the order."""
        await self._accept(command)
        return self.answer()

    @accept.validator
    def _may_accept(self, command: Command) -> None:  # noqa: ARG002
        self._may(Action.ACCEPT)

    @workflow.update
    async def reject(self, command: Reject) -> Answer:
        """The shop can't take the order: everything goes back."""
        said = {"reason_code": command.reason_code}
        await self.note(f"rejected:{command.request_id}", "merchant_rejected", said, command)
        await self._still(Action.REJECT)
        self.wish_end(CloseReason.MERCHANT_REJECTED, command.actor, command.request_id)
        return await self.end_answer()

    @reject.validator
    def _may_reject(self, command: Reject) -> None:  # noqa: ARG002
        self._may(Action.REJECT)

    @workflow.update
    async def ready(self, command: Command) -> Answer:
        """The food is ready."""
        await self.act(orders.MARK_READY, self.step("ready", command), Action.READY)
        return self.answer()

    @ready.validator
    def _may_ready(self, command: Command) -> None:  # noqa: ARG002
        self._may(Action.READY)

    @workflow.update
    async def cancel(self, command: Command) -> Answer:
        """The customer wants out: free before acceptance, else the merchant is asked."""
        await self._still(Action.CANCEL)
        if not needs_merchant_consent(self.status):
            self.wish_end(CloseReason.CUSTOMER_CANCELLED, command.actor, command.request_id)
            return await self.end_answer()
        if not self.cancel_asked:
            await self._ask_cancel(command)
        return self.answer("asked")

    async def _ask_cancel(self, command: Command) -> None:
        self.cancel_asked = True
        self.cancel_asks += 1
        key = f"cancel_asked:{self.cancel_asks}"
        try:
            await self.act(orders.ASK_CANCEL, self.step(key, command), Action.CANCEL)
        except ActionNotAllowed:
            self.cancel_asked = False
            raise
        self._alarm(
            "merchant agrees to cancel",
            self.timers.merchant_agree_seconds,
            lambda: self._decline_cancel(Command(actor="system", request_id="")),
        )

    @cancel.validator
    def _may_cancel(self, command: Command) -> None:  # noqa: ARG002
        self._may(Action.CANCEL)
        if self.cancel_asked or self.cancel_asks >= MAX_CANCEL_ASKS:
            raise ActionNotAllowed("the merchant was asked", status=self.status.value)

    @workflow.update
    async def decide_cancel(self, command: DecideCancel) -> Answer:
        """The merchant's answer to a customer's wish to cancel."""
        await self._still(Action.DECIDE_CANCEL)
        if not self.cancel_asked:
            raise ActionNotAllowed("nothing to decide", status=self.status.value)
        if command.decision != "agree":
            await self._decline_cancel(command)
            return self.answer()
        self.clock.drop("merchant agrees to cancel")
        self.wish_end(CloseReason.CUSTOMER_CANCELLED, command.actor, command.request_id)
        return await self.end_answer()

    @decide_cancel.validator
    def _may_decide_cancel(self, command: DecideCancel) -> None:
        self._may(Action.DECIDE_CANCEL)
        if not self.cancel_asked or command.decision not in {"agree", "decline"}:
            raise ActionNotAllowed("nothing to decide", status=self.status.value)

    @workflow.update
    async def pickup(self, command: RiderCommand) -> Answer:
        """The rider takes the food."""
        await self.act(orders.MARK_PICKED_UP, self._rider_step("picked_up", command), Action.PICKUP)
        self.cancel_asked = False
        self.clock.drop("merchant agrees to cancel")
        return self.answer()

    @pickup.validator
    def _may_pickup(self, command: RiderCommand) -> None:  # noqa: ARG002
        self._may(Action.PICKUP)

    @workflow.update
    async def deliver(self, command: RiderCommand) -> Answer:
        """The rider has handed it over, against the customer's code or a photo."""
        await self.act(
            orders.MARK_DELIVERED, self._rider_step("delivered", command), Action.DELIVER
        )
        return self.answer()

    @deliver.validator
    def _may_deliver(self, command: RiderCommand) -> None:  # noqa: ARG002
        self._may(Action.DELIVER)

    @workflow.update
    async def hand_over(self, command: Command) -> Answer:
        """The shop has handed it over at the counter, against the customer's code."""
        await self.act(orders.MARK_COLLECTED, self.step("collected", command), Action.HAND_OVER)
        self.cancel_asked = False
        self.clock.drop("merchant agrees to cancel")
        return self.answer()

    @hand_over.validator
    def _may_hand_over(self, command: Command) -> None:  # noqa: ARG002
        self._may(Action.HAND_OVER)
        if not self.fetched:
            raise ActionNotAllowed("a rider brings it", status=self.status.value)

    # Acts ----------------------------------------------------------------------------------------

    async def _accept(self, command: Command) -> None:
        await self._capture()
        now, timers = workflow.now(), self.timers
        later = waits_seconds(self.order.wished_by, now, timers.promise_seconds)
        self.promise_seconds = timers.promise_seconds + later
        ready_at = now + timedelta(seconds=timers.kitchen_seconds + later)
        search_from = max(now, ready_at - timedelta(seconds=timers.rider_ahead_seconds))
        step = AcceptStep(
            order_id=self.order.order_id,
            key="accepted",
            actor=command.actor,
            request_id=command.request_id,
            promised_at=now + timedelta(seconds=self.promise_seconds),
            food_ready_at=ready_at,
            search_from=search_from,
            support_at=search_from + timedelta(seconds=timers.search_support_seconds),
            give_up_at=search_from + timedelta(seconds=timers.search_seconds),
            offer_seconds=timers.offer_seconds,
            rider_silence_seconds=timers.rider_silence_seconds,
            unreachable_seconds=timers.unreachable_seconds,
        )
        await self.act(orders.MARK_ACCEPTED, step, Action.ACCEPT)

    async def _decline_cancel(self, command: Command) -> None:
        self.clock.drop("merchant agrees to cancel")
        if self.cancel_asked:
            self.cancel_asked = False
            key = f"cancel_declined:{self.cancel_asks}"
            await self.act(orders.DECLINE_CANCEL, self.step(key, command))

    def _rider_step(self, key: str, command: RiderCommand) -> RiderStep:
        return RiderStep(
            order_id=self.order.order_id,
            key=key,
            actor=command.actor,
            request_id=command.request_id,
            rider_id=command.rider_id,
            token=command.token,
            missing=command.missing,
            photo_id=command.photo_id,
        )
