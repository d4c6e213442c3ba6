"""Stories over WebSocket: let in, told, closed with a code that says what to do next."""

import contextlib
from collections.abc import Awaitable, Callable

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from api.errors import named, problem
from api.live import entry, frames, telling, ways
from api.live.feed import Story
from api.live.outbox import TOO_SLOW, Outbox
from api.live.parts import Live, of
from api.live.ways import Way
from domain.errors import DomainError, Invalid, NotFound
from services.identity import Forbidden, Identity, Unauthenticated

CODES: dict[type[DomainError], int] = {
    Invalid: 4400,
    Unauthenticated: 4401,
    Forbidden: 4403,
    NotFound: 4403,
}
"""What a socket that is open already is closed with; anything else: 1013, come back."""
HEARTBEAT = '{"type":"heartbeat"}'

Tell = Callable[[Live, Identity, int | None], Awaitable[Story]]
"""The story for a caller from a `seq` on; raises what refuses them."""


async def serve(socket: WebSocket, tell: Tell) -> None:
    """Open and tell; a refusal answers the handshake with the problem a request would get.

    A caller who names themselves in the first message can't be answered so: they get a code.
    """
    try:
        live = of(socket)
        ways.ensure(Way.WEBSOCKET, live.ways)
        guest = await entry.of_handshake(live, socket)
        if guest is None:
            live.hub.ensure_room()
            await socket.accept()
            guest = await entry.of_hello(live, socket)
        story = await tell(live, guest.who, guest.since)
        with live.hub.subscribe(story.topic) as outbox:
            if socket.application_state is WebSocketState.CONNECTING:
                await socket.accept()
            ways.arrived(Way.WEBSOCKET, socket.query_params.get("from"))
            await _tell(live, socket, outbox, story)
    except Exception as error:  # noqa: BLE001 - the one door decides what it is
        await _refuse(socket, error)


async def _refuse(socket: WebSocket, error: Exception) -> None:
    if isinstance(error, WebSocketDisconnect):
        return
    fact = named(error)
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        if socket.application_state is WebSocketState.CONNECTING:
            await socket.send_denial_response(problem(fact))
        elif socket.application_state is WebSocketState.CONNECTED:
            await socket.close(CODES.get(type(fact), TOO_SLOW))


async def _tell(live: Live, socket: WebSocket, outbox: Outbox, story: Story) -> None:
    connection = frames.of(socket.scope)

    async def send_all() -> None:
        await socket.send_text(telling.welcome(live, Way.WEBSOCKET).decode())
        if connection is not None:
            outbox.write = connection.write_frame
        async with contextlib.aclosing(story.lines(outbox)) as lines:
            async for line in lines:
                await socket.send_text(HEARTBEAT if line.body is None else line.body.decode())

    code = await telling.until_over(outbox, send_all(), _hear(socket))
    await telling.end(socket.scope, socket.close(code) if code else None)


async def _hear(socket: WebSocket) -> None:
    """Whatever the client says is not asked for; its going is."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
