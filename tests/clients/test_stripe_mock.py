"""Our requests to Stripe against `stripe-mock`, which holds them to Stripe's own OpenAPI."""

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest

from domain.channels import BillKind, Create
from domain.outcomes import Rejected, Unknown
from services.card.accounts import Account
from services.card.client import Cards
from tests.go import built
from tests.sandbox.outside import free_ports, wait_for

VERSION = "0.203.0"
ACCOUNT = Account(
    account="acct_1",
    publishable_key="pk_test_123",
    secret_key="sk_test_123",
    webhook_secret="whsec_123",
)
ORDER = Create(
    method="card",
    out_trade_no="n1",
    amount_fen=2999,
    description="外卖",
    notify_url="",
    expires_at=datetime(2026, 11, 23, tzinfo=UTC),
    payer="cus_1",
    return_url="https://shop.example/back",
    saved_method="pm_1",
    save=True,
)
HANDLES = {"payment_intent": "pi_1"}
NUMBER = {"out_trade_no": "n1"}


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    """Where the mock listens."""
    binary, port = built("github.com/stripe/stripe-mock", VERSION), free_ports(1)[0]
    command = [binary, "-http-addr", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def is_up() -> bool:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    try:
        wait_for(is_up, 20)
        yield url
    finally:
        process.terminate()
        process.wait(10)


class _Recorder(httpx.AsyncHTTPTransport):
    """Leads every request to the mock and keeps what was answered."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._place = httpx.URL(url)
        self.seen: list[tuple[str, str, int, bytes]] = []
        self.finds_nothing = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "api.stripe.com"
        place = self._place
        request.url = request.url.copy_with(scheme="http", host=place.host, port=place.port)
        answer = await super().handle_async_request(request)
        body = await answer.aread()
        self.seen.append((request.method, request.url.path, answer.status_code, body))
        if self.finds_nothing and request.url.path.endswith("/search"):
            return httpx.Response(answer.status_code, json={"data": []})
        return answer


@pytest.fixture
async def recorder(mock: str) -> AsyncIterator[_Recorder]:
    made = _Recorder(mock)
    yield made
    await made.aclose()


Act = Callable[[Cards], Awaitable[Any]]
INTENTS = "/v1/payment_intents"
ACTS: dict[str, tuple[Act, list[tuple[str, str]]]] = {
    "create": (lambda cards: cards.create(ACCOUNT, ORDER), [("POST", INTENTS)]),
    "query": (
        lambda cards: cards.query(ACCOUNT, **NUMBER, handles=HANDLES),
        [("GET", f"{INTENTS}/pi_1")],
    ),
    "find": (lambda cards: cards.query(ACCOUNT, **NUMBER), [("GET", f"{INTENTS}/search")]),
    "close": (
        lambda cards: cards.close(ACCOUNT, **NUMBER, handles=HANDLES),
        [("POST", f"{INTENTS}/pi_1/cancel")],
    ),
    "capture": (
        lambda cards: cards.capture(ACCOUNT, **NUMBER, amount_fen=9, handles=HANDLES),
        [("POST", f"{INTENTS}/pi_1/capture")],
    ),
    "refund": (
        lambda cards: cards.refund(
            ACCOUNT,
            **NUMBER,
            out_refund_no="r1",
            refund_fen=9,
            total_fen=2999,
            reason="",
            notify_url="",
            handles=HANDLES,
        ),
        [("GET", "/v1/refunds"), ("POST", "/v1/refunds")],
    ),
    "bill": (
        lambda cards: cards.bill(ACCOUNT, kind=BillKind.FUNDS, day=date(2026, 1, 5)),
        [("GET", "/v1/balance_transactions")],
    ),
    "customer": (
        lambda cards: cards.make_customer(ACCOUNT, reference="c1"),
        [("POST", "/v1/customers")],
    ),
    "saved": (
        lambda cards: cards.saved_methods(ACCOUNT, payer="cus_1"),
        [("GET", "/v1/customers/cus_1/payment_methods")],
    ),
    "forget": (
        lambda cards: cards.forget_method(ACCOUNT, token="pm_1"),
        [("POST", "/v1/payment_methods/pm_1/detach")],
    ),
}


@pytest.mark.parametrize("name", ACTS)
async def test_stripes_openapi_takes_our_request(recorder: _Recorder, name: str) -> None:
    act, asked = ACTS[name]
    async with httpx.AsyncClient(transport=recorder, trust_env=False) as http:
        outcome = await act(Cards(http))
    assert [(method, path) for method, path, _, _ in recorder.seen] == asked
    assert [status for _, _, status, _ in recorder.seen] == [200] * len(asked), recorder.seen
    # The mock answers with its own examples, which carry no number of ours.
    assert not isinstance(outcome, Rejected)
    assert not isinstance(outcome, Unknown) or outcome.reason in {"wrong_shape", "bill_currency"}


async def test_the_mock_does_refuse(recorder: _Recorder) -> None:
    async with httpx.AsyncClient(transport=recorder, trust_env=False) as http:
        answer = await http.post(
            f"https://api.stripe.com{INTENTS}",
            data={"amount": "many", "currency": "cny"},
            headers={"Authorization": "Bearer sk_test_123"},
        )
    assert answer.status_code == 400


async def test_the_list_behind_a_search_is_taken_too(recorder: _Recorder) -> None:
    recorder.finds_nothing = True
    async with httpx.AsyncClient(transport=recorder, trust_env=False) as http:
        await Cards(http).query(ACCOUNT, **NUMBER)
    assert [(path, status) for _, path, status, _ in recorder.seen] == [
        (f"{INTENTS}/search", 200),
        (INTENTS, 200),
    ]
