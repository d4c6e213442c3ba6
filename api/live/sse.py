"""Stories as server-sent events: one long answer, resumed by `Last-Event-ID`."""

import contextlib

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.errors import problem
from api.live import telling, ways
from api.live.feed import Line, Story
from api.live.outbox import Outbox
from api.live.parts import Live
from api.live.ways import Way
from api.observe import LIVE
from domain.errors import Unavailable

MEDIA = "text/event-stream"
HEARTBEAT = b": still here\n\n"


class Stream(Response):
    """Tells a story until it ends, the client goes or must go."""

    media_type = MEDIA

    def __init__(self, live: Live, story: Story, came_from: str | None) -> None:
        # Nothing comes after it on this connection, which ends with it, whoever takes nothing.
        told = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Connection": "close"}
        super().__init__(headers=told)
        del self.headers["content-length"]
        self._live = live
        self._story = story
        self._came_from = came_from

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, line by line; the last one says when to come back."""
        try:
            following = self._live.hub.subscribe(self._story.topic)
            with following as outbox, LIVE.labels(Way.SSE).track_inprogress():
                ways.arrived(Way.SSE, self._came_from)
                await self._serve(outbox, scope, receive, send)
        except Unavailable as refusal:
            await problem(refusal)(scope, receive, send)

    async def _serve(self, outbox: Outbox, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_part(body: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        async def send_all() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send_part(_event(Line(body=telling.welcome(self._live, Way.SSE))))
            async with contextlib.aclosing(self._story.lines(outbox)) as lines:
                async for line in lines:
                    await send_part(_event(line))

        if await telling.until_over(outbox, send_all(), _until_gone(receive)):
            wait = round(ways.come_back_seconds() * 1_000)
            await telling.end(scope, send_part(b"retry: %d\n\n" % wait, more=False))


def _event(line: Line) -> bytes:
    if line.body is None:
        return HEARTBEAT
    if line.seq:
        return b"id: %d\ndata: %b\n\n" % (line.seq, line.body)
    return b"data: %b\n\n" % line.body


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
