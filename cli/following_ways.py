"""The four ways to hear of an order, one connection each: what the hub says, then why it ended.

`docs/live.md` is the contract; which way to take when is decided in `cli/following.py`.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

WAYS = ("websocket", "sse", "long_poll", "poll")
"""Best first; the last one always works where anything does."""
RESTART = 1012
FINAL_CODES = range(4_400, 4_500)
PROBLEM = "application/problem+json"
SILENT_HEARTBEATS = 2
"""A connection that shows no life for so many of them is broken."""
CLOSE_SECONDS = 1.0

Json = dict[str, Any]
Lines = AsyncGenerator[Json, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long a client waits for what, in seconds; where it is random, this is the most."""

    open_seconds: float = 10.0
    """For a connection to be there and to say its first words."""
    wait_seconds: int = 25
    """How long the hub may think about a long poll."""
    better_seconds: float = 60.0
    """A way that failed is tried again after so long."""
    come_back_seconds: float = 5.0
    """Those who are sent away come back within so long."""
    backoff_seconds: float = 0.5
    """Before the second try; twice as long before each one after it."""
    backoff_most_seconds: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An order at a hub, as one caller may see it."""

    http: httpx.AsyncClient
    """With the hub's address and the caller's `Authorization`."""
    order_id: str
    pace: Pace

    def request(self, path: str, **query: str | int | None) -> httpx.Request:
        """A GET of something of the order's."""
        told = {name: value for name, value in query.items() if value is not None}
        url = f"/v1/orders/{self.order_id}/{path}"
        return self.http.build_request("GET", url, params=told)


class Over(Exception):
    """A connection has ended."""


class Broken(Over):
    """It failed."""


class SentAway(Over):
    """The hub is well and wants the client to come back."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come back in {seconds:.1f} s")
        self.seconds = seconds


class SwitchedOff(Over):
    """The hub does not offer this way; it may be asked again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"switched off for {seconds:.0f} s")
        self.seconds = seconds


class Refused(Over):
    """This caller may not follow this order: there is no use in coming back."""


async def listen(link: Link, way: str, since: int | None, came_from: str | None) -> Lines:
    """Every line of one connection: `welcome`, then what the hub says; raises why it is over.

    `came_from`: the way that was followed before, for the hub's figures.
    """
    try:
        async with aclosing(_LISTEN[way](link, since, came_from)) as lines:
            async for line in lines:
                yield line
    except InvalidStatus as refusal:
        answer = refusal.response
        kind = answer.headers.get("content-type", "")
        raise _refusal(answer.status_code, kind, bytes(answer.body or b"")) from None
    except ConnectionClosed as closed:
        raise _closed(closed, link.pace) from closed
    except (OSError, httpx.HTTPError, WebSocketException, ValueError) as error:
        raise Broken(type(error).__name__) from error


async def _websocket(link: Link, since: int | None, came_from: str | None) -> Lines:
    request = link.request("live", since=since, **{"from": came_from})
    opening = connect(
        str(request.url.copy_with(scheme=request.url.scheme.replace("http", "ws"))),
        additional_headers={"Authorization": link.http.headers["Authorization"]},
        proxy=None,
        ping_interval=None,
        open_timeout=link.pace.open_seconds,
        close_timeout=CLOSE_SECONDS,
    )
    silence = link.pace.open_seconds
    async with opening as socket:
        while True:
            try:
                async with asyncio.timeout(silence):
                    line: Json = orjson.loads(await socket.recv())
            except TimeoutError:
                socket.transport.abort()  # nobody is there who would say goodbye
                raise
            silence = _silence(line, silence)
            yield line


async def _sse(link: Link, since: int | None, came_from: str | None) -> Lines:
    request = link.request("live", since=since, **{"from": came_from})
    request.extensions["timeout"] = httpx.Timeout(None).as_dict()
    silence = link.pace.open_seconds
    async with asyncio.timeout(silence):
        answer = await link.http.send(request, stream=True)
    async with aclosing(answer):
        if answer.is_error:
            async with asyncio.timeout(silence):
                await answer.aread()
        _ensure(answer)
        texts = answer.aiter_lines()
        while True:
            async with asyncio.timeout(silence):
                text = await anext(texts, None)
            if text is None:
                raise Broken("the answer ended")
            name, _, value = text.partition(":")
            if name == "retry":
                raise SentAway(int(value) / 1_000)
            if name == "data":
                line: Json = orjson.loads(value)
                silence = _silence(line, silence)
                yield line
            elif text and not name:
                yield {"type": "heartbeat"}


async def _long_poll(link: Link, since: int | None, came_from: str | None) -> Lines:
    async for line in _pages(link, since, came_from, link.pace.wait_seconds):
        yield line


async def _poll(link: Link, since: int | None, came_from: str | None) -> Lines:
    async for line in _pages(link, since, came_from, 0):
        yield line


async def _pages(link: Link, since: int | None, came_from: str | None, wait_seconds: int) -> Lines:
    """Pages as the lines that the other ways would have told."""
    seen = since or 0
    while True:
        query = {"wait_seconds": wait_seconds, "from": came_from}
        request = link.request("events", since=seen, **query)
        request.extensions["timeout"] = httpx.Timeout(None).as_dict()
        async with asyncio.timeout(wait_seconds + link.pace.open_seconds):
            answer = await link.http.send(request)
        _ensure(answer)
        page: Json = answer.json()
        yield {"type": "welcome", "ways": page["ways"]}
        yield {"type": "heartbeat"}
        for event in page["items"]:
            seen = event["seq"]
            yield event
        if page["position"]:
            yield {"type": "position", **page["position"]}
        came_from = None
        await asyncio.sleep(page["poll_again_seconds"])


_LISTEN: dict[str, Callable[[Link, int | None, str | None], Lines]] = {
    "websocket": _websocket,
    "sse": _sse,
    "long_poll": _long_poll,
    "poll": _poll,
}


def _silence(line: Json, silence: float) -> float:
    """How long a connection may say nothing, once it has said how often it will."""
    heartbeat: float | None = line.get("heartbeat_seconds")
    return silence if heartbeat is None else SILENT_HEARTBEATS * heartbeat


def _ensure(answer: httpx.Response) -> None:
    if answer.status_code != httpx.codes.OK:
        raise _refusal(answer.status_code, answer.headers.get("content-type", ""), answer.content)


def _refusal(status: int, kind: str, body: bytes) -> Over:
    """Only the hub's own problems are final; a proxy's page says nothing of the order."""
    if not kind.startswith(PROBLEM):
        return Broken(f"HTTP {status}")
    told: Json = orjson.loads(body)
    seconds = told.get("retry_after_seconds")
    if seconds is not None and status == httpx.codes.SERVICE_UNAVAILABLE and "ways" in told:
        return SwitchedOff(seconds)
    if seconds is not None and status == httpx.codes.TOO_MANY_REQUESTS:
        return SentAway(seconds)
    if httpx.codes.is_client_error(status):
        return Refused(f"{status} {told.get('title', '')}")
    return Broken(f"HTTP {status}")


def _closed(closed: ConnectionClosed, pace: Pace) -> Over:
    code = closed.rcvd.code if closed.rcvd else 0
    if code == RESTART:
        return SentAway(random.uniform(0, pace.come_back_seconds))  # noqa: S311 - nothing secret
    return (Refused if code in FINAL_CODES else Broken)(f"WebSocket {code}")
