"""Every request gets an id, a measurement, a line in the log if it changed something, an answer."""

import re
import time
import uuid

import structlog
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import named, problem
from services.metrics import QUICK

REQUEST_ID = re.compile(rb"[\w.:-]{1,64}")
UNKNOWN_ROUTE = "unknown"
UNTOLD = frozenset({"/v1/rider/positions"})
"""Every phone asks this all day, and no row changes: it is counted, not logged."""

REQUESTS = Histogram(
    "paotui_http_request_seconds",
    "From the first byte in to the last byte out.",
    ["method", "route", "status"],
    buckets=QUICK,
)
LIVE = Gauge("paotui_live_connections", "Live connections that are open.", ["kind"])
LIVE_CHANGES = Counter(
    "paotui_live_changes_total", "Clients that came from another way, as they say.", ["from", "to"]
)

log = structlog.get_logger()


class Observe:
    """Outermost, pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, measure, and let no exception out."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            structlog.contextvars.clear_contextvars()
            structlog.contextvars.bind_contextvars(request_id=uuid.uuid4().hex)
            with LIVE.labels("websocket").track_inprogress():
                await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request_id = _request_id(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def named_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, named_send)
        except Exception as error:  # noqa: BLE001 - the last door
            fact = named(error)
            if not status:
                await problem(fact)(scope, receive, named_send)
        _measure(scope, status, time.perf_counter() - began)


def _measure(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
    method = scope["method"] if route != UNKNOWN_ROUTE else UNKNOWN_ROUTE
    REQUESTS.labels(method, route, str(status)).observe(seconds)
    if scope["method"] != "GET" and route not in UNTOLD:
        ids = {
            name: value
            for name, value in scope.get("path_params", {}).items()
            if name in {"order_id", "task_id"}
        }
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            milliseconds=round(seconds * 1_000, 1),
            **ids,
        )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return bytes(value).decode()
    return uuid.uuid4().hex
