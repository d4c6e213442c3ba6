"""The one door through which refusals and faults leave: RFC 9457 problem details."""

import asyncio
from typing import Any

import psycopg
import structlog
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.problems import (
    BodyTooLarge,
    Internal,
    MalformedBody,
    MethodNotAllowed,
    RateLimited,
)
from api.replies import PROBLEM, dumps
from domain.errors import (
    DomainError,
    GatewayUnavailable,
    Invalid,
    Kind,
    NotFound,
    PaymentPending,
    Unavailable,
)
from domain.payouts import SecondPersonNeeded
from services.identity import Forbidden, Unauthenticated

BY_KIND = {
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.REFUSED: 422,
    Kind.INVALID: 422,
    Kind.UNAVAILABLE: 503,
}
BY_FACT: dict[type[DomainError], int] = {
    MalformedBody: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    SecondPersonNeeded: 403,
    MethodNotAllowed: 405,
    BodyTooLarge: 413,
    RateLimited: 429,
    Internal: 500,
    GatewayUnavailable: 502,
}
"""Facts that HTTP has a word of its own for."""
RETRY_SECONDS = 1
ERRORS_SHOWN = 20
RESERVED = frozenset({"type", "title", "status", "detail"})
AWAY = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg.OperationalError,
    RedisError,
    OSError,
    asyncio.TimeoutError,
)
"""What drivers raise when a part we need does not answer."""

log = structlog.get_logger()


def status_of(error: DomainError) -> int:
    """The HTTP status of a fact."""
    return BY_FACT.get(type(error), BY_KIND[error.kind])


def is_final(error: DomainError) -> bool:
    """Whether asking again under the same key must give the same answer."""
    return error.kind is not Kind.UNAVAILABLE and not isinstance(error, PaymentPending)


def problem(error: DomainError) -> Response:
    """A refusal as a response; an order's own `status` is told as `order_status`."""
    status = status_of(error)
    body: dict[str, Any] = {
        f"order_{name}" if name in RESERVED else name: value for name, value in error.data.items()
    }
    body |= {
        "type": f"/problems/{error.problem}",
        "title": error.problem.replace("_", " ").capitalize(),
        "status": status,
        "detail": error.detail,
    }
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.kind is Kind.UNAVAILABLE or isinstance(error, RateLimited):
        headers["Retry-After"] = str(error.data.get("retry_after_seconds", RETRY_SECONDS))
    return Response(dumps(body), status, headers, PROBLEM)


def named(error: Exception) -> DomainError:
    """The fact behind an exception that nobody handled; what is unknown is logged as a fault."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, AWAY):
        log.warning("part_unavailable", exc_info=error)
        return Unavailable()
    log.error("request_failed", exc_info=error)
    return Internal()


async def on_refusal(_: Request, error: Exception) -> Response:
    """A `DomainError`."""
    return problem(named(error))


async def on_invalid(_: Request, error: Exception) -> Response:
    """A body or parameter of the wrong shape; what was sent is never repeated."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    faults = error.errors()[:ERRORS_SHOWN]
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem(MalformedBody())
    told = [
        {"where": ".".join(map(str, fault["loc"])), "what": fault["msg"], "kind": fault["type"]}
        for fault in faults
    ]
    return problem(Invalid("some fields are missing or wrong", errors=told))


async def on_http(_: Request, error: Exception) -> Response:
    """What the framework itself refuses: no such address, no such method, an unreadable body."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    facts: dict[int, DomainError] = {
        400: MalformedBody(),
        401: Unauthenticated(),
        403: Forbidden(),
        404: NotFound("there is nothing at this address"),
        405: MethodNotAllowed(),
        413: BodyTooLarge(),
    }
    response = problem(facts.get(error.status_code, Internal()))
    if allow := (error.headers or {}).get("Allow"):
        response.headers["Allow"] = allow
    return response
