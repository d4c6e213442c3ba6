"""One key, one act, one answer: how a repeated request gets what the first one got."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

import structlog
from fastapi import Header
from pydantic import BaseModel
from starlette.responses import Response

from api.errors import is_final, problem
from api.parts import Parts
from api.replies import JSON, PROBLEM, dumps
from domain import ids
from domain.errors import DomainError, Unavailable
from services import requests
from services.identity import Identity
from services.requests import InFlight, Key, Stored

LOOK_SECONDS = 0.05
WAIT_SECONDS = 12.0
"""For a request under the same key that is being answered now."""
RETRY_SECONDS = 2

HEADER = "Idempotency-Key"
KEY_PATTERN = r"^[\x21-\x7e]{1,128}$"
NeededKey = Annotated[str, Header(alias=HEADER, pattern=KEY_PATTERN)]
GivenKey = Annotated[str | None, Header(alias=HEADER, pattern=KEY_PATTERN)]


def key_of(who: Identity, key: str, path: str, body: BaseModel) -> Key:
    """A caller's key, bound to the path and the body as it was understood."""
    return Key(
        site_id=who.site_id,
        subject=who.actor,
        key=key,
        body_hash=requests.body_hash(path, dumps(body.model_dump(mode="json"))),
    )


def request_id(key: Key | None) -> str:
    """How the act is named inside: the same at every repeat under a key, else new."""
    if key is None:
        return uuid.uuid4().hex
    return ids.derive("request", key.site_id, key.subject, key.key)


async def once(
    parts: Parts, key: Key | None, order_id: str, act: Callable[[bool], Awaitable[Response]]
) -> Response:
    """The stored answer of this key, or `act(first)`'s, stored if it is final.

    `first` False: an earlier try under this key may have got anywhere. 202, and what is
    unavailable, is never final. Raises IdempotencyConflict for a key with another body.
    """
    structlog.contextvars.bind_contextvars(order_id=order_id)
    if key is None:
        return await act(True)
    claimed = await _claim(parts, key, order_id)
    if isinstance(claimed, Stored):
        return _again(claimed)
    final = False
    try:
        try:
            response = await act(claimed.first)
        except DomainError as error:
            if not is_final(error):
                raise
            response = problem(error)
        final = response.status_code != 202
        if not final:
            return response
        async with parts.database.write() as writer:
            stored = await requests.finish(writer, key, response.status_code, bytes(response.body))
        return _again(stored)
    finally:
        if not final:
            async with parts.database.write() as writer:
                await requests.let_go(writer, key)


async def _claim(parts: Parts, key: Key, order_id: str) -> Stored | requests.Ours:
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_SECONDS
    while True:
        async with parts.database.write() as writer:
            claimed = await requests.claim(writer, key, order_id)
        if not isinstance(claimed, InFlight):
            return claimed
        if loop.time() > until:
            raise Unavailable(
                "a request under this key is still being answered",
                retry_after_seconds=RETRY_SECONDS,
            )
        await asyncio.sleep(LOOK_SECONDS)


def _again(stored: Stored) -> Response:
    kind = JSON if stored.status_code < 400 else PROBLEM
    return Response(stored.answer, stored.status_code, media_type=kind)
