"""What the client makes of answers that a well-behaved gateway never gives; the rest: contract."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from domain.channels import NoticeRefused, PaymentNotice, Transaction
from domain.outcomes import Accepted, Refusal, Rejected, Unknown
from services import channel_http
from services.wechat import wire
from services.wechat.accounts import CERTIFICATES_MAX_AGE, REFRESH_INTERVAL, Account
from services.wechat.client import WechatPay
from services.wechat.signing import Fault, is_signed, lines
from tests.services.wechat.platform import NOW, PUBLIC_KEY_ID, SERIAL, TRANSACTION, Platform

OUT_TRADE_NO = TRANSACTION["out_trade_no"]
Answer = Callable[[httpx.Request], httpx.Response]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """The moment that the test has chosen."""
        return self.now


def _pay(answer: Any, clock: Clock | None = None) -> WechatPay:
    return WechatPay(httpx.AsyncClient(transport=httpx.MockTransport(answer)), clock or Clock())


def _signed(platform: Platform, body: bytes, *, status: int = 200) -> Answer:
    return lambda _: httpx.Response(status, content=body, headers=platform.headers(body))


async def _query(pay: WechatPay, account: Account) -> Any:
    return await pay.query(account, out_trade_no=OUT_TRADE_NO)


async def test_the_wire_is_signed_byte_for_byte(platform: Platform) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204, headers=platform.headers(b""))

    outcome = await _pay(answer).close(platform.account(), out_trade_no="a|b*c-1")
    assert outcome == Accepted(value=None)
    request = seen[0]
    assert request.url.raw_path == b"/v3/pay/transactions/out-trade-no/a%7Cb%2Ac-1/close"
    assert request.headers["Wechatpay-Serial"] == PUBLIC_KEY_ID
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"]
    fields = dict(
        part.split("=", 1) for part in request.headers["Authorization"].split(" ")[1].split(",")
    )
    message = lines(
        b"POST",
        request.url.raw_path,
        fields["timestamp"].strip('"').encode(),
        fields["nonce_str"].strip('"').encode(),
        request.content,
    )
    public = platform.merchant_key.public_key()
    assert is_signed(public, message, fields["signature"].strip('"'))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"out_trade_no": "another"}, Fault.WRONG_SHAPE),
        ({"mchid": "1600000002"}, Fault.WRONG_SHAPE),
        ({"amount": {}}, Fault.WRONG_SHAPE),
    ],
)
async def test_a_signed_answer_to_another_question_is_unknown(
    platform: Platform, change: dict[str, Any], reason: Fault | None
) -> None:
    body = orjson.dumps({**TRANSACTION, **change})
    outcome = await _query(_pay(_signed(platform, body)), platform.account())
    if reason is None:
        assert isinstance(outcome, Accepted)
        assert isinstance(outcome.value, Transaction)
    else:
        assert outcome == Unknown(reason=reason)


async def test_an_unpaid_order_may_leave_out_what_it_has_not(platform: Platform) -> None:
    body = orjson.dumps(
        {
            "mchid": "1600000001",
            "appid": "wx0000000000000001",
            "out_trade_no": OUT_TRADE_NO,
            "trade_state": "NOTPAY",
            "transaction_id": "",
        }
    )
    outcome = await _query(_pay(_signed(platform, body)), platform.account())
    assert isinstance(outcome, Accepted)
    assert outcome.value.transaction_id is None
    assert outcome.value.amount_fen == 0


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"code":"ORDER_CLOSED","message":"x"}', Rejected(code="ORDER_CLOSED")),
        (
            400,
            b'{"code":"PARAM_ERROR","message":"x","detail":{"field":"/amount/total","value":"s"}}',
            Rejected(code="PARAM_ERROR", message="/amount/total", kind=Refusal.NEVER),
        ),
        (
            404,
            b'{"code":"ORDER_NOT_EXIST"}',
            Rejected(code="ORDER_NOT_EXIST", kind=Refusal.NOT_FOUND),
        ),
        (404, b"", Unknown(reason="http_404")),
        (403, b"<html>", Unknown(reason="http_403")),
        (403, b'{"code":"no code"}', Unknown(reason="http_403")),
        (403, b'{"code":"FREQUENCY_LIMITED"}', Unknown(reason="http_403")),
        (429, b'{"code":"RULE_LIMIT"}', Unknown(reason="http_429")),
        (500, b'{"code":"SYSTEM_ERROR"}', Unknown(reason="http_500")),
        (500, b'{"code":"PARAM_ERROR"}', Unknown(reason="http_500")),
        (302, b"", Unknown(reason="http_302")),
        (202, b"{}", Unknown(reason="http_202")),
        (204, b"", Unknown(reason=Fault.WRONG_SHAPE)),
        (200, b"no json", Unknown(reason=Fault.WRONG_SHAPE)),
    ],
)
async def test_only_a_clear_no_is_a_no(
    platform: Platform, status: int, body: bytes, expected: object
) -> None:
    outcome = await _query(_pay(_signed(platform, body, status=status)), platform.account())
    assert outcome == expected


async def test_an_endless_answer_is_cut(platform: Platform) -> None:
    outcome = await _query(
        _pay(_signed(platform, b" " * (wire.MAX_ANSWER_BYTES + 1))), platform.account()
    )
    assert outcome == Unknown(reason="answer_too_large")


async def test_a_slow_answer_is_unknown(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(204)

    monkeypatch.setattr(channel_http, "TOTAL_TIMEOUT_SECONDS", 0.05)
    assert await _query(_pay(answer), platform.account()) == Unknown(reason="timeout")


class CertificateGateway:
    """Answers queries by certificate and counts how often certificates are asked for."""

    def __init__(self, platform: Platform, clock: Clock) -> None:
        self.platform = platform
        self.clock = clock
        self.asked = 0
        self.serves = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer rightly signed, at the test's moment."""
        body = orjson.dumps(dict(TRANSACTION))
        if request.url.path == "/v3/certificates":
            self.asked += 1
            if not self.serves:
                return httpx.Response(404, json={"code": "RESOURCE_NOT_EXISTS"})
            body = self.platform.certificates_body()
        return httpx.Response(
            200, content=body, headers=self.platform.headers(body, at=self.clock.now)
        )


