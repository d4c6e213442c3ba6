"""How people reach the public API: they try again, wait when told to, and keep a live line."""

import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

CALL_TIMEOUT_SECONDS = 15
PATIENCE_SECONDS = 600
"""How long somebody tries one thing before they give up."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 3.0
TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
MAX_MESSAGE_BYTES = 4_000_000


class GaveUp(Exception):
    """The API did not answer for as long as people are patient."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API said in the end."""

    status: int
    body: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.status < 300

    @property
    def problem(self) -> str:
        """The problem's stable name, or nothing."""
        return "" if self.ok else str(self.body.get("type", "")).rpartition("/")[2]


@dataclass(slots=True)
class Backoff:
    """Waits that double up to a bound, with jitter."""

    wait_seconds: float = FIRST_WAIT_SECONDS

    async def wait(self, at_least_seconds: float = 0) -> None:
        """Wait, and wait longer the next time."""
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 (nothing secret)
        await asyncio.sleep(max(at_least_seconds, self.wait_seconds * jitter))
        self.wait_seconds = min(LONGEST_WAIT_SECONDS, self.wait_seconds * 2)


class Line:
    """One person's line to the API."""

    def __init__(self, http: httpx.AsyncClient, token: str, trouble: Counter[str]) -> None:
        self._http = http
        self._headers = {"Authorization": f"Bearer {token}"}
        self._trouble = trouble
        self.connected = False
        """Whether a live line is open, so that asking can be rare."""

    async def get(self, path: str, **query: str | int) -> Answer:
        """Ask until there is an answer."""
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: dict[str, Any], *, key: str = "") -> Answer:
        """Act until there is an answer, under the same key."""
        return await self._call("POST", path, body=body, key=key)

    async def put(self, path: str, body: dict[str, Any]) -> Answer:
        """Set something until there is an answer."""
        return await self._call("PUT", path, body=body)

    async def show(self, path: str, photo: bytes, **query: str | int) -> Answer:
        """Send a photo until there is an answer."""
        return await self._call("POST", path, query=query, photo=photo)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        query: dict[str, str | int] | None = None,
        key: str = "",
        photo: bytes | None = None,
    ) -> Answer:
        headers = self._headers | ({"Idempotency-Key": key} if key else {})
        backoff = Backoff()
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            at_least = 0.0
            try:
                answer = await self._http.request(
                    method, path, json=body, content=photo, params=query, headers=headers
                )
            except httpx.TransportError as error:
                self._trouble[type(error).__name__] += 1
            else:
                if answer.status_code not in TRY_AGAIN:
                    return Answer(answer.status_code, _json(answer))
                self._trouble[str(answer.status_code)] += 1
                at_least = _retry_after(answer)
            if time.monotonic() > until:
                raise GaveUp(f"{method} {path.partition('?')[0]}")
            await backoff.wait(at_least)

    async def items(self, path: str, **query: str | int) -> AsyncGenerator[dict[str, Any], None]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = await self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            for item in page.body.get("items") or ():
                yield item
            cursor = page.body.get("next_cursor")
            if not cursor:
                return

    async def live(self, path: Callable[[], str]) -> AsyncGenerator[dict[str, Any], None]:
        """Messages of a WebSocket, for ever: a lost line is opened again, at `path()` by then."""
        backoff = Backoff()
        while True:
            url = str(self._http.base_url.join(path())).replace("http", "ws", 1)
            try:
                async with connect(
                    url,
                    additional_headers=self._headers,
                    proxy=None,
                    max_size=MAX_MESSAGE_BYTES,
                    open_timeout=CALL_TIMEOUT_SECONDS,
                    close_timeout=1,
                ) as socket:
                    self.connected = True
                    async for text in socket:
                        backoff = Backoff()
                        yield json.loads(text)
            except (OSError, TimeoutError, WebSocketException) as error:
                self._trouble[f"live {type(error).__name__}"] += 1
            finally:
                self.connected = False
            await backoff.wait()


def _json(answer: httpx.Response) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        body = answer.json()
        if isinstance(body, dict):
            return body
    return {}


def _retry_after(answer: httpx.Response) -> float:
    with contextlib.suppress(ValueError):
        return min(LONGEST_WAIT_SECONDS * 10, float(answer.headers.get("Retry-After", 0)))
    return 0.0
