"""The desks of tickets: find them, read them; answer, take and end those of one's own desk."""

from dataclasses import asdict
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from api import replies, schemas
from api.identity import Desk, DeskReader
from api.once import GivenKey, key_of, once, request_id
from api.orders import Cursor, Limit
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Code, Id
from api.schemas.tickets import TicketId
from api.tickets import PHOTO_ANSWER, add_message, find, page_of, papers, photo, shown, tell
from domain.contracts.life import Command
from domain.contracts.tickets import AssignTicket, EscalateTicket, ResolveTicket
from domain.errors import Invalid
from domain.tickets import ENDS_AT_CHANNEL, Owner, State, may_work_on, rule_of
from services.identity import Forbidden, Identity
from services.tickets import Filter, Ticket

router = APIRouter(prefix="/v1/support/tickets", tags=["support"])


@router.get("", response_model=schemas.SupportTickets)
async def list_support_tickets(
    parts: Held,
    who: DeskReader,
    *,
    kind: Annotated[Code | None, Query()] = None,
    state: State | None = None,
    owner: Owner | None = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """Tickets of the site, newest first."""
    which = Filter(site_id=who.site_id, kind=kind or "", state=state or "", owner=owner or "")
    found, more = await page_of(parts, which, cursor, limit)
    return replies.page([_line(ticket) for ticket in found], more)


@router.get("/{ticket_id}", response_model=schemas.SupportTicket)
async def get_support_ticket(parts: Held, who: DeskReader, ticket_id: TicketId) -> Response:
    """A ticket with all that was said, shown and done."""
    ticket = await _ticket(parts, who, ticket_id)
    return reply(_line(ticket) | await papers(parts, ticket, all_of_it=True))


@router.get("/{ticket_id}/evidence/{evidence_id}", response_class=Response, responses=PHOTO_ANSWER)
async def get_support_evidence(
    parts: Held, who: DeskReader, ticket_id: TicketId, evidence_id: Id
) -> Response:
    """A photo of the ticket."""
    return await photo(parts, await _ticket(parts, who, ticket_id), evidence_id)


@router.post("/{ticket_id}/message", response_model=schemas.MessageKept, status_code=201)
async def answer_ticket(
    parts: Held,
    who: Desk,
    ticket_id: TicketId,
    wanted: schemas.NewMessage,
    idempotency_key: GivenKey = None,
) -> Response:
    """Write to whose ticket it is; of a dispute the channel hears it, within a minute."""
    ticket = await _own(parts, who, ticket_id)
    ability = parts.gateways.abilities.get(str(ticket.data.get("channel", "")))
    most = ability.answers_disputes if ability else 0
    if ticket.kind in ENDS_AT_CHANNEL and len(wanted.text) > most:
        raise Invalid(f"its channel takes at most {most} characters", most=most, field="text")
    return await add_message(parts, who, ticket, wanted, idempotency_key)


@router.post("/{ticket_id}/assign", response_model=schemas.TicketDone)
async def assign_ticket(
    parts: Held,
    who: Desk,
    ticket_id: TicketId,
    wanted: schemas.AssignTicket,
    idempotency_key: GivenKey = None,
) -> Response:
    """Take it, or give it to a colleague."""
    known = _Asked(who, ticket_id, "assign", idempotency_key)
    return await _act(parts, known, wanted, AssignTicket)


@router.post("/{ticket_id}/escalate", response_model=schemas.TicketDone)
async def escalate_ticket(
    parts: Held,
    who: Desk,
    ticket_id: TicketId,
    wanted: schemas.EscalateTicket,
    idempotency_key: GivenKey = None,
) -> Response:
    """Have the lead look; any desk may, whosever ticket it is."""
    known = _Asked(who, ticket_id, "escalate", idempotency_key)
    return await _act(parts, known, wanted, EscalateTicket)


@router.post("/{ticket_id}/resolve", response_model=schemas.TicketDone)
async def resolve_ticket(
    parts: Held,
    who: Desk,
    ticket_id: TicketId,
    wanted: schemas.ResolveTicket,
    idempotency_key: GivenKey = None,
) -> Response:
    """End it."""
    known = _Asked(who, ticket_id, "resolve", idempotency_key)
    return await _act(parts, known, wanted, ResolveTicket)


class _Asked(NamedTuple):
    """Who asks what of which ticket, under which key."""

    who: Identity
    ticket_id: int
    name: str
    key: str | None


async def _act(parts: Parts, asked: _Asked, wanted: BaseModel, command: type[Command]) -> Response:
    """Send the command with the body's fields; its answer {ticket_id, state, owner, …}."""
    who, ticket_id, name, given = asked
    find_it = _ticket if command is EscalateTicket else _own
    ticket = await find_it(parts, who, ticket_id)
    path = f"/v1/support/tickets/{ticket_id}/{name}"
    key = key_of(who, given, path, wanted) if given else None
    told = command(actor=who.actor, request_id=request_id(key), **wanted.model_dump())

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        return reply(asdict(await tell(parts, ticket_id, name, told)))

    return await once(parts, key, ticket.order_id or path, go)


async def _ticket(parts: Parts, who: Identity, ticket_id: int) -> Ticket:
    return await find(parts, Filter(site_id=who.site_id), ticket_id)


async def _own(parts: Parts, who: Identity, ticket_id: int) -> Ticket:
    """A ticket of the caller's desk; Forbidden for another desk's."""
    ticket = await _ticket(parts, who, ticket_id)
    if not may_work_on(ticket.kind, who.role):
        raise Forbidden(f"the desk of this ticket is {rule_of(ticket.kind).owner}", role=who.role)
    return ticket


def _line(ticket: Ticket) -> dict[str, Any]:
    return shown(ticket) | {
        "customer_id": ticket.customer_id,
        "owner": ticket.owner,
        "assignee": ticket.assignee,
        "due_at": ticket.due_at,
        "data": ticket.data,
    }
