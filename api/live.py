"""Live connections: WebSocket and SSE tell the same lines; a ticket lets browsers in."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from api import feed, parts, schemas, views
from api.errors import named, problem
from api.feed import Line
from api.hub import Overflowed
from api.identity import PEOPLE_OF_ORDERS, Anybody, ensure_role, ensure_theirs, of_headers
from api.observe import LIVE
from api.orders import Since
from api.parts import Parts
from api.replies import dumps, reply
from domain.errors import Invalid
from services import events, identity
from services.identity import Identity, Role, Unauthenticated

router = APIRouter(prefix="/v1", tags=["live"])
SEND_SECONDS = 10.0
"""A client that does not take a message for so long is let go."""
CLOSE_SECONDS = 1.0
TRY_AGAIN_LATER = 1013
SERVICE_RESTART = 1012
SSE = "text/event-stream"
SEQ_DIGITS = 9
Ticket = Annotated[str | None, Query(max_length=2_000)]
Lines = AsyncGenerator[Line, None]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=32)]


@router.post("/live-tickets", response_model=schemas.LiveTicket, status_code=201)
async def make_live_ticket(who: Anybody) -> Response:
    """A pass for one live connection, for those who can't send headers."""
    ticket = identity.issue_ticket(who)
    expires_at = datetime.fromtimestamp(ticket.expires_at, UTC)
    return reply({"ticket": ticket.ticket, "expires_at": expires_at}, 201)


@router.get("/orders/{order_id}/live", response_class=StreamingResponse)
async def follow_order(
    request: Request,
    order_id: schemas.Id,
    *,
    since: Since | None = None,
    ticket: Ticket = None,
    last_event_id: LastEventId = None,
) -> Response:
    """An order's events as they happen (SSE); WebSocket at the same address."""
    who = await _who(request, ticket, PEOPLE_OF_ORDERS)
    if last_event_id and last_event_id.isdecimal() and len(last_event_id) <= SEQ_DIGITS:
        since = int(last_event_id)
    return _sse(await _order(parts.of(request), who, order_id, since))


@router.get("/merchant/live", response_class=StreamingResponse)
async def follow_merchant(request: Request, ticket: Ticket = None) -> Response:
    """Events of all orders of the merchant (SSE); WebSocket at the same address."""
    who = await _who(request, ticket, frozenset({Role.MERCHANT}))
    return _sse(feed.of_merchant(parts.of(request), who))


@router.get("/rider/live", response_class=StreamingResponse)
async def follow_rider(request: Request, ticket: Ticket = None) -> Response:
    """A rider's offers as they come and go (SSE); WebSocket at the same address."""
    who = await _who(request, ticket, frozenset({Role.RIDER}))
    return _sse(feed.of_rider(parts.of(request), who))


@router.websocket("/orders/{order_id}/live")
async def follow_order_socket(socket: WebSocket, order_id: str) -> None:
    """An order's events as they happen."""

    async def begin() -> Lines:
        who = await _who(socket, socket.query_params.get("ticket"), PEOPLE_OF_ORDERS)
        asked = socket.query_params.get("since", "")
        if asked and not (asked.isdecimal() and len(asked) <= SEQ_DIGITS):
            raise Invalid("since is a seq")
        return await _order(parts.of(socket), who, order_id, int(asked) if asked else None)

    await _serve(socket, begin)


@router.websocket("/merchant/live")
async def follow_merchant_socket(socket: WebSocket) -> None:
    """Events of all orders of the merchant."""

    async def begin() -> Lines:
        ticket = socket.query_params.get("ticket")
        who = await _who(socket, ticket, frozenset({Role.MERCHANT}))
        return feed.of_merchant(parts.of(socket), who)

    await _serve(socket, begin)


@router.websocket("/rider/live")
async def follow_rider_socket(socket: WebSocket) -> None:
    """A rider's offers as they come and go."""

    async def begin() -> Lines:
        ticket = socket.query_params.get("ticket")
        who = await _who(socket, ticket, frozenset({Role.RIDER}))
        return feed.of_rider(parts.of(socket), who)

    await _serve(socket, begin)


async def _serve(socket: WebSocket, begin: Callable[[], Awaitable[Lines]]) -> None:
    """Open and tell; a refusal answers the handshake with the problem a request would get."""
    try:
        await _tell(socket, await begin())
    except Exception as error:  # noqa: BLE001 - the one door decides what it is
        fact = named(error)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            if socket.application_state is WebSocketState.CONNECTING:
                await socket.send_denial_response(problem(fact))
            elif socket.application_state is WebSocketState.CONNECTED:
                await socket.close(TRY_AGAIN_LATER)


async def _who(connection: HTTPConnection, ticket: str | None, roles: frozenset[Role]) -> Identity:
    if ticket is None:
        return ensure_role(of_headers(connection.headers), roles)
    found = identity.verify_ticket(ticket)
    who = ensure_role(found.identity, roles)
    if not await parts.of(connection).cache.use_ticket(found.ticket_id):
        raise Unauthenticated("this ticket was used before")
    return who


async def _order(held: Parts, who: Identity, order_id: str, since: int | None) -> Lines:
    if not order_id.isalnum():
        order_id = ""
    async with held.database.read() as reader:
        ensure_theirs(who, await events.stream(reader, order_id))
    return feed.of_order(held, order_id, since, views.secrets(order_id, who, held.handover_key))


def _sse(lines: Lines) -> Response:
    async def text() -> AsyncGenerator[bytes, None]:
        with LIVE.labels("sse").track_inprogress(), contextlib.suppress(Overflowed):
            async for line in lines:
                if line.body is None:
                    yield b": still here\n\n"
                elif line.seq:
                    yield b"id: %d\ndata: %b\n\n" % (line.seq, dumps(line.body))
                else:
                    yield b"data: %b\n\n" % dumps(line.body)

    return StreamingResponse(text(), media_type=SSE, headers={"Cache-Control": "no-store"})


async def _tell(socket: WebSocket, lines: Lines) -> None:
    """Send lines until either side ends; one that does not take them is closed with 1013."""
    await socket.accept()
    telling = asyncio.create_task(_send_all(socket, lines))
    hearing = asyncio.create_task(_hear(socket))
    done, _ = await asyncio.wait({telling, hearing}, return_when=asyncio.FIRST_COMPLETED)
    for task in (telling, hearing):
        task.cancel()
    results = await asyncio.gather(telling, hearing, return_exceptions=True)
    if hearing in done:
        return
    code = results[0] if isinstance(results[0], int) else TRY_AGAIN_LATER
    with contextlib.suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code)


async def _send_all(socket: WebSocket, lines: Lines) -> int:
    """Send every line; the code to close with."""
    async with contextlib.aclosing(lines):
        async for line in lines:
            if line.body is not None:
                async with asyncio.timeout(SEND_SECONDS):
                    await socket.send_text(dumps(line.body).decode())
    return SERVICE_RESTART


async def _hear(socket: WebSocket) -> None:
    """Whatever the client says is not asked for; its going is."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
