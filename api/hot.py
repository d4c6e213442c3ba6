"""What is asked most, without a detour: an order's state from Redis, riders' places to it."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.responses import Response
from starlette.routing import request_response

from api import schemas, views
from api.identity import PEOPLE_OF_ORDERS, SUPPORTERS, ensure_role, ensure_theirs, of_headers
from api.parts import Parts, of
from api.replies import JSON, reply
from domain.errors import Invalid, NotFound
from domain.orders import Delivery
from services import riders, snapshots
from services.identity import Identity, Role

PATH = "/v1/orders/{order_id}"
RIDERS = frozenset({Role.RIDER})
BATCH = {
    "required": True,
    "content": {JSON: {"schema": {"$ref": "#/components/schemas/Positions"}}},
}
ID_CHARS = 64
PARAMETERS = [
    {"name": "order_id", "in": "path", "required": True, "schema": {"type": "string"}},
    {
        "name": "live",
        "in": "query",
        "required": False,
        "schema": {"type": "boolean", "default": False},
        "description": "Ask the workflow itself; always so for support and operations.",
    },
]


class HotRoute(APIRoute):
    """Documented like every route, called like none: no dependencies, no models, no stacks."""

    def __init__(
        self,
        path: str,
        endpoint: Callable[..., Awaitable[Response]],
        **documented: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(path, endpoint, **documented)
        self.app = request_response(endpoint)


async def get_order(request: Request) -> Response:
    """An order's public state at `seq`."""
    who = ensure_role(of_headers(request.headers), PEOPLE_OF_ORDERS)
    order_id: str = request.path_params["order_id"]
    if len(order_id) > ID_CHARS or not order_id.isalnum():
        raise NotFound("there is no such order")
    parts = of(request)
    if who.role in SUPPORTERS or _asked_live(request):
        return await _live(parts, who, order_id)
    snapshot = await parts.cache.snapshot(order_id)
    if snapshot is None:
        stream = await parts.refresh(order_id)
        snapshot = None if stream is None else snapshots.of(stream)
    ensure_theirs(who, snapshot)
    assert snapshot is not None  # noqa: S101 - ensured above
    body = snapshot.body
    secrets = views.secrets(order_id, who, parts.handover_key)
    if secrets:
        body = b"%b,%b" % (body[:-1], orjson.dumps(secrets)[1:])
    return Response(body, media_type=JSON)


def _asked_live(request: Request) -> bool:
    asked = request.query_params.get("live", "false")
    if asked not in {"true", "false", "1", "0"}:
        raise Invalid("live is true or false")
    return asked in {"true", "1"}


async def _live(parts: Parts, who: Identity, order_id: str) -> Response:
    """The workflow's own word over the rows'; its delivery is the task row's."""
    stream = await parts.refresh(order_id)
    ensure_theirs(who, stream)
    assert stream is not None  # noqa: S101 - ensured above
    view = views.order(stream, who, parts.handover_key)
    state = await parts.durable.state(order_id)
    if state is not None:
        view |= {
            "seq": max(state.seq, stream.seq),
            "status": state.status,
            "payment": state.payment,
            "kitchen": state.kitchen,
            "held": state.held,
            "close_reason": state.close_reason,
        }
    async with parts.database.read() as reader:
        task = await riders.task_state(reader, order_id)
    if task in set(Delivery):
        view["delivery"] = task
    return reply(view)


async def report_positions(request: Request) -> Response:
    """Where the rider was: each is kept or dropped; viewers see the newest, and none may stay."""
    who = ensure_role(of_headers(request.headers), RIDERS)
    try:
        batch = schemas.Positions.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_input=False)) from None
    taken = await of(request).positions.take(who.site_id, who.subject, batch.fixes(), way="http")
    return Response(orjson.dumps(taken), media_type=JSON)


def add(app: FastAPI, problems: dict[int | str, dict[str, Any]]) -> None:
    """Put them in front of all other routes."""
    read = HotRoute(
        PATH,
        get_order,
        methods=["GET"],
        response_model=schemas.Order,
        responses=problems,
        tags=["orders"],
        operation_id="get_order",
        summary="Get Order",
        openapi_extra={"parameters": PARAMETERS, "security": [{"bearer": []}]},
    )
    places = HotRoute(
        "/v1/rider/positions",
        report_positions,
        methods=["POST"],
        response_model=schemas.PositionsDone,
        responses=problems,
        tags=["rider"],
        operation_id="report_positions",
        summary="Report Positions",
        openapi_extra={"requestBody": BATCH, "security": [{"bearer": []}]},
    )
    app.router.routes[:0] = [read, places]
