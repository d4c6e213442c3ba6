"""How tests follow: a WebSocket with its welcome heard, and what the relay does with the outbox."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import text
from websockets.asyncio.client import ClientConnection, connect

from api.live.hub import EVENTS
from api.parts import Parts

PATIENCE_SECONDS = 20


@contextlib.asynccontextmanager
async def following(
    port: int, path: str, headers: dict[str, str] | None = None, *, hello: Any = None
) -> AsyncIterator[ClientConnection]:
    """A WebSocket, open and welcomed."""
    url = f"ws://127.0.0.1:{port}{path}"
    async with connect(url, additional_headers=headers, proxy=None, close_timeout=1) as opened:
        if hello is not None:
            await opened.send(json.dumps(hello))
        assert (await hear(opened))["type"] == "welcome"
        yield opened


async def hear(socket_: ClientConnection) -> dict[str, Any]:
    """The next message that is no heartbeat."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            message = dict(json.loads(await socket_.recv()))
            if message["type"] != "heartbeat":
                return message


async def hear_all(socket_: ClientConnection) -> None:
    """Every message, until the other side ends it."""
    while True:
        await hear(socket_)


async def publish(parts: Parts, order_id: str, *, but_seq: int = -1) -> None:
    """What the relay does with the outbox of an order; one event may get lost."""
    async with parts.database.write() as writer:
        rows = await writer.all(
            text("""DELETE FROM outbox WHERE order_id = :order_id
            RETURNING id, seq, CAST(message AS text) AS message"""),
            {"order_id": order_id},
        )
    for row in sorted(rows, key=lambda row: row.id):
        if row.seq != but_seq:
            await parts.cache.redis.xadd(EVENTS, {"m": row.message})


async def until_listening(parts: Parts, *, listening: bool = True) -> None:
    """Wait until the hub knows how Redis is."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while parts.live.hub._listening != listening:  # noqa: ASYNC110 - a flag, not an Event
            await asyncio.sleep(0.02)
