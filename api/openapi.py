"""What OpenAPI says beyond the routes: problems by their own media type, one schema for all."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.replies import PROBLEM
from api.schemas import Positions, Problem

REFERENCE = {"$ref": "#/components/schemas/Problem"}
SAID = {
    400: "The body can't be read.",
    401: "No valid token.",
    403: "Not for this role.",
    404: "Not found, or somebody else's.",
    409: "Not now: the state does not allow it.",
    413: "The body is too large.",
    422: "Refused, or wrong fields.",
    429: "Too many requests: see Retry-After.",
    502: "The payment channel does not answer.",
    503: "A part we need does not answer: see Retry-After.",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": said, "content": {PROBLEM: {"schema": REFERENCE}}}
    for status, said in SAID.items()
}


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        schemas = made["components"]["schemas"]
        for model in (Problem, Positions):
            told = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= told.pop("$defs", {}) | {model.__name__: told}
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = made
    return app.openapi_schema
