"""An order's money after its end: shared out by the channel, followed, the rest given free."""

from datetime import timedelta

from temporalio import workflow

from domain.contracts import settlement
from domain.contracts.settlement import (
    FollowSplit,
    SettlementOf,
    SettleOrder,
    SplitNow,
    Splitting,
)
from domain.contracts.settlement import Settlement as Settled
from domain.settlement import SPLITS_MAX
from workflows.kit import acts, policies


@workflow.defn(name="Settlement")
class Settlement:
    """One order's settlement; the rows say how far it is, so it may be started anew at any time."""

    @workflow.run
    async def run(self, order: SettleOrder) -> Settled:
        """Split, try a closed share again, unfreeze, book."""
        of = SettlementOf(order_id=order.order_id)
        for tried in range(SPLITS_MAX):
            if tried:
                again = timedelta(seconds=order.again_seconds)
                await workflow.sleep(again, summary="the share was closed: try its next number")
            said = await self._split(order)
            if said.state != Splitting.CLOSED:
                break
        if said.state != Splitting.NONE:
            await acts.regular(settlement.UNFREEZE, of, **policies.GATEWAY)
        return await acts.local(settlement.FINISH, of, **policies.ROW)

    async def _split(self, order: SettleOrder) -> SplitNow:
        """Ask under a number, and where the channel works on it, follow it to its end."""
        of = SettlementOf(order_id=order.order_id)
        said = await acts.regular(settlement.SPLIT, of, **policies.GATEWAY)
        if said.state != Splitting.ASKED:
            return said
        follow = FollowSplit(
            order_id=order.order_id,
            out_order_no=said.out_order_no,
            waits_seconds=order.poll_seconds,
        )
        return await acts.regular(settlement.FOLLOW, follow, **policies.PATIENT)
