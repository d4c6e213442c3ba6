"""Tickets of customers: opened about an order, written to, shown photos; shared with support."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Customer, ensure_theirs
from api.once import GivenKey, NeededKey, key_of, once, request_id
from api.orders import Cursor, Limit
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from api.schemas.tickets import TicketId
from domain import ids
from domain.contracts.life import Command
from domain.contracts.tickets import TicketEvidence, TicketMessage, TicketNow
from domain.errors import DomainError, Kind
from domain.tickets import State, ensure_open
from services import events, tickets
from services.identity import Identity
from services.tickets import Entry, Filter, Line, Photo, Ticket

router = APIRouter(prefix="/v1", tags=["tickets"])
BINARY = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
PHOTO_BODY = {"requestBody": {"required": True, "content": BINARY}}
PHOTO_ANSWER: dict[int | str, dict[str, Any]] = {200: {"content": BINARY}}
PHOTO_HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
SAID = frozenset({Entry.MESSAGE, Entry.EVIDENCE})


@router.post("/orders/{order_id}/tickets", response_model=schemas.TicketView, status_code=201)
async def open_ticket(
    parts: Held, who: Customer, order_id: Id, wanted: schemas.NewTicket, idempotency_key: NeededKey
) -> Response:
    """Tell support what is wrong with an order; at most five tickets of an order are open."""
    async with parts.database.read() as reader:
        stream = await events.stream(reader, order_id)
    ensure_theirs(who, stream)
    key = key_of(who, idempotency_key, f"/v1/orders/{order_id}/tickets", wanted)

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        assert stream is not None  # noqa: S101 - theirs
        async with parts.database.write() as writer:
            ticket = await tickets.complain(
                writer,
                stream,
                reason_code=wanted.reason_code,
                words=wanted.text,
                request_id=request_id(key),
            )
        return reply(shown(ticket) | await papers(parts, ticket), 201)

    return await once(parts, key, order_id, go)


@router.get("/tickets", response_model=schemas.Tickets)
async def list_tickets(
    parts: Held, who: Customer, state: State | None = None, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """The caller's tickets, newest first."""
    which = Filter(site_id=who.site_id, customer_id=who.subject, state=state or "")
    found, more = await page_of(parts, which, cursor, limit)
    return replies.page([shown(ticket) for ticket in found], more)


@router.get("/tickets/{ticket_id}", response_model=schemas.TicketView)
async def get_ticket(parts: Held, who: Customer, ticket_id: TicketId) -> Response:
    """One of the caller's tickets, with what was said and shown."""
    ticket = await _mine(parts, who, ticket_id)
    return reply(shown(ticket) | await papers(parts, ticket))


@router.post("/tickets/{ticket_id}/messages", response_model=schemas.MessageKept, status_code=201)
async def add_ticket_message(
    parts: Held,
    who: Customer,
    ticket_id: TicketId,
    wanted: schemas.NewMessage,
    idempotency_key: GivenKey = None,
) -> Response:
    """Write to support."""
    ticket = await _mine(parts, who, ticket_id)
    return await add_message(parts, who, ticket, wanted, idempotency_key)


@router.post(
    "/tickets/{ticket_id}/evidence",
    response_model=schemas.EvidenceKept,
    status_code=201,
    openapi_extra=PHOTO_BODY,
)
async def add_ticket_evidence(
    parts: Held, who: Customer, request: Request, ticket_id: TicketId
) -> Response:
    """Show a photo: the body is a JPEG, PNG or WebP of at most 5 MB, whatever type it claims."""
    ticket = await _mine(parts, who, ticket_id)
    ensure_open(ticket.state)  # before five megabytes are read and stored for nothing
    content = await request.body()
    async with parts.database.write() as writer:
        evidence_id = await tickets.keep_evidence(writer, ticket, content)
    command = TicketEvidence(actor=who.actor, request_id=evidence_id, evidence_id=evidence_id)
    try:
        await tell(parts, ticket.ticket_id, "evidence", command)
    except DomainError as error:
        if error.kind is not Kind.UNAVAILABLE:
            async with parts.database.write() as writer:
                await tickets.drop_evidence(writer, evidence_id)
        raise
    return reply({"evidence_id": evidence_id}, 201)


