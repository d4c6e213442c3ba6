"""What one caller may ask of this process: bytes per request, requests per minute."""

import math
import re
import time

from limits import RateLimitItem, parse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem
from api.problems import BodyTooLarge, RateLimited
from domain.errors import DomainError
from domain.tickets import EVIDENCE_BYTES_MAX
from services import identity

BODY_BYTES = 65_536
PHOTO = re.compile(r"/v1/(tickets/\d{1,19}/evidence|rider/tasks/[^/]{1,64}/photos)")
"""Where one body may be a photo."""
NOTICES = "/v1/notify/"
NOTICE_RATE = "6000/minute"
"""A gateway is one address for every payee."""
UNLIMITED = frozenset({"/healthz", "/readyz"})
BEARER = b"bearer "
CALLERS_MAX = 100_000


class Windows:
    """Fixed windows per caller, in memory: the library's own store starts a thread each 10 ms."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}

    def hit(self, caller: str, rate: RateLimitItem) -> float:
        """Count a request; 0, or for how many seconds the caller has asked enough."""
        now = time.monotonic()
        ends_at, count = self._windows.get(caller, (0.0, 0))
        if ends_at <= now:
            if len(self._windows) >= CALLERS_MAX:
                self._forget(now)
            ends_at, count = now + rate.get_expiry(), 0
        self._windows[caller] = (ends_at, count + 1)
        return ends_at - now if count >= rate.amount else 0.0

    def _forget(self, now: float) -> None:
        """Drop windows that are over; if none is, all: the bound holds, a flood starts anew."""
        running = {name: window for name, window in self._windows.items() if window[0] > now}
        self._windows = running if len(running) < CALLERS_MAX else {}


class Limits:
    """Pure ASGI: nothing is read or counted twice."""

    def __init__(self, app: ASGIApp, rate: str) -> None:
        self._app = app
        self._rate = parse(rate)
        self._notice_rate = parse(NOTICE_RATE)
        self._windows = Windows()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what is too much, pass on the rest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        refusal = self._too_large(scope, headers) or self._too_often(scope, headers)
        if refusal is not None:
            await problem(refusal)(scope, receive, send)
            return
        if b"transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        await self._counted(scope, receive, send)

    def _too_large(self, scope: Scope, headers: dict[bytes, bytes]) -> DomainError | None:
        length, most = headers.get(b"content-length", b"0"), _most_bytes(scope)
        fits = length.isdigit() and int(length[:12]) <= most
        return None if fits else BodyTooLarge(limit_bytes=most)

    def _too_often(self, scope: Scope, headers: dict[bytes, bytes]) -> DomainError | None:
        path: str = scope["path"]
        if path in UNLIMITED:
            return None
        rate: RateLimitItem = self._rate
        if path.startswith(NOTICES):
            rate = self._notice_rate
        wait_seconds = self._windows.hit(_caller(scope, headers), rate)
        if not wait_seconds:
            return None
        return RateLimited(retry_after_seconds=math.ceil(wait_seconds))

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A body of untold length: refused at the byte that is too much."""
        taken, began, most = 0, False, _most_bytes(scope)

        async def count() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _Overflow
            return message

        async def watch(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, count, watch)
        except _Overflow:
            if not began:
                await problem(BodyTooLarge(limit_bytes=most))(scope, receive, send)


class _Overflow(BaseException):
    """Not an Exception: nobody in between may take it for a fault of their own."""


def _most_bytes(scope: Scope) -> int:
    return EVIDENCE_BYTES_MAX if PHOTO.fullmatch(scope["path"]) else BODY_BYTES


def _caller(scope: Scope, headers: dict[bytes, bytes]) -> str:
    """Who a valid token speaks for, else the address: a forged token is nobody's own counter."""
    header = headers.get(b"authorization", b"")
    if header[: len(BEARER)].lower() == BEARER:
        try:
            who = identity.verify(header[len(BEARER) :].decode("latin-1"))
        except identity.Unauthenticated:
            pass
        else:
            return f"{who.site_id}/{who.actor}"
    client = scope.get("client")
    return f"address/{client[0]}" if client else "address/"
