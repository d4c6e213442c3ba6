"""Acts on tickets: one step, one entry each; and the look whether a ticket has settled itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError

from activities.act import act
from domain.contracts import tickets as contracts
from domain.contracts.tickets import TicketNow, TicketSettled, TicketStep, WatchTicket
from services import metrics, tickets
from services.db import Database
from services.tickets import Entry


class TicketActs:
    """The acts on tickets, over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @act(contracts.REMIND)
    async def remind(self, step: TicketStep) -> TicketNow:
        """Nobody has ended it yet: its desk is told."""
        now = await self._change(step, Entry.REMINDED)
        metrics.TICKETS_REMINDED.labels(now.owner).inc()
        return now

    @act(contracts.ESCALATE)
    async def escalate(self, step: TicketStep) -> TicketNow:
        """It belongs to the desk above from now on."""
        return await self._change(step, Entry.ESCALATED)

    @act(contracts.ASSIGN)
    async def assign(self, step: TicketStep) -> TicketNow:
        """A person has it."""
        return await self._change(step, Entry.ASSIGNED)

    @act(contracts.ADD_MESSAGE)
    async def add_message(self, step: TicketStep) -> TicketNow:
        """Words that were kept before become part of it."""
        return await self._change(step, Entry.MESSAGE)

    @act(contracts.ADD_EVIDENCE)
    async def add_evidence(self, step: TicketStep) -> TicketNow:
        """A photo that was kept before becomes part of it."""
        async with self.database.write() as writer:
            return await tickets.add_evidence(writer, step)

    @act(contracts.RESOLVE)
    async def resolve(self, step: TicketStep) -> TicketNow:
        """It is over."""
        return await self._change(step, Entry.RESOLVED)

    @act(contracts.WATCH)
    async def watch(self, watched: WatchTicket) -> TicketSettled:
        """Look until what it is about is over; not yet is a retry after a pause."""
        async with self.database.read() as reader:
            outcome = await tickets.settled(reader, watched.ticket_id)
        if outcome:
            return TicketSettled(outcome=outcome)
        raise ApplicationError(
            "not settled yet",
            type="not_settled_yet",
            next_retry_delay=timedelta(seconds=watched.look_seconds),
        )

    async def _change(self, step: TicketStep, kind: Entry) -> TicketNow:
        async with self.database.write() as writer:
            return await tickets.change(writer, step, kind)


def build(database: Database) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = TicketActs(database)
    return [
        acts.remind,
        acts.escalate,
        acts.assign,
        acts.add_message,
        acts.add_evidence,
        acts.resolve,
        acts.watch,
    ]
