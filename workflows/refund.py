"""A refund's way home: asked, followed to its end, booked; it outlives the order it belongs to."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import RawValue

from domain.contracts import refunds
from domain.contracts.refunds import (
    REFUND_ENDS,
    EndRefund,
    FollowRefund,
    RefundOf,
    RefundOrder,
    RefundSaid,
    RefundState,
)
from domain.errors import DomainError
from workflows.kit import acts, facts, policies


@workflow.defn(name="Refund")
class Refund:
    """One refund under its stored number."""

    @workflow.init
    def __init__(self, refund: RefundOrder) -> None:
        """Begin: nothing was heard yet."""
        self.refund = refund
        self.heard = ""

    @workflow.run
    async def run(self, refund: RefundOrder) -> RefundSaid:
        """Ask, wait for the notice, ask after it where none comes, book the end."""
        number = RefundOf(out_refund_no=refund.out_refund_no)
        said = await acts.regular(refunds.REQUEST, number, **policies.GATEWAY)
        state = said.state
        if state not in REFUND_ENDS:
            state = await self._follow(refund)
        await workflow.wait_condition(workflow.all_handlers_finished)
        end = EndRefund(out_refund_no=refund.out_refund_no, state=state)
        return await acts.local(refunds.FINISH, end, **policies.ROW)

    async def _follow(self, refund: RefundOrder) -> str:
        try:
            await workflow.wait_condition(
                lambda: bool(self.heard),
                timeout=refund.poll_seconds[0],
                timeout_summary="no notice: ask the gateway",
            )
        except TimeoutError:
            follow = FollowRefund(
                out_refund_no=refund.out_refund_no, waits_seconds=refund.poll_seconds
            )
            asking = acts.start_regular(refunds.FOLLOW, follow, **policies.PATIENT)
            await workflow.wait_condition(lambda: bool(self.heard) or asking.done())
            if not self.heard:
                return (await asking).state
            asking.cancel()
        return self.heard

    @workflow.signal(dynamic=True)
    async def on_signal(self, name: str, args: Sequence[RawValue]) -> None:
        """The gateway's notice, as a stored fact; anything else changes nothing."""
        try:
            state = facts.read(args).get("state")
        except DomainError:
            return
        if name == "refund_settled" and state in set(RefundState) and state in REFUND_ENDS:
            self.heard = str(state)

    @workflow.query
    def status(self) -> str:
        """What the gateway has said so far."""
        return self.heard or RefundState.PROCESSING
