"""What the client and any WeChat Pay v3 gateway owe each other, on the wire."""

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from domain.channels import (
    NoticeRefused,
    PaymentNotice,
    RefundNotice,
    TradeState,
)
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services import channel_http
from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from services.wechat.signing import Fault
from tests.sandbox.outside import free_ports
from tests.services.wechat.gateway import Gateway, NoticeEar
from tests.services.wechat.platform import make_key
from tests.services.wechat.steps import (
    ended_refund,
    new_number,
    new_order,
    new_refund,
    paid_order,
    queried,
)


async def test_an_order_is_placed_paid_and_sent_home(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    out_trade_no, out_refund_no = new_number(), new_number("R")
    created = await pay.create(account, new_order(out_trade_no))
    assert isinstance(created, Accepted)
    assert list(created.value.handles) == ["code_url"]
    assert created.value.handles["code_url"].startswith("weixin://wxpay/bizpayurl")
    unpaid = await queried(pay, account, out_trade_no)
    assert (unpaid.state, unpaid.transaction_id, unpaid.success_time) == (
        TradeState.OPEN,
        None,
        None,
    )

    gateway.pay(account, out_trade_no)
    paid = await queried(pay, account, out_trade_no)
    assert (paid.state, paid.amount_fen, paid.currency) == (TradeState.PAID, 2999, "CNY")
    assert (paid.mchid, paid.appid) == (account.mchid, account.appid)
    assert paid.success_time is not None
    assert abs(paid.success_time - datetime.now(UTC)) < timedelta(minutes=1)
    assert paid.transaction_id is not None
    heard = await ear.next()
    notice = await pay.notice(account, heard.headers, heard.body)
    assert isinstance(notice, PaymentNotice)
    assert notice.transaction == paid

    asked = await pay.refund(account, **new_refund(out_trade_no, out_refund_no))
    assert isinstance(asked, Accepted)
    assert asked.value.state == "processing"
    ended = await ended_refund(pay, account, out_trade_no, out_refund_no)
    assert ended == replace(asked.value, state="success")
    assert (ended.refund_fen, ended.total_fen) == (1000, 2999)
    heard = await ear.next()
    refunded = await pay.notice(account, heard.headers, heard.body)
    assert isinstance(refunded, RefundNotice)
    assert refunded.refund == ended
    assert (await queried(pay, account, out_trade_no)).state is TradeState.PAID


async def test_the_same_number_is_the_same_order(pay: WechatPay, account: Account) -> None:
    order = new_order(
        "a|b*c-_" + secrets.token_hex(8), method="jsapi", payer="oUpF8uMuAJO_M2pxb1Q9z"
    )
    first = await pay.create(account, order)
    assert isinstance(first, Accepted)
    assert first.value.handles["prepay_id"]
    assert await pay.create(account, order) == first
    other = await pay.create(account, replace(order, amount_fen=3000))
    assert other == Unknown(reason="OUT_TRADE_NO_USED")
    assert (await queried(pay, account, order.out_trade_no)).amount_fen == 2999


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"method": "jsapi", "payer": ""}, "/payer/openid"),
        ({"amount_fen": 0}, "/amount/total"),
        ({"out_trade_no": "short"}, "/out_trade_no"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "/time_expire"),
        ({"notify_url": "http://10.0.0.1/notify"}, "/notify_url"),
    ],
)
async def test_bad_parameters_are_named(
    pay: WechatPay, certificate_account: Account, changes: dict[str, Any], field: str
) -> None:
    outcome = await pay.create(certificate_account, replace(new_order(new_number()), **changes))
    assert outcome == Rejected(code="PARAM_ERROR", message=field, kind=Refusal.NEVER)


