"""Every call of a gateway is timed under its result, its refusals bounded, its clock compared."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from prometheus_client import REGISTRY

from services.codes import KNOWN, OTHER, bounded
from services.measuring import CALLS, measure, note_clock
from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from tests.services.wechat.platform import Platform

Answer = Callable[[httpx.Request], httpx.Response]
CALL = {"channel": "wechat", "call": "query"}


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture(scope="module")
def account() -> Account:
    return Platform().account()


@pytest.fixture
async def ask(account: Account) -> AsyncIterator[Callable[[Answer], Awaitable[object]]]:
    """Query through the real client, the wire answered by the test."""
    answers: list[Answer] = []

    def answer_last(request: httpx.Request) -> httpx.Response:
        return answers[-1](request)

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(answer_last),
        event_hooks={"response": [note_clock]},
    ) as http:
        channel = measure(WechatPay(http))

        async def query(answer: Answer) -> object:
            answers.append(answer)
            return await channel.query(account, out_trade_no="T1")

        yield query


def gone(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("", request=request)


def said(status: int, code: str = "") -> Answer:
    return lambda _: httpx.Response(status, json={"code": code})


@pytest.mark.parametrize(
    ("answer", "result", "code"),
    [
        (said(404, "ORDER_NOT_EXIST"), "rejected", "ORDER_NOT_EXIST"),
        (said(403, "BRAND_NEW_CODE_7"), "rejected", OTHER),
        (said(502), "unknown", "http_5xx"),
        (said(200), "unknown", "missing_header"),
        (gone, "unknown", "ReadTimeout"),
    ],
)
async def test_a_call_is_counted_by_what_came_of_it(
    ask: Callable[[Answer], Awaitable[object]], answer: Answer, result: str, code: str
) -> None:
    timed = value("paotui_gateway_call_seconds_count", **CALL, result=result)
    refused = value("paotui_gateway_refusals_total", **CALL, code=code)
    await ask(answer)
    assert value("paotui_gateway_call_seconds_count", **CALL, result=result) == timed + 1
    assert value("paotui_gateway_refusals_total", **CALL, code=code) == refused + 1


async def test_our_clock_is_compared_with_the_gateways(
    ask: Callable[[Answer], Awaitable[object]],
) -> None:
    ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    await ask(lambda _: httpx.Response(502, headers={"Date": ahead}))
    skew = value("paotui_clock_skew_seconds", channel="wechat")
    assert -91 <= skew <= -88
    for nonsense in ("yesterday", "Mon, 99 Nov 2026 00:00:00 GMT", ""):
        damaged = httpx.Response(502, headers={"Date": nonsense})
        await ask(lambda _, damaged=damaged: damaged)
    assert value("paotui_clock_skew_seconds", channel="wechat") == skew


def test_what_is_counted_is_the_port() -> None:
    assert {"create", "query", "close", "capture", "refund", "bill"} < set(CALLS)
    assert {"notice", "parameters", "load_account"}.isdisjoint(CALLS)


def test_labels_are_bounded() -> None:
    assert len(KNOWN) < 200
    assert {bounded(code) for code in KNOWN} == KNOWN
    assert {bounded(f"http_{status}") for status in range(100, 600)} == {
        f"http_{first}xx" for first in range(1, 6)
    }
    assert bounded("13900000000") == bounded("http_9000") == bounded("") == OTHER


async def test_alerts_see_the_first_one() -> None:
    async with httpx.AsyncClient() as http:
        measure(WechatPay(http))
    for name, label, values in (
        ("paotui_payments_total", "outcome", ("frozen",)),
        ("paotui_refunds_total", "state", ("abnormal", "closed")),
    ):
        for one in values:
            assert REGISTRY.get_sample_value(name, {"channel": "wechat", label: one}) is not None
