"""The addresses of live connections, for the API's process and for hubs of their own."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket

from api import schemas
from api.identity import PEOPLE_OF_ORDERS, Anybody, OfOrder, ensure_role
from api.live import entry, feed, polls, sockets, sse, ways
from api.live.entry import SEQ_DIGITS
from api.live.feed import Story
from api.live.parts import Live, of
from api.live.ways import Way
from api.replies import reply
from services import identity
from services.identity import Identity, Role

router = APIRouter(prefix="/v1", tags=["live"])
Ticket = Annotated[str | None, Query(max_length=2_000)]
Since = Annotated[int, Query(ge=0, le=2**31 - 1)]
WaitSeconds = Annotated[int, Query(ge=0, le=polls.WAIT_SECONDS_MAX)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=32)]
CameFrom = Annotated[
    str | None,
    Query(alias="from", max_length=16, description="The way that was followed before; counted."),
]
MERCHANTS = frozenset({Role.MERCHANT})
RIDERS = frozenset({Role.RIDER})


@router.post("/live-tickets", response_model=schemas.LiveTicket, status_code=201)
async def make_live_ticket(who: Anybody) -> Response:
    """A pass for one live connection, for those who can't send headers."""
    ticket = identity.issue_ticket(who)
    expires_at = datetime.fromtimestamp(ticket.expires_at, UTC)
    return reply({"ticket": ticket.ticket, "expires_at": expires_at}, 201)


@router.get("/orders/{order_id}/events", response_model=schemas.Events, tags=["orders"])
async def list_events(
    request: Request,
    who: OfOrder,
    order_id: schemas.Id,
    *,
    since: Since = 0,
    wait_seconds: WaitSeconds = 0,
    came_from: CameFrom = None,
) -> Response:
    """Public events after `since`, oldest first; at most 500: ask again from the last `seq`.

    With `wait_seconds` the answer comes as soon as there is an event, or empty after that time.
    """
    page = await polls.page(
        of(request), who, order_id, since=since, wait_seconds=wait_seconds, came_from=came_from
    )
    return reply(page)


@router.get("/orders/{order_id}/live", response_class=StreamingResponse)
async def follow_order(
    request: Request,
    order_id: schemas.Id,
    *,
    since: Since | None = None,
    ticket: Ticket = None,
    last_event_id: LastEventId = None,
    came_from: CameFrom = None,
) -> Response:
    """An order's events as they happen (SSE); WebSocket at the same address."""
    if last_event_id and last_event_id.isdecimal() and len(last_event_id) <= SEQ_DIGITS:
        since = int(last_event_id)
    live, who = await _enter(request, ticket, PEOPLE_OF_ORDERS)
    return sse.Stream(live, await feed.order(live, who, order_id, since), came_from)


@router.get("/merchant/live", response_class=StreamingResponse)
async def follow_merchant(
    request: Request, ticket: Ticket = None, came_from: CameFrom = None
) -> Response:
    """Events of all orders of the merchant (SSE); WebSocket at the same address."""
    live, who = await _enter(request, ticket, MERCHANTS)
    return sse.Stream(live, await feed.merchant(live, who), came_from)


@router.get("/rider/live", response_class=StreamingResponse)
async def follow_rider(
    request: Request, ticket: Ticket = None, came_from: CameFrom = None
) -> Response:
    """A rider's offers and tasks as they come and go (SSE); WebSocket at the same address."""
    live, who = await _enter(request, ticket, RIDERS)
    return sse.Stream(live, await feed.rider(live, who), came_from)


@router.websocket("/orders/{order_id}/live")
async def follow_order_socket(socket: WebSocket, order_id: str) -> None:
    """An order's events as they happen."""

    async def story(live: Live, who: Identity, since: int | None) -> Story:
        ensure_role(who, PEOPLE_OF_ORDERS)
        return await feed.order(live, who, order_id, since)

    await sockets.serve(socket, story)


@router.websocket("/merchant/live")
async def follow_merchant_socket(socket: WebSocket) -> None:
    """Events of all orders of the merchant."""

    async def story(live: Live, who: Identity, _: int | None) -> Story:
        return await feed.merchant(live, ensure_role(who, MERCHANTS))

    await sockets.serve(socket, story)


@router.websocket("/rider/live")
async def follow_rider_socket(socket: WebSocket) -> None:
    """A rider's offers and tasks as they come and go."""

    async def story(live: Live, who: Identity, _: int | None) -> Story:
        return await feed.rider(live, ensure_role(who, RIDERS))

    await sockets.serve(socket, story)


async def _enter(
    request: Request, ticket: str | None, roles: frozenset[Role]
) -> tuple[Live, Identity]:
    live = of(request)
    who = ensure_role(entry.known(request.headers, ticket), roles)
    ways.ensure(Way.SSE, live.ways)
    if ticket is not None:
        await entry.use(live, ticket)
    return live, who
