"""The life of an order that its customer fetches, from the kitchen to the counter."""

from temporalio import workflow

from domain.contracts import orders
from domain.errors import ActionNotAllowed
from domain.orders import Action, CloseReason, Fulfilment, Payment, Status
from workflows.kit.life import OrderLife


class Collecting(OrderLife):
    """What of a life is different without a rider: whose silence it is, and how it ends."""

    @property
    def fetched(self) -> bool:
        """Whether the customer comes for the food."""
        return self.order.fulfilment == Fulfilment.SELF_PICKUP

    async def _collected(self) -> None:
        """First the kitchen's silence has its timers, then the customer's."""
        await self._cooked()
        uncollected = await self._waited_for()
        if uncollected:
            await self._money_is_certain()
            self.close_reason = CloseReason.NOT_COLLECTED
            try:
                await self.act(orders.MARK_UNCOLLECTED, self.step("uncollected"), Action.HAND_OVER)
            except ActionNotAllowed:  # the customer came, or somebody ends the order
                self.close_reason = ""

    async def _cooked(self) -> None:
        """Late is the shop alone here, and what is never ready is the shop's fault."""

        async def late() -> None:
            await self.act(orders.COMPENSATE_LATE, self.step("late"))

        async def late_support() -> None:
            await self.ask_support("late", "late_support")

        async def give_up() -> None:
            self.wish_end(CloseReason.NOT_READY, "system")

        promise = self.promise_seconds
        if not self.ended:
            self._alarm("late", promise + self.timers.late_seconds, late)
            self._alarm("very late", promise + self.timers.late_support_seconds, late_support)
            self._alarm("never ready", promise + self.timers.late_fail_seconds, give_up)
        await self._live_until(lambda: self.status is not Status.PREPARING)
        self.clock.drop("late", "very late", "never ready")

    async def _waited_for(self) -> bool:
        """Reminded, and in the end given up: whether nobody came."""
        gone, reminded = False, 0

        async def remind() -> None:
            nonlocal reminded
            reminded += 1
            await self.act(orders.REMIND_CUSTOMER, self.step(f"collect_reminded:{reminded}"))

        async def give_up() -> None:
            nonlocal gone
            gone = True

        reminders = [f"reminder {seconds:g}" for seconds in self.timers.collect_remind_seconds]
        if not self.ended and self.status is not Status.DELIVERED:
            for name, seconds in zip(reminders, self.timers.collect_remind_seconds, strict=True):
                self._alarm(name, seconds, remind)
            self._alarm("nobody came", self.timers.collect_seconds, give_up)
        await self._live_until(lambda: gone or self.status is Status.DELIVERED)
        self.clock.drop("nobody came", *reminders)
        return gone and not self.ended

    async def _money_is_certain(self) -> None:
        """What is only held is taken first, or gone for certain: what comes later would go home."""
        await workflow.wait_condition(
            lambda: self.payment is not Payment.AUTHORIZED or self.hold_lost or self.ended
        )
