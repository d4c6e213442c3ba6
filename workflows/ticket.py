"""A ticket's way to its end: reminded of, escalated, answered; over when resolved."""

import asyncio
from datetime import timedelta

from temporalio import workflow

from domain import tickets
from domain.contracts import tickets as contracts
from domain.contracts.act import Act
from domain.contracts.life import Command
from domain.contracts.tickets import (
    AssignTicket,
    EscalateTicket,
    ResolveTicket,
    TicketEvidence,
    TicketMessage,
    TicketNow,
    TicketOf,
    TicketSettled,
    TicketStep,
    WatchTicket,
)
from domain.errors import ActionNotAllowed
from domain.tickets import ENTRIES_MAX, REMINDERS_MAX, Owner, State
from workflows.kit import acts, policies
from workflows.kit.clock import Clock

ESCALATE = "nobody has resolved it: escalate"
SYSTEM = Command(actor="system", request_id="")
Watch = workflow.ActivityHandle[TicketSettled]


@workflow.defn(name="Ticket")
class Ticket:
    """One ticket; what it believes is what is committed. It may be started anew at any time."""

    @workflow.init
    def __init__(self, ticket: TicketOf) -> None:
        """Begin where the row is."""
        self.ticket = ticket
        self.now = TicketNow(
            ticket_id=ticket.ticket_id,
            state=ticket.state,
            owner=ticket.owner,
            assignee=ticket.assignee,
            outcome="",
        )
        self.reminders = 0
        self.written = 0
        self.clock = Clock()
        self.lock = asyncio.Lock()

    # The story -----------------------------------------------------------------------------

    @workflow.run
    async def run(self, ticket: TicketOf) -> TicketNow:
        """Remind and escalate until a person has resolved it, or it has settled itself."""
        watch = self._watch() if ticket.look_seconds else None
        self._set_reminder()
        if self.now.owner != Owner.LEAD:
            late = ticket.due_at + timedelta(seconds=ticket.escalate_seconds)
            self.clock.set(ESCALATE, late, self._escalate)
        while not self._over():
            await self.clock.rest(lambda: self._over() or _done(watch), held=False)
            if watch is not None and watch.done():
                await self._by_itself(await watch)
        if watch is not None:
            watch.cancel()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.now

    def _watch(self) -> Watch:
        """One retrying activity looks until there is something to say."""
        watched = WatchTicket(
            ticket_id=self.ticket.ticket_id, look_seconds=self.ticket.look_seconds
        )
        return acts.start_regular(contracts.WATCH, watched, **policies.PATIENT)

    def _set_reminder(self) -> None:
        if self.reminders < REMINDERS_MAX:
            at = tickets.next_reminder(
                workflow.now(),
                self.ticket.due_at,
                before_seconds=self.ticket.remind_before_seconds,
                every_seconds=self.ticket.remind_every_seconds,
            )
            self.clock.set("remind", at, self._remind)

    async def _remind(self) -> None:
        self.reminders += 1
        key = f"reminded:{workflow.now().isoformat()}"
        await self._act(contracts.REMIND, key, SYSTEM, {"owner": self.now.owner})
        self._set_reminder()

    async def _escalate(self) -> None:
        data = {"owner": Owner.LEAD.value, "reason_code": "overdue"}
        await self._act(contracts.ESCALATE, "escalated", SYSTEM, data)

    async def _by_itself(self, settled: TicketSettled) -> None:
        data = {"outcome": settled.outcome}
        await self._act(contracts.RESOLVE, "resolved", SYSTEM, data)

    # Commands of people ------------------------------------------------------------------------

    @workflow.update
    async def assign(self, command: AssignTicket) -> TicketNow:
        """A person has it from now on."""
        key = f"assigned:{command.request_id}"
        return await self._write(contracts.ASSIGN, key, command, {"assignee": command.assignee})

    @assign.validator
    def _may_assign(self, command: AssignTicket) -> None:  # noqa: ARG002
        self._ensure_room()

    @workflow.update
    async def message(self, command: TicketMessage) -> TicketNow:
        """The customer or support wrote; the words are a personal row."""
        key = f"message:{command.message_id}"
        data = {"message_id": command.message_id}
        return await self._write(contracts.ADD_MESSAGE, key, command, data)

    @message.validator
    def _may_message(self, command: TicketMessage) -> None:  # noqa: ARG002
        self._ensure_room()

    @workflow.update
    async def evidence(self, command: TicketEvidence) -> TicketNow:
        """A photo; its bytes are stored already."""
        key = f"evidence:{command.evidence_id}"
        data = {"evidence_id": command.evidence_id}
        return await self._write(contracts.ADD_EVIDENCE, key, command, data)

    @evidence.validator
    def _may_evidence(self, command: TicketEvidence) -> None:  # noqa: ARG002
        self._ensure_room()

    @workflow.update
    async def escalate(self, command: EscalateTicket) -> TicketNow:
        """Somebody above must look."""
        data = {"owner": tickets.above(self.now.owner).value, "reason_code": command.reason_code}
        return await self._act(contracts.ESCALATE, "escalated", command, data)

    @escalate.validator
    def _may_escalate(self, command: EscalateTicket) -> None:  # noqa: ARG002
        tickets.ensure_open(self.now.state)
        tickets.above(self.now.owner)

    @workflow.update
    async def resolve(self, command: ResolveTicket) -> TicketNow:
        """It is over, and how."""
        tickets.ensure_outcome(self.ticket.kind, command.outcome)
        data = {"outcome": command.outcome}
        return await self._act(contracts.RESOLVE, "resolved", command, data)

    @resolve.validator
    def _may_resolve(self, command: ResolveTicket) -> None:
        tickets.ensure_open(self.now.state)
        tickets.ensure_outcome(self.ticket.kind, command.outcome)

    @workflow.query
    def status(self) -> TicketNow:
        """The ticket as committed."""
        return self.now

    # Acts ----------------------------------------------------------------------------------------

    def _over(self) -> bool:
        return self.now.state == State.RESOLVED

    async def _act(
        self,
        contract: Act[TicketStep, TicketNow],
        key: str,
        command: Command,
        data: dict[str, str],
    ) -> TicketNow:
        """One step after the other; after the end people are refused, the clock is not."""
        async with self.lock:
            if command is SYSTEM and self._over():
                return self.now
            tickets.ensure_open(self.now.state)
            step = TicketStep(
                ticket_id=self.ticket.ticket_id,
                key=key,
                actor=command.actor,
                request_id=command.request_id,
                data=data,
            )
            self.now = await acts.local(contract, step, **policies.ROW)
        if self.now.owner == Owner.LEAD:
            self.clock.drop(ESCALATE)
        return self.now

    async def _write(
        self,
        contract: Act[TicketStep, TicketNow],
        key: str,
        command: Command,
        data: dict[str, str],
    ) -> TicketNow:
        self.written += 1
        return await self._act(contract, key, command, data)

    def _ensure_room(self) -> None:
        """Before the server's own bound of updates, so that resolving is always possible."""
        tickets.ensure_open(self.now.state)
        if self.written >= ENTRIES_MAX:
            raise ActionNotAllowed("too much was written on this ticket", most=ENTRIES_MAX)


def _done(watch: Watch | None) -> bool:
    return watch is not None and watch.done()