async def test_closing_is_repeatable_and_never_undoes_a_payment(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    order = new_order(new_number())
    assert isinstance(await pay.create(account, order), Accepted)
    for _ in range(2):
        closed = await pay.close(account, out_trade_no=order.out_trade_no)
        assert closed == Accepted(value=None)
    assert (await queried(pay, account, order.out_trade_no)).state is TradeState.CLOSED
    assert await pay.create(account, order) == Rejected(code="ORDER_CLOSED")
    paid = await paid_order(gateway, pay, account, ear)
    assert isinstance(await pay.close(account, out_trade_no=paid), Rejected)
    assert (await queried(pay, account, paid)).state is TradeState.PAID


async def test_what_was_never_made_is_said_so(pay: WechatPay, account: Account) -> None:
    nothing = await pay.query(account, out_trade_no=new_number())
    assert nothing == Rejected(code="ORDER_NOT_EXIST", kind=Refusal.NOT_FOUND)
    numbers = {"out_trade_no": new_number(), "out_refund_no": new_number("R")}
    nothing_refunded = await pay.query_refund(account, **numbers)
    assert nothing_refunded == Rejected(code="RESOURCE_NOT_EXISTS", kind=Refusal.NOT_FOUND)
    unpaid = await pay.refund(account, **new_refund(new_number(), new_number("R")))
    assert unpaid == Rejected(code="RESOURCE_NOT_EXISTS", kind=Refusal.NEVER)


async def test_more_than_was_paid_is_never_sent_home(
    gateway: Gateway, pay: WechatPay, certificate_account: Account, ear: NoticeEar
) -> None:
    out_trade_no = await paid_order(gateway, pay, certificate_account, ear)
    too_much = new_refund(out_trade_no, new_number("R"), refund_fen=3000)
    assert isinstance(await pay.refund(certificate_account, **too_much), Rejected)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("drop_before", "RemoteProtocolError"),
        ("drop_after_commit", "RemoteProtocolError"),
        ("http_500", "http_500"),
        ("http_502", "http_502"),
        ("http_429", "http_429"),
        ("http_202", "http_202"),
        ("bad_signature", Fault.BAD_SIGNATURE),
        ("stale_timestamp", Fault.STALE_TIMESTAMP),
        ("wrong_serial", Fault.UNKNOWN_SERIAL),
        ("signtest", Fault.SIGNTEST),
    ],
)
async def test_every_doubt_is_unknown_in_every_call(
    *, gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar, fault: str, reason: str
) -> None:
    out_trade_no, out_refund_no = await paid_order(gateway, pay, account, ear), new_number("R")
    fresh = new_order(new_number())
    asked = new_refund(out_trade_no, out_refund_no)
    calls: list[tuple[str, Callable[[], Awaitable[Outcome[Any]]]]] = [
        ("create", lambda: pay.create(account, fresh)),
        ("query", lambda: pay.query(account, out_trade_no=fresh.out_trade_no)),
        ("close", lambda: pay.close(account, out_trade_no=fresh.out_trade_no)),
        ("refund", lambda: pay.refund(account, **asked)),
        (
            "refund_query",
            lambda: pay.query_refund(
                account, out_trade_no=out_trade_no, out_refund_no=out_refund_no
            ),
        ),
    ]
    for operation, call in calls:
        gateway.spoil(account, operation, fault)
        doubtful = await call()
        if isinstance(doubtful, Unknown) and doubtful.reason in {"ReadError", "WriteError"}:
            doubtful = Unknown(reason="RemoteProtocolError")  # A reset may be seen either way.
        assert doubtful == Unknown(reason=reason), operation
        assert isinstance(await call(), Accepted), operation
    await ear.next()


async def test_a_create_that_was_committed_unseen_is_found_and_repeated(
    gateway: Gateway, pay: WechatPay, account: Account
) -> None:
    order = new_order(new_number())
    gateway.spoil(account, "create", "drop_after_commit")
    assert isinstance(await pay.create(account, order), Unknown)
    assert (await queried(pay, account, order.out_trade_no)).state is TradeState.OPEN
    assert isinstance(await pay.create(account, order), Accepted)


