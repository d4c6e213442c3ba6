"""What our desks say of a dispute, on its way to the channel; one run of a ticket at a time."""

from temporalio import workflow

from domain.contracts import tickets
from domain.contracts.tickets import Answered, TicketRef
from workflows.kit import acts, policies


@workflow.defn(name="DisputeAnswers")
class DisputeAnswers:
    """All that waits in the ticket's rows; started again by the sweep while something does."""

    @workflow.run
    async def run(self, ticket: TicketRef) -> Answered:
        """Tell it, however long the channel is away."""
        return await acts.regular(tickets.TELL_CHANNEL, ticket, **policies.GATEWAY)
