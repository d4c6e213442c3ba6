"""The codec endpoint of the Temporal UI: payloads opened for those who may read them.

Body and answer are proto-JSON `{"payloads": [{"metadata": {…}, "data": "<base64>"}]}`.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from google.protobuf.json_format import MessageToJson, Parse, ParseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from temporalio.api.common.v1 import Payload, Payloads

from api.errors import on_refusal
from api.identity import SUPPORTERS, ensure_role, of_headers
from api.problems import MalformedBody
from api.replies import JSON
from domain.errors import DomainError
from services.settings import Settings
from workflows.kit.codec import EncryptionCodec

HEADERS = ["Content-Type", "X-Namespace", "Authorization"]
NESTING_MAX = 20


def application(settings: Settings) -> Starlette:
    """To be mounted at /codec."""
    codec = EncryptionCodec.from_text(settings.payload_key.get_secret_value())

    def route(path: str, act: Callable[[Sequence[Payload]], Awaitable[list[Payload]]]) -> Route:
        async def answer(request: Request) -> Response:
            _ensure_may_read(request, settings)
            payloads = await act(_parse(await request.body()).payloads)
            return Response(MessageToJson(Payloads(payloads=payloads)), media_type=JSON)

        return Route(path, answer, methods=["POST"])

    return Starlette(
        routes=[route("/encode", codec.encode), route("/decode", codec.decode)],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=_origins(settings),
                allow_methods=["POST"],
                allow_headers=HEADERS,
            )
        ],
        exception_handlers={DomainError: on_refusal},
    )


def _ensure_may_read(request: Request, settings: Settings) -> None:
    """Support and operations; on an embedded stack whoever sits at this machine."""
    local = request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    if settings.codec_open and local and "authorization" not in request.headers:
        return
    ensure_role(of_headers(request.headers), SUPPORTERS)


def _origins(settings: Settings) -> list[str]:
    named = [*settings.temporal_ui_origins.split(","), settings.temporal_ui_url]
    return [origin.strip().rstrip("/") for origin in named if origin.strip()]


def _parse(body: bytes) -> Payloads:
    try:
        return Parse(body, Payloads(), max_recursion_depth=NESTING_MAX)
    except (ParseError, ValueError, RecursionError) as error:
        raise MalformedBody from error
