"""Alipay's trades: when they exist, who pays them, how they end, and what is told of it."""

from typing import Any

import pytest

from tests.sandbox.alipay import AlipayMerchant, china_now
from tests.sandbox.outside import MerchantServer, SandboxProcess, wait_for

CREATE, QUERY, CLOSE = "alipay.trade.create", "alipay.trade.query", "alipay.trade.close"


def _told(alipay: AlipayMerchant, server: MerchantServer, count: int = 1) -> list[dict[str, str]]:
    wait_for(lambda: server.got(alipay.notify_path)[count - 1 :])
    return [alipay.opened(received.body) for received in server.got(alipay.notify_path)]


def test_the_same_number_is_the_same_trade(alipay: AlipayMerchant) -> None:
    order = alipay.order(buyer_id="2088000000000001")
    first = alipay.ask(CREATE, **order)
    assert alipay.ask(CREATE, **order) == first
    other = alipay.ask(CREATE, **order | {"total_amount": "11.00"})
    assert other["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"
    alipay.pay(out_trade_no=order["out_trade_no"])
    assert alipay.ask(CREATE, **order)["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"
    (moved,) = alipay.oracle()["orders"]
    assert (moved["paid_fen"], moved["charges"], moved["trade_state"]) == (1000, 1, "SUCCESS")


@pytest.mark.parametrize(
    "changes",
    [
        {"buyer_id": None},
        {"total_amount": "0"},
        {"total_amount": "1.001"},
        {"out_trade_no": "a b"},
        {"subject": ""},
        {"time_expire": "2026-01-01 00:00:00"},
        {"extend_params": {"hb_fq_num": "4"}},
        {"extend_params": {"hb_fq_num": "3", "hb_fq_seller_percent": "50"}},
    ],
)
def test_wrong_parameters(alipay: AlipayMerchant, changes: dict[str, Any]) -> None:
    node = alipay.ask(CREATE, **alipay.order(buyer_id="2088000000000001") | changes)
    assert (node["code"], node["sub_code"]) == ("40004", "ACQ.INVALID_PARAMETER")


def test_a_code_is_no_trade_until_it_is_scanned(alipay: AlipayMerchant) -> None:
    order = alipay.order()
    number = {"out_trade_no": order["out_trade_no"]}
    code = alipay.ask("alipay.trade.precreate", **order)["qr_code"]
    for method in (QUERY, CLOSE):
        assert alipay.ask(method, **number)["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    looked = alipay.pay(qr_code=code, outcome="fail")
    assert looked["trade_status"] == "WAIT_BUYER_PAY"
    assert alipay.ask(QUERY, **number)["trade_status"] == "WAIT_BUYER_PAY"
    assert alipay.pay(qr_code=code)["trade_status"] == "TRADE_SUCCESS"
    assert alipay.pay(409, qr_code=code)["reason"] == "already_paid"


@pytest.mark.parametrize("method", ["alipay.trade.wap.pay", "alipay.trade.page.pay"])
def test_a_page_makes_the_trade(alipay: AlipayMerchant, method: str) -> None:
    order = alipay.order(subject="<b>外卖</b>")
    url = alipay.url(method, order)
    assert alipay.pay(409, url=url)["reason"] == "unknown_order"
    shown = alipay.http.get(url)
    assert "¥10.00" in shown.text
    assert "<b>外卖" not in shown.text
    assert alipay.http.get(url).text == shown.text
    assert alipay.pay(url=url)["trade_status"] == "TRADE_SUCCESS"
    assert "ACQ.TRADE_HAS_SUCCESS" in alipay.http.get(url).text
    assert "error_response" in alipay.http.get(url.replace("10.00", "0.01")).text


def test_close_and_cancel(alipay: AlipayMerchant, server: MerchantServer) -> None:
    unpaid, paid = alipay.made(), alipay.paid()
    assert alipay.ask(CLOSE, out_trade_no=unpaid)["code"] == "10000"
    assert alipay.ask(CLOSE, out_trade_no=unpaid)["sub_code"] == "ACQ.TRADE_HAS_CLOSE"
    assert alipay.ask(CLOSE, out_trade_no=paid)["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    assert alipay.pay(409, out_trade_no=unpaid)["reason"] == "order_closed"
    assert alipay.ask("alipay.trade.cancel", out_trade_no=paid)["action"] == "refund"
    assert alipay.ask("alipay.trade.cancel", out_trade_no="none")["retry_flag"] == "N"
    (closed, open_) = alipay.oracle()["orders"]
    assert (closed["trade_state"], open_["refunded_fen"]) == ("CLOSED", 1000)
    told = {(n["out_trade_no"], n["trade_status"]): n for n in _told(alipay, server, 3)}
    assert "gmt_close" in told[unpaid, "TRADE_CLOSED"]
    assert "gmt_payment" not in told[unpaid, "TRADE_CLOSED"]
    assert told[paid, "TRADE_CLOSED"]["refund_fee"] == "10.00"


def test_a_cancelled_code_cannot_be_paid(alipay: AlipayMerchant) -> None:
    order = alipay.order()
    code = alipay.ask("alipay.trade.precreate", **order)["qr_code"]
    cancelled = alipay.ask("alipay.trade.cancel", out_trade_no=order["out_trade_no"])
    assert cancelled["action"] == "close"
    assert alipay.pay(409, qr_code=code)["reason"] == "order_closed"


def test_a_trade_expires_and_says_so(alipay: AlipayMerchant, server: MerchantServer) -> None:
    out_trade_no = alipay.made(time_expire=china_now(3))
    (told,) = _told(alipay, server)
    assert (told["out_trade_no"], told["trade_status"]) == (out_trade_no, "TRADE_CLOSED")
    assert alipay.pay(409, out_trade_no=out_trade_no)["reason"] == "order_closed"
    late = alipay.pay(out_trade_no=out_trade_no, cleared_late=True)
    assert late["trade_status"] == "TRADE_SUCCESS"


def test_somebody_else_and_another_amount(alipay: AlipayMerchant) -> None:
    out_trade_no = alipay.made()
    other = {"out_trade_no": out_trade_no, "buyer_id": "2088000000000009"}
    assert alipay.pay(409, **other)["reason"] == "other_payer"
    alipay.pay(out_trade_no=out_trade_no, amount_fen=999)
    assert alipay.ask(QUERY, out_trade_no=out_trade_no)["total_amount"] == "9.99"


def test_what_was_answered_outlives_a_crash(
    alipay: AlipayMerchant, sandbox: SandboxProcess
) -> None:
    out_trade_no = alipay.paid()
    before = alipay.ask(QUERY, out_trade_no=out_trade_no)
    sandbox.kill()
    sandbox.start()
    assert alipay.ask(QUERY, out_trade_no=out_trade_no) == before
