"""Who comes in: by header, by a ticket that opens one connection, or by a socket's first words."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from starlette.websockets import WebSocket

from api.identity import SCHEME, TOKEN_CHARS, of_headers
from api.live.parts import Live
from domain.errors import Invalid
from services import identity
from services.identity import Identity, Unauthenticated

HELLO_SECONDS = 5.0
"""A socket that has not said who it is for so long is closed."""
SEQ_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Who follows, and from which `seq` on."""

    who: Identity
    since: int | None


def known(headers: Mapping[str, str], ticket: str | None) -> Identity:
    """Whom a ticket (not used up by this) or the header speaks for, or Unauthenticated."""
    return of_headers(headers) if ticket is None else identity.verify_ticket(ticket).identity


async def use(live: Live, ticket: str) -> Identity:
    """Whom a ticket speaks for, for the first and last time; raises Unauthenticated."""
    found = identity.verify_ticket(ticket)
    if not await live.cache.use_ticket(found.ticket_id):
        raise Unauthenticated("this ticket was used before")
    return found.identity


async def of_handshake(live: Live, socket: WebSocket) -> Guest | None:
    """Who opens a socket; None: nobody is named, so the first message must."""
    ticket = socket.query_params.get("ticket")
    if ticket is None and "authorization" not in socket.headers:
        return None
    who = of_headers(socket.headers) if ticket is None else await use(live, ticket)
    return Guest(who=who, since=_since(socket.query_params.get("since")))


async def of_hello(live: Live, socket: WebSocket) -> Guest:
    """Who an open socket's first message names; raises Unauthenticated, Invalid."""
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            message = await socket.receive()
    except TimeoutError:
        raise Unauthenticated from None
    try:
        hello = orjson.loads(message.get("text") or "")
    except orjson.JSONDecodeError:
        raise Unauthenticated from None
    if not isinstance(hello, dict) or hello.get("type") != "hello":
        raise Unauthenticated
    token, ticket = hello.get("token"), hello.get("ticket")
    if isinstance(ticket, str):
        who = await use(live, ticket)
    elif isinstance(token, str) and len(token) <= TOKEN_CHARS:
        who = of_headers({"authorization": SCHEME + token})
    else:
        raise Unauthenticated
    since = hello.get("since")
    return Guest(who=who, since=None if since is None else _since(str(since)))


def _since(asked: str | None) -> int | None:
    if not asked:
        return None
    if not (asked.isdecimal() and len(asked) <= SEQ_DIGITS):
        raise Invalid("since is a seq")
    return int(asked)
