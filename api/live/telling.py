"""One connection from its first line to its last, whatever carries it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Coroutine
from typing import Any

from starlette.types import Scope
from starlette.websockets import WebSocketDisconnect

from api.live import frames
from api.live.feed import HEARTBEAT_SECONDS, LIVE_SECONDS
from api.live.outbox import RESTART, TOO_SLOW, Outbox
from api.live.parts import Live
from api.live.ways import Way
from api.replies import dumps

END_SECONDS = 1.0
"""For the last words to a client that is sent away."""
GONE_SECONDS = 10.0
"""Then it has read them and gone, or it is cut off: uvicorn's own patience with a WebSocket."""


def welcome(live: Live, way: Way) -> bytes:
    """The first line: which way this is, how often it shows that it lives, what else there is."""
    return dumps(
        {
            "type": "welcome",
            "transport": way,
            "heartbeat_seconds": HEARTBEAT_SECONDS,
            "ways": live.ways,
        }
    )


async def until_over(
    outbox: Outbox, telling: Coroutine[Any, Any, None], hearing: Coroutine[Any, Any, None]
) -> int:
    """Tell until the story ends, the client goes or must go; the code to end with, 0: it went.

    A client that takes nothing blocks `telling` only: its outbox overflows, or its time is over.
    """
    tasks = asyncio.create_task(telling), asyncio.create_task(hearing)
    ends: list[asyncio.Future[Any]] = [*tasks, outbox.over]
    try:
        bound = LIVE_SECONDS + HEARTBEAT_SECONDS
        await asyncio.wait(ends, timeout=bound, return_when=asyncio.FIRST_COMPLETED)
        gone, over = tasks[1].done(), outbox.over.done()
    finally:
        outbox.write = None
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    if gone:
        return 0
    if over:
        return outbox.over.result()
    return RESTART if results[0] is None else TOO_SLOW


async def end(scope: Scope, last_words: Awaitable[None] | None) -> None:
    """Send a client away, or let it go; who takes nothing is cut off, not waited for for ever."""
    seconds = 0.0
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            if last_words is not None:
                await last_words
        seconds = GONE_SECONDS
    frames.let_go(scope, seconds)
