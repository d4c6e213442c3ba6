"""An order's money after its end: shared out by the channel, followed, the rest given free."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from domain.contracts import settlement
from domain.contracts.act import Act
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

SHIP_PATIENCE = timedelta(minutes=5)
"""For a channel to hear of the delivery; where it can't, its refusal to split will tell."""


@workflow.defn(name="Settlement")
class Settlement:
    """One order's settlement; the rows say how far it is, so it may be started anew at any time."""

    @workflow.run
    async def run(self, order: SettleOrder) -> Settled:
        """Tell of the delivery, split, try a closed share again, unfreeze, book."""
        of = SettlementOf(order_id=order.order_id)
        await self._ship(of)
        for tried in range(SPLITS_MAX):
            if tried:
                again = timedelta(seconds=order.again_seconds)
                await workflow.sleep(again, summary="the share was closed: try its next number")
            said = await self._through(order, settlement.SPLIT)
            if said.state != Splitting.CLOSED:
                break
        await self._through(order, settlement.UNFREEZE)
        return await acts.local(settlement.FINISH, of, **policies.ROW)

    async def _ship(self, of: SettlementOf) -> None:
        patience = policies.within(SHIP_PATIENCE, policies.GATEWAY)
        try:
            await acts.regular(settlement.SHIP, of, **patience)
        except ActivityError as error:
            if acts.is_final(error):
                raise

    async def _through(self, order: SettleOrder, contract: Act[SettlementOf, SplitNow]) -> SplitNow:
        """Ask, and where the channel works on it, follow it to its end."""
        of = SettlementOf(order_id=order.order_id)
        said = await acts.regular(contract, of, **policies.GATEWAY)
        if said.state != Splitting.ASKED:
            return said
        follow = FollowSplit(
            order_id=order.order_id,
            out_order_no=said.out_order_no,
            waits_seconds=order.poll_seconds,
        )
        return await acts.regular(settlement.FOLLOW, follow, **policies.PATIENT)