@router.get(
    "/tickets/{ticket_id}/evidence/{evidence_id}",
    response_class=Response,
    responses=PHOTO_ANSWER,
)
async def get_ticket_evidence(
    parts: Held, who: Customer, ticket_id: TicketId, evidence_id: Id
) -> Response:
    """A photo of one of the caller's tickets."""
    return await photo(parts, await _mine(parts, who, ticket_id), evidence_id)


async def _mine(parts: Parts, who: Identity, ticket_id: int) -> Ticket:
    return await find(parts, Filter(site_id=who.site_id, customer_id=who.subject), ticket_id)


# What support's desk uses too -------------------------------------------------------------------


async def find(parts: Parts, which: Filter, ticket_id: int) -> Ticket:
    """One ticket among those; NotFound for any other."""
    async with parts.database.read() as reader:
        return await tickets.find(reader, which, ticket_id)


async def page_of(
    parts: Parts, which: Filter, cursor: str | None, limit: int
) -> tuple[Sequence[Ticket], str | None]:
    """A page of tickets, and the cursor of the next."""
    before = int(cursors.decode(cursor, int)[0]) if cursor else None
    async with parts.database.read() as reader:
        found = await tickets.page(reader, which, before=before, limit=limit + 1)
    more = cursors.encode(found[limit - 1].ticket_id) if len(found) > limit else None
    return found[:limit], more


async def tell(parts: Parts, ticket_id: int, name: str, command: Command) -> TicketNow:
    """Send a command to the ticket's workflow; its request id makes repeats one."""
    async with parts.database.read() as reader:
        rows = await tickets.of(reader, [ticket_id])
    row = rows[0] if rows else None
    update_id = ids.derive("ticket", name, command.actor, command.request_id)
    return await parts.durable.ticket(ticket_id, row, name, command, update_id=update_id)


async def add_message(
    parts: Parts, who: Identity, ticket: Ticket, wanted: schemas.NewMessage, given: str | None
) -> Response:
    """Keep the words, then make them part of the ticket."""
    path = f"/v1/tickets/{ticket.ticket_id}/messages"
    key = key_of(who, given, path, wanted) if given else None
    request = request_id(key)
    message_id = ids.derive("message", str(ticket.ticket_id), request)

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        async with parts.database.write() as writer:
            await tickets.keep_message(writer, ticket, message_id=message_id, words=wanted.text)
        command = TicketMessage(actor=who.actor, request_id=request, message_id=message_id)
        await tell(parts, ticket.ticket_id, "message", command)
        return reply({"message_id": message_id}, 201)

    return await once(parts, key, ticket.order_id or path, go)


async def photo(parts: Parts, ticket: Ticket, evidence_id: str) -> Response:
    """A photo of the ticket, for nobody's cache."""
    async with parts.database.read() as reader:
        return sent(await tickets.evidence(reader, ticket, evidence_id))


def sent(shown: Photo) -> Response:
    """A photo's bytes."""
    return Response(shown.content, 200, PHOTO_HEADERS, shown.media_type)


def shown(ticket: Ticket) -> dict[str, Any]:
    """The part of a ticket that its customer may know."""
    return {
        "ticket_id": ticket.ticket_id,
        "order_id": ticket.order_id,
        "kind": ticket.kind,
        "reason_code": str(ticket.data.get("reason_code", "")),
        "state": ticket.state,
        "outcome": ticket.outcome,
        "created_at": ticket.created_at,
        "resolved_at": ticket.resolved_at,
    }


async def papers(parts: Parts, ticket: Ticket, *, all_of_it: bool = False) -> dict[str, Any]:
    """What was said and shown; for support also what was done."""
    async with parts.database.read() as reader:
        lines = await tickets.entries(reader, ticket.ticket_id)
        message_ids = [line.data["message_id"] for line in lines if line.kind == Entry.MESSAGE]
        words = await tickets.messages(reader, ticket, message_ids)
    found = {
        "messages": [
            _by(line) | {"text": words.get(line.data["message_id"])}
            for line in lines
            if line.kind == Entry.MESSAGE
        ],
        "evidence": [_by(line) for line in lines if line.kind == Entry.EVIDENCE],
    }
    if all_of_it:
        found["entries"] = [asdict(line) for line in lines if line.kind not in SAID]
    return found


def _by(line: Line) -> dict[str, Any]:
    return {**line.data, "by": line.actor.partition(":")[0], "at": line.at}
