"""Whatever goes wrong leaves as problem+json: a stable type, no details of ours, none of theirs."""

from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI, Request
from sqlalchemy.exc import OperationalError
from starlette.responses import Response

from api import problems
from api.app import create_app
from api.errors import is_final, named, problem, status_of
from api.parts import Parts
from api.replies import PROBLEM
from domain import errors
from domain.errors import ActionNotAllowed, DomainError, PaymentRefused, Unavailable
from services.identity import Forbidden, Unauthenticated
from services.settings import Settings
from tests.api.town import Town

FACTS = [
    fact
    for module in (errors, problems)
    for fact in vars(module).values()
    if isinstance(fact, type) and issubclass(fact, DomainError) and fact is not DomainError
]


def json_of(response: Response) -> Any:
    """What a response says."""
    return orjson.loads(bytes(response.body))


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_a_problem(fact: type[DomainError]) -> None:
    response = problem(fact())
    assert response.media_type == PROBLEM
    assert 400 <= response.status_code < 600
    body = json_of(response)
    assert body["type"] == f"/problems/{fact.problem}"
    assert (body["status"], body["detail"]) == (response.status_code, fact.__doc__)
    assert ("retry-after" in response.headers) == (response.status_code in {429, 500, 502, 503})


@pytest.mark.parametrize(
    ("fact", "status"),
    [
        (errors.NotFound(), 404),
        (errors.SoldOut(), 409),
        (errors.OutOfDeliveryArea(), 422),
        (errors.Invalid(), 422),
        (errors.Unavailable(), 503),
        (errors.GatewayUnavailable(), 502),
        (PaymentRefused(), 422),
        (Unauthenticated(), 401),
        (Forbidden(), 403),
        (problems.MalformedBody(), 400),
        (problems.BodyTooLarge(), 413),
        (problems.RateLimited(), 429),
    ],
)
def test_statuses(fact: DomainError, status: int) -> None:
    assert status_of(fact) == status


def test_the_orders_status_does_not_hide_the_problems() -> None:
    body = json_of(problem(ActionNotAllowed(status="preparing")))
    assert (body["status"], body["order_status"]) == (409, "preparing")


def test_what_may_pass_is_never_final() -> None:
    assert is_final(ActionNotAllowed())
    assert is_final(PaymentRefused())
    assert not is_final(Unavailable())
    assert not is_final(errors.PaymentPending())


def test_parts_that_are_away_are_unavailable_and_faults_tell_nothing() -> None:
    away = OperationalError("SELECT secret", {"phone": "139"}, Exception("secret"))
    assert isinstance(named(away), Unavailable)
    assert isinstance(named(TimeoutError()), Unavailable)
    fault = problem(named(ValueError("secret")))
    assert fault.status_code == 500
    assert b"secret" not in fault.body


async def test_an_unexpected_error_is_a_problem_without_details(
    told: Settings, parts: Parts
) -> None:
    app: FastAPI = create_app(told)
    app.state.parts = parts

    @app.get("/broken")
    async def broken(_: Request) -> None:
        raise ValueError("secret")

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        answer = await client.get("/broken", headers={"X-Request-Id": "abc-1"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["type"] == "/problems/internal"
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/v1/orders", 405, "method_not_allowed"),
        ("GET", "/v1/orders", 401, "unauthenticated"),
        ("GET", "/v1/shops", 422, "validation_failed"),
        ("GET", "/v1/shops?site=a%00b", 422, "validation_failed"),
        ("GET", "/v1/shops?site=nowhere", 404, "not_found"),
        ("GET", "/v1/shops/nothing/menu", 404, "not_found"),
    ],
)
async def test_the_frameworks_refusals_are_problems_too(
    http: httpx.AsyncClient, method: str, path: str, status: int, name: str
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["type"] == f"/problems/{name}"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "body",
    [b"{", b"", b"[" * 50_000, b'{"a": 1e999}', b"\xff\xfe", b'{"name": "\\ud800"}', b"null"],
)
async def test_bodies_that_are_no_json_are_refused(
    town: Town, http: httpx.AsyncClient, body: bytes
) -> None:
    headers = town.ann | {"Content-Type": "application/json"}
    answer = await http.post("/v1/addresses", headers=headers, content=body)
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["type"] == "/problems/validation_failed"


async def test_what_was_sent_is_never_repeated(town: Town, http: httpx.AsyncClient) -> None:
    body = {"name": "Canary Wang", "phone": "canary", "text": "", "lat": "canary", "lng": None}
    answer = await http.post("/v1/addresses", headers=town.ann, json=body)
    assert answer.status_code == 422
    assert {error["where"] for error in answer.json()["errors"]} == {
        "body.phone",
        "body.text",
        "body.lat",
        "body.lng",
    }
    assert "canary" not in answer.text.lower()