async def test_certificates_are_fetched_once_and_again_after_twelve_hours(
    platform: Platform,
) -> None:
    clock = Clock()
    gateway = CertificateGateway(platform, clock)
    pay = _pay(gateway, clock)
    account = platform.account(public_key_mode=False, certificates=False)
    outcomes = await asyncio.gather(*(_query(pay, account) for _ in range(5)))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert gateway.asked == 1
    clock.now += CERTIFICATES_MAX_AGE + timedelta(seconds=1)
    assert isinstance(await _query(pay, account), Accepted)
    assert gateway.asked == 2


async def test_serials_nobody_knows_do_not_make_us_ask_for_ever(platform: Platform) -> None:
    clock = Clock()
    gateway = CertificateGateway(platform, clock)
    gateway.serves = False
    pay = _pay(gateway, clock)
    account = platform.account(certificates=False)
    for _ in range(5):
        assert await _query(pay, account) == Unknown(reason=Fault.UNKNOWN_SERIAL)
    assert gateway.asked == 1
    clock.now += REFRESH_INTERVAL
    gateway.serves = True
    assert isinstance(await _query(pay, account), Accepted)
    assert gateway.asked == 2


async def test_certificates_that_expired_are_not_kept(platform: Platform) -> None:
    body = platform.certificates_body(expires_at=NOW)
    account = platform.account(public_key_mode=False, certificates=False)
    outcome = await _pay(_signed(platform, body)).certificates(account)
    assert outcome == Unknown(reason=Fault.UNKNOWN_SERIAL)
    assert account.verifier(SERIAL, now=NOW) is None


@pytest.mark.parametrize("body", [b"{}", b'{"data": [1]}', b'{"data": [{"serial_no": "1"}]}'])
async def test_certificates_of_wrong_shape_are_unknown(platform: Platform, body: bytes) -> None:
    outcome = await _pay(_signed(platform, body)).certificates(platform.account())
    assert outcome == Unknown(reason=Fault.WRONG_SHAPE)


async def test_certificates_sealed_by_somebody_else_are_not_believed(platform: Platform) -> None:
    forger = Platform(apiv3_key=b"f" * 32, merchant_key=platform.merchant_key)
    body = forger.certificates_body()
    account = platform.account(public_key_mode=False, certificates=False)
    outcome = await _pay(_signed(forger, body)).certificates(account)
    assert outcome == Unknown(reason=Fault.WRONG_SHAPE)
    assert account.verifier(SERIAL, now=NOW) is None


async def test_a_notice_of_an_unknown_serial_fetches_certificates_once(platform: Platform) -> None:
    clock = Clock()
    gateway = CertificateGateway(platform, clock)
    pay = _pay(gateway, clock)
    account = platform.account(certificates=False)
    body = platform.notice("TRANSACTION.SUCCESS", TRANSACTION)
    notice = await pay.notice(account, platform.headers(body), body)
    assert isinstance(notice, PaymentNotice)
    stranger = platform.headers(body) | {"Wechatpay-Serial": "PUB_KEY_ID_7"}
    with pytest.raises(NoticeRefused, match=Fault.UNKNOWN_SERIAL):
        await pay.notice(account, stranger, body)
    with pytest.raises(NoticeRefused, match=Fault.MISSING_HEADER):
        await pay.notice(account, {}, body)
    assert gateway.asked == 1
