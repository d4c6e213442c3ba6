"""What the client and Alipay's gateway owe each other, on the wire."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from domain.channels import (
    BillKind,
    Create,
    NoticeRefused,
    Opened,
    PaymentNotice,
    RefundNotice,
    Share,
    ShareResult,
    ShareState,
    TradeState,
    Transaction,
)
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services import channel_http
from services.alipay.accounts import Account
from services.alipay.answers import CHINA
from services.alipay.client import Alipay
from services.channel import Channel
from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess, free_ports, wait_for

BUYER, RECEIVER = "2088000000000001", "2088000000000002"


def _number(prefix: str = "T") -> str:
    return prefix + secrets.token_hex(12)


def _order(merchant: AlipayMerchant, **changes: Any) -> Create:
    order = Create(
        method="jsapi",
        out_trade_no=_number(),
        amount_fen=2999,
        description='外卖 {"sign":"}/',
        notify_url=f"https://{PUBLIC_NAME}{merchant.notify_path}",
        expires_at=datetime.now(UTC) + timedelta(minutes=15),
        payer=BUYER,
    )
    return replace(order, **changes)


def _refund(out_trade_no: str, out_refund_no: str, refund_fen: int = 1000) -> dict[str, Any]:
    return {
        "out_trade_no": out_trade_no,
        "out_refund_no": out_refund_no,
        "refund_fen": refund_fen,
        "total_fen": 2999,
        "reason": "merchant_silent",
        "notify_url": "",
    }


async def _opened(pay: Alipay, account: Account, order: Create) -> dict[str, str]:
    outcome = await pay.create(account, order)
    assert isinstance(outcome, Accepted)
    assert isinstance(outcome.value, Opened)
    return outcome.value.handles


async def _paid(pay: Alipay, account: Account, merchant: AlipayMerchant) -> Transaction:
    order = _order(merchant)
    await _opened(pay, account, order)
    merchant.pay(out_trade_no=order.out_trade_no)
    return await _query(pay, account, order.out_trade_no)


async def _query(pay: Alipay, account: Account, out_trade_no: str) -> Transaction:
    outcome = await pay.query(account, out_trade_no=out_trade_no)
    assert isinstance(outcome, Accepted)
    return outcome.value


async def test_an_order_is_placed_paid_and_sent_home(
    pay: Alipay, account: Account, merchant: AlipayMerchant, server: MerchantServer
) -> None:
    channel: Channel[Account] = pay
    order = _order(merchant)
    handles = await _opened(pay, account, order)
    now = datetime.now(UTC)
    shown = channel.parameters(account, method="jsapi", handles=handles, now=now)
    assert shown == {"tradeNO": handles["trade_no"]}
    unpaid = await _query(pay, account, order.out_trade_no)
    assert (unpaid.state, unpaid.transaction_id, unpaid.amount_fen) == (TradeState.OPEN, None, 2999)

    merchant.pay(out_trade_no=order.out_trade_no)
    paid = await _query(pay, account, order.out_trade_no)
    assert (paid.state, paid.transaction_id) == (TradeState.PAID, handles["trade_no"])
    assert (paid.mchid, paid.appid) == (account.seller_id, account.app_id)
    assert paid.success_time is not None
    assert abs(paid.success_time - datetime.now(UTC)) < timedelta(minutes=1)

    asked = await pay.refund(account, **_refund(order.out_trade_no, "R1"))
    assert isinstance(asked, Accepted)
    assert (asked.value.state, asked.value.refund_fen) == ("success", 1000)
    found = await pay.query_refund(account, out_trade_no=order.out_trade_no, out_refund_no="R1")
    assert found == asked
    rest = await pay.refund(account, **_refund(order.out_trade_no, "R2", 1999))
    assert isinstance(rest, Accepted)
    # TRADE_CLOSED now, and yet it was paid.
    assert await _query(pay, account, order.out_trade_no) == paid

    wait_for(lambda: len(server.got(merchant.notify_path)) == 3)
    notices = [
        await pay.notice(account, r.headers, r.body) for r in server.got(merchant.notify_path)
    ]
    (payment,) = [notice for notice in notices if isinstance(notice, PaymentNotice)]
    assert payment.transaction == paid
    refunds = [notice.refund for notice in notices if isinstance(notice, RefundNotice)]
    assert {(r.out_refund_no, r.state) for r in refunds} == {("R1", "success"), ("R2", "success")}


async def test_a_code_is_not_found_and_can_still_be_paid(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    order = _order(merchant, method="native", payer="")
    handles = await _opened(pay, account, order)
    number = {"out_trade_no": order.out_trade_no}
    nothing = Rejected(code="ACQ.TRADE_NOT_EXIST", kind=Refusal.NOT_FOUND)
    assert await pay.query(account, **number) == nothing
    assert await pay.close(account, **number) == nothing
    shown = pay.parameters(account, method="native", handles=handles, now=datetime.now(UTC))
    merchant.pay(qr_code=shown["qr_code"])
    assert (await _query(pay, account, order.out_trade_no)).state is TradeState.PAID


async def test_a_page_is_signed_when_it_is_shown(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    order = _order(merchant, method="wap", payer="", return_url="https://h5.example/o/1?a=b&c")
    handles = await _opened(pay, account, order)
    now = datetime.now(UTC)
    old = pay.parameters(account, method="wap", handles=handles, now=now - timedelta(minutes=10))
    assert "invalid-timestamp" in merchant.http.get(old["url"]).text
    fresh = pay.parameters(account, method="wap", handles=handles, now=now)["url"]
    assert "¥29.99" in merchant.http.get(fresh).text
    merchant.pay(url=fresh)
    assert (await _query(pay, account, order.out_trade_no)).state is TradeState.PAID


async def test_the_same_number_is_the_same_order(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    order = _order(merchant)
    first = await _opened(pay, account, order)
    assert await _opened(pay, account, order) == first
    other = await pay.create(account, replace(order, amount_fen=3000))
    assert other == Unknown(reason="ACQ.CONTEXT_INCONSISTENT")
    merchant.pay(out_trade_no=order.out_trade_no)
    assert await pay.create(account, order) == Unknown(reason="ACQ.TRADE_HAS_SUCCESS")


@pytest.mark.parametrize(
    "changes",
    [{"amount_fen": 0}, {"payer": ""}, {"out_trade_no": "a b"}, {"instalments": 4}],
)
async def test_bad_parameters_are_refused_for_good(
    pay: Alipay, account: Account, merchant: AlipayMerchant, changes: dict[str, Any]
) -> None:
    outcome = await pay.create(account, _order(merchant, **changes))
    assert outcome == Rejected(code="ACQ.INVALID_PARAMETER", kind=Refusal.NEVER)


async def test_closing_is_repeatable_and_never_undoes_a_payment(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    order = _order(merchant)
    await _opened(pay, account, order)
    for _ in range(2):
        closed = await pay.close(account, out_trade_no=order.out_trade_no)
        assert closed == Accepted(value=None)
    assert (await _query(pay, account, order.out_trade_no)).state is TradeState.CLOSED
    paid = await _paid(pay, account, merchant)
    refused = await pay.close(account, out_trade_no=paid.out_trade_no)
    assert refused == Rejected(code="ACQ.TRADE_STATUS_ERROR", kind=Refusal.NEVER)
    assert await _query(pay, account, paid.out_trade_no) == paid


async def test_the_notice_of_a_close_is_not_money(
    pay: Alipay, account: Account, merchant: AlipayMerchant, server: MerchantServer
) -> None:
    order = _order(merchant)
    await _opened(pay, account, order)
    await pay.close(account, out_trade_no=order.out_trade_no)
    (heard,) = wait_for(lambda: server.got(merchant.notify_path))
    with pytest.raises(NoticeRefused, match="not_a_payment"):
        await pay.notice(account, heard.headers, heard.body)


@pytest.mark.parametrize(("periods", "fee_fen"), [(3, 72), (6, 153), (12, 243)])
async def test_instalments_reach_the_gateway(
    pay: Alipay, account: Account, merchant: AlipayMerchant, periods: int, fee_fen: int
) -> None:
    assert periods in pay.ability.instalments
    theirs = _order(merchant, instalments=periods, split=True)
    ours = replace(theirs, out_trade_no=_number(), fee_by_seller=True)
    for order in (theirs, ours):
        await _opened(pay, account, order)
        merchant.pay(out_trade_no=order.out_trade_no)
        shown = merchant.ask("alipay.trade.query", out_trade_no=order.out_trade_no)
        assert shown["fund_bill_list"] == [{"amount": "29.99", "fund_channel": "PCREDIT"}]
    bill = await pay.bill(account, kind=BillKind.TRADE, day=datetime.now(CHINA).date())
    assert isinstance(bill, Accepted)
    # 0.6 % in any case; the periods' own fee only where the payee bears it.
    assert [row.fee_fen for row in bill.value.trades] == [18, fee_fen]


async def test_a_refund_on_its_way_is_not_refunded(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    merchant.habits(refund_outcome="PROCESSING")
    number = (await _paid(pay, account, merchant)).out_trade_no
    asked = await pay.refund(account, **_refund(number, "R1"))
    assert isinstance(asked, Accepted)
    assert asked.value.state == "processing"
    names = {"out_trade_no": number, "out_refund_no": "R2"}
    nothing = Rejected(code="no_such_refund", kind=Refusal.NOT_FOUND)
    assert await pay.query_refund(account, **names) == nothing
    refused = await pay.refund(account, **_refund(number, "R1", 999))
    assert refused == Rejected(code="ACQ.DISCORDANT_REPEAT_REQUEST", kind=Refusal.NEVER)
    refused = await pay.refund(account, **_refund(number, "R2", 2999))
    assert refused == Rejected(code="ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", kind=Refusal.NEVER)


async def test_a_failed_refund_is_repeated_under_its_number(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    merchant.habits(refund_outcome="CLOSED")
    number = (await _paid(pay, account, merchant)).out_trade_no
    await pay.refund(account, **_refund(number, "R1"))
    found = await pay.query_refund(account, out_trade_no=number, out_refund_no="R1")
    assert found == Rejected(code="no_such_refund", kind=Refusal.NOT_FOUND)
    merchant.habits(refund_outcome="SUCCESS")
    again = await pay.refund(account, **_refund(number, "R1"))
    assert isinstance(again, Accepted)
    assert again.value.state == "success"
    assert merchant.oracle()["refunded_fen"] == 1000


async def test_a_refund_without_balance_is_asked_for_again(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    merchant.habits(seller_has_balance=False)
    number = (await _paid(pay, account, merchant)).out_trade_no
    refused = await pay.refund(account, **_refund(number, "R1"))
    assert refused == Rejected(code="ACQ.SELLER_BALANCE_NOT_ENOUGH", kind=Refusal.LATER)
    merchant.habits(seller_has_balance=None)
    assert isinstance(await pay.refund(account, **_refund(number, "R1")), Accepted)


async def test_a_payment_is_shared_out(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    paid = await _paid(pay, account, merchant)
    share = Share(receiver=RECEIVER, amount_fen=1000, description="配送")
    names = {"transaction_id": str(paid.transaction_id), "out_order_no": "S1"}
    refused = await pay.split(account, **names, shares=[share], finish=False)
    assert refused == Rejected(code="ACQ.ROYALTY_RECEIVER_INVALID", kind=Refusal.LATER)
    merchant.ask(
        "alipay.trade.royalty.relation.bind",
        receiver_list=[{"type": "userId", "account": RECEIVER}],
        out_request_no="b",
    )
    taken = await pay.split(account, **names, shares=[share], finish=False)
    assert isinstance(taken, Accepted)
    assert not taken.value.finished
    asked = {"out_request_no": "S1", "trade_no": paid.transaction_id}
    settled = "alipay.trade.order.settle.query"
    wait_for(lambda: merchant.ask(settled, **asked)["royalty_detail_list"][0]["state"] == "SUCCESS")
    found = await pay.query_split(account, **names)
    assert isinstance(found, Accepted)
    assert found.value.finished
    assert found.value.results == (
        ShareResult(receiver=RECEIVER, amount_fen=1000, state=ShareState.SUCCESS),
    )
    ended = {"transaction_id": names["transaction_id"], "out_order_no": "S2"}
    assert isinstance(await pay.unfreeze(account, **ended), Accepted)
    refused = await pay.split(
        account, **names | {"out_order_no": "S3"}, shares=[share], finish=True
    )
    assert refused == Rejected(code="ACQ.TRADE_SETTLE_ERROR", kind=Refusal.NEVER)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("drop_before", "RemoteProtocolError"),
        ("drop_after_commit", "RemoteProtocolError"),
        ("http_500", "http_500"),
        ("http_502", "http_502"),
        ("http_429", "isv.app-call-limited"),
        ("http_202", "aop.unknow-error"),
        ("system_error", "ACQ.SYSTEM_ERROR"),
        ("bad_signature", "bad_signature"),
    ],
)
async def test_every_doubt_is_unknown_in_every_call(
    *,
    pay: Alipay,
    account: Account,
    merchant: AlipayMerchant,
    sandbox: SandboxProcess,
    fault: str,
    reason: str,
) -> None:
    paid = (await _paid(pay, account, merchant)).out_trade_no
    fresh = _order(merchant)
    names = {"out_trade_no": paid, "out_refund_no": "R1"}
    calls: list[tuple[str, Callable[[], Awaitable[Outcome[Any]]]]] = [
        ("create", lambda: pay.create(account, fresh)),
        ("query", lambda: pay.query(account, out_trade_no=fresh.out_trade_no)),
        ("close", lambda: pay.close(account, out_trade_no=fresh.out_trade_no)),
        ("refund", lambda: pay.refund(account, **_refund(paid, "R1"))),
        ("refund_query", lambda: pay.query_refund(account, **names)),
    ]
    for operation, call in calls:
        sandbox.fault(operation, fault, mchid=account.seller_id)
        doubtful = await call()
        if isinstance(doubtful, Unknown) and doubtful.reason in {"ReadError", "WriteError"}:
            doubtful = Unknown(reason="RemoteProtocolError")  # A reset may be seen either way.
        assert doubtful == Unknown(reason=reason), operation
        assert isinstance(await call(), Accepted), operation
    assert merchant.oracle()["refunded_fen"] == 1000


async def test_a_late_answer_is_unknown(
    pay: Alipay,
    account: Account,
    merchant: AlipayMerchant,
    sandbox: SandboxProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_http, "TOTAL_TIMEOUT_SECONDS", 0.3)
    sandbox.fault("create", "delay", mchid=account.seller_id, delay_seconds=1.0)
    assert await pay.create(account, _order(merchant)) == Unknown(reason="timeout")


async def test_nobody_there_is_unknown(account: Account) -> None:
    (port,) = free_ports(1)
    async with httpx.AsyncClient(proxy=f"http://127.0.0.1:{port}", trust_env=False) as http:
        outcome = await Alipay(http).query(account, out_trade_no=_number())
    assert outcome == Unknown(reason="ConnectError")


async def test_the_wrong_key_and_the_wrong_time_are_refused(
    pay: Alipay, http: httpx.AsyncClient, account: Account, keys: Any
) -> None:
    stranger = replace(account, private_key=keys.account.private_key)
    refused = await pay.query(stranger, out_trade_no="T")
    assert refused == Rejected(code="isv.invalid-signature")
    late = Alipay(http, now=lambda: datetime.now(UTC) + timedelta(minutes=10))
    assert await late.query(account, out_trade_no="T") == Rejected(code="isv.invalid-timestamp")
    deaf = replace(account, alipay_public_key=keys.account.alipay_public_key)
    assert await pay.query(deaf, out_trade_no="T") == Unknown(reason="bad_signature")
