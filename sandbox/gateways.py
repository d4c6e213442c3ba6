"""What gateways of all channels do alike: read a request within a bound, cut a connection."""

from starlette.requests import Request
from starlette.responses import Response

ABORT = "sandbox.abort"
"""Key in the ASGI scope of a function that cuts the connection."""


async def read_body(request: Request, *, max_bytes: int, too_large: Exception) -> bytes:
    """Return the whole body, or raise the channel's refusal of one above `max_bytes`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


async def cut(request: Request) -> Response:
    """Cut the connection; nothing of the answer leaves."""
    request.scope[ABORT]()
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response()
