"""Bytes out: JSON without a second serialiser, and problems as RFC 9457 tells them."""

from typing import Any

import orjson
from starlette.responses import Response

JSON = "application/json"
PROBLEM = "application/problem+json"


def dumps(value: object) -> bytes:
    """JSON with times as RFC 3339 UTC."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def reply(value: object, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer."""
    return Response(dumps(value), status_code, headers, JSON)


def page(items: list[dict[str, Any]], next_cursor: str | None) -> Response:
    """A page of a list."""
    return reply({"items": items, "next_cursor": next_cursor})
