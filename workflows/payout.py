"""A batch of payouts: booked, handed to the bank under stored numbers, followed line by line."""

from temporalio import workflow

from domain.contracts import payouts
from domain.contracts.payouts import FollowPayout, PayoutOf, PayoutOrder, PayoutSaid, SendPayout
from domain.payouts import BatchState
from workflows.kit import acts, policies


@workflow.defn(name="Payout")
class Payout:
    """One approved batch; a second run goes on where its rows are."""

    @workflow.run
    async def run(self, payout: PayoutOrder) -> PayoutSaid:
        """Book, send, follow; a batch of which nothing is left on its way is over."""
        batch = PayoutOf(batch_id=payout.batch_id)
        said = await acts.regular(payouts.BOOK, batch, **policies.BULK)
        if said.state == BatchState.SENT:
            send = SendPayout(batch_id=payout.batch_id, give_up_seconds=payout.give_up_seconds)
            said = await acts.regular(payouts.SEND, send, **policies.GATEWAY)
        if said.state == BatchState.SENT:
            follow = FollowPayout(batch_id=payout.batch_id, waits_seconds=payout.poll_seconds)
            said = await acts.regular(payouts.FOLLOW, follow, **policies.PATIENT)
        return said