async def test_a_refund_that_was_committed_unseen_happens_once(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    out_trade_no, out_refund_no = await paid_order(gateway, pay, account, ear), new_number("R")
    asked = new_refund(out_trade_no, out_refund_no)
    gateway.spoil(account, "refund", "drop_after_commit")
    assert isinstance(await pay.refund(account, **asked), Unknown)
    found = await pay.query_refund(account, out_trade_no=out_trade_no, out_refund_no=out_refund_no)
    assert isinstance(found, Accepted)
    again = await pay.refund(account, **asked)
    assert isinstance(again, Accepted)
    assert again.value.refund_id == found.value.refund_id
    await ear.next()


async def test_a_late_answer_is_unknown(
    gateway: Gateway, pay: WechatPay, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_http, "TOTAL_TIMEOUT_SECONDS", 0.3)
    order = new_order(new_number())
    gateway.spoil(account, "create", "delay", delay_seconds=1.0)
    assert await pay.create(account, order) == Unknown(reason="timeout")


async def test_nobody_there_is_unknown(account: Account) -> None:
    (port,) = free_ports(1)
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{port}", trust_env=False) as http:
        outcome = await WechatPay(http).query(account, out_trade_no=new_number())
    assert outcome == Unknown(reason="ConnectError")


async def test_a_stranger_with_another_certificate_is_not_spoken_to(
    account: Account, gateway: Gateway
) -> None:
    async with httpx.AsyncClient(proxy=gateway.sandbox.proxy, trust_env=False) as http:
        outcome = await WechatPay(http).query(account, out_trade_no=new_number())
    assert outcome == Unknown(reason="ConnectError")


async def test_certificates_exist_only_in_certificate_mode(
    pay: WechatPay, gateway: Gateway
) -> None:
    with_certificates = gateway.merchant(certificates=True)
    assert await pay.certificates(with_certificates) == Accepted(value=None)
    labels = {"channel": "wechat", "account": with_certificates.mchid, "whose": "channel"}
    name = "paotui_certificate_expires_timestamp_seconds"
    assert (REGISTRY.get_sample_value(name, labels) or 0) > time.time()
    without = gateway.merchant(certificates=False)
    assert await pay.certificates(without) == Rejected(
        code="RESOURCE_NOT_EXISTS", kind=Refusal.NOT_FOUND
    )


@pytest.mark.parametrize("fault", ["bad_signature", "stale_timestamp", "signtest", "http_500"])
async def test_certificates_in_doubt_are_not_kept(
    gateway: Gateway, pay: WechatPay, certificate_account: Account, fault: str
) -> None:
    gateway.spoil(certificate_account, "certificates", fault)
    outcome = await pay.query(certificate_account, out_trade_no=new_number())
    assert isinstance(outcome, Rejected)  # Refusals carry no signature.
    assert isinstance(await pay.certificates(certificate_account), Unknown)
    order = new_order(new_number())
    assert isinstance(await pay.create(certificate_account, order), Accepted)


async def test_the_wrong_key_and_the_wrong_time_are_refused(
    pay: WechatPay, http: httpx.AsyncClient, account: Account
) -> None:
    stranger = replace(account, private_key=make_key())
    refused = await pay.query(stranger, out_trade_no=new_number())
    assert refused == Rejected(code="SIGN_ERROR", message="signature")
    late = WechatPay(http, now=lambda: datetime.now(UTC) + timedelta(minutes=10))
    refused = await late.query(account, out_trade_no=new_number())
    assert refused == Rejected(code="SIGN_ERROR", message="signature")


@pytest.mark.parametrize("fault", ["bad_signature", "stale_timestamp", "wrong_serial", "signtest"])
async def test_spoiled_notices_are_refused(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar, fault: str
) -> None:
    out_trade_no = new_number()
    assert isinstance(await pay.create(account, new_order(out_trade_no)), Accepted)
    gateway.spoil(account, "notify", fault)
    gateway.pay(account, out_trade_no)
    heard = await ear.next()
    with pytest.raises(NoticeRefused) as caught:
        await pay.notice(account, heard.headers, heard.body)
    assert caught.value.reason == fault.replace("wrong_serial", Fault.UNKNOWN_SERIAL)


async def test_a_public_key_merchant_believes_notices_signed_by_certificate(
    gateway: Gateway, pay: WechatPay, ear: NoticeEar
) -> None:
    """Notices move from one kind of key to the other by grey release, so both must be alive."""
    given = gateway.merchant(certificates=True)
    public_key_mode = gateway.merchant(certificates=False)
    both = replace(
        given, public_key_id=public_key_mode.public_key_id, public_key=public_key_mode.public_key
    )
    out_trade_no = new_number()
    assert isinstance(await pay.create(both, new_order(out_trade_no)), Accepted)
    gateway.pay(both, out_trade_no)
    heard = await ear.next()
    assert not heard.headers["Wechatpay-Serial"].startswith("PUB_KEY_ID_")
    notice = await pay.notice(both, heard.headers, heard.body)
    assert isinstance(notice, PaymentNotice)
    assert notice.transaction.out_trade_no == out_trade_no


async def test_another_merchants_notice_is_not_ours(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    out_trade_no = new_number()
    stranger = gateway.merchant(certificates=account.public_key_id == "")
    assert isinstance(await pay.create(stranger, new_order(out_trade_no)), Accepted)
    gateway.pay(stranger, out_trade_no)
    heard = await ear.next()
    with pytest.raises(NoticeRefused, match=Fault.BAD_ENCRYPTION):
        await pay.notice(account, heard.headers, heard.body)
