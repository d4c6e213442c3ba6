"""The act that tells a dispute's channel what our desks have said of it, and how it ended."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Row

from activities.act import act
from domain.contracts import tickets as contracts
from domain.contracts.tickets import Answered, TicketRef
from domain.errors import GatewayUnavailable
from domain.outcomes import Accepted, Outcome, Refusal, Rejected
from domain.tickets import DECIDED, ENTRIES_MAX
from services import tickets
from services.channel import Answerer
from services.db import Database
from services.gateways import Gateways
from services.tickets import Entry


class DisputeActs:
    """The acts on disputes, over one database and the gateways."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self.database = database
        self.gateways = gateways

    @act(contracts.TELL_CHANNEL)
    async def tell_channel(self, ticket: TicketRef) -> Answered:
        """Tell it all in order; what is unknown is told again, what is refused is a ticket."""
        told = refused = 0
        while told + refused < ENTRIES_MAX:
            async with self.database.read() as reader:
                answer = await tickets.next_answer(reader, ticket.ticket_id)
            if answer is None:
                break
            outcome = await self._tell(answer)
            if isinstance(outcome, Accepted):
                told += 1
            elif isinstance(outcome, Rejected) and outcome.kind is not Refusal.LATER:
                refused += 1
            else:
                raise GatewayUnavailable("the payment channel gave no certain answer")
            await self._heard(answer, outcome)
        return Answered(told=told, refused=refused)

    async def _tell(self, answer: Row[Any]) -> Outcome[None]:
        channel = self.gateways.channel(answer.channel)
        if not isinstance(channel, Answerer):
            return Rejected(code="by_hand", kind=Refusal.NEVER)
        account = self.gateways.account(answer.channel, answer.keys_ref)
        if answer.kind == Entry.RESOLVED:
            if answer.state in DECIDED:
                return Accepted(value=None)
            return await channel.complete_dispute(account, dispute_id=answer.dispute_id)
        async with self.database.read() as reader:
            words = await tickets.words(reader, answer)
        if words is None:
            return Rejected(code="erased", kind=Refusal.NEVER)
        return await channel.respond_dispute(account, dispute_id=answer.dispute_id, content=words)

    async def _heard(self, answer: Row[Any], outcome: Accepted[None] | Rejected) -> None:
        async with self.database.write() as writer:
            refused = isinstance(outcome, Rejected)
            await tickets.heard(writer, answer, refused=refused)
            if isinstance(outcome, Rejected):
                about = {"ticket_id": answer.ticket_id, "dispute_id": answer.dispute_id}
                await tickets.open_ticket(
                    writer,
                    site_id=answer.site_id,
                    order_id=answer.order_id,
                    kind="answer_refused",
                    key=f"answer_refused:{answer.id}",
                    data=about | {"code": outcome.code},
                )


def build(database: Database, gateways: Gateways) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    return [DisputeActs(database, gateways).tell_channel]
