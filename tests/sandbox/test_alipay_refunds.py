"""Alipay's refunds: once per number, what the answer says, and how they end."""

import pytest

from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import MerchantServer, SandboxProcess, wait_for

REFUND_QUERY = "alipay.trade.fastpay.refund.query"


def _query(alipay: AlipayMerchant, out_trade_no: str, number: str) -> dict[str, str]:
    found: dict[str, str] = alipay.ask(
        REFUND_QUERY, out_trade_no=out_trade_no, out_request_no=number
    )
    assert found["code"] == "10000"
    return found


def test_partial_refunds_add_up_and_close_the_trade(
    alipay: AlipayMerchant, server: MerchantServer
) -> None:
    alipay.habits(speed=1000)
    paid = alipay.paid()
    first = alipay.refund(paid, "4.00", "r1")
    assert (first["fund_change"], first["refund_fee"]) == ("Y", "4.00")
    again = alipay.refund(paid, "4.00", "r1")
    assert (again["fund_change"], again["refund_fee"]) == ("N", "4.00")
    assert alipay.refund(paid, "4.01", "r1")["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert alipay.refund(paid, "6.01", "r2")["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    assert alipay.refund(paid, "6.00", "r2")["refund_fee"] == "10.00"
    found = alipay.ask("alipay.trade.query", out_trade_no=paid)
    assert found["trade_status"] == "TRADE_CLOSED"
    assert "send_pay_date" in found
    (order,) = alipay.oracle()["orders"]
    assert (order["refunded_fen"], order["trade_state"]) == (1000, "REFUND")
    wait_for(lambda: len(server.got(alipay.notify_path)) == 3)
    told = [alipay.opened(received.body) for received in server.got(alipay.notify_path)]
    refunds = {n["out_biz_no"]: n for n in told if "out_biz_no" in n}
    assert (refunds["r1"]["trade_status"], refunds["r1"]["refund_fee"]) == ("TRADE_SUCCESS", "4.00")
    assert (refunds["r2"]["trade_status"], refunds["r2"]["refund_fee"]) == ("TRADE_CLOSED", "10.00")
    assert all("gmt_refund" in n and "gmt_payment" in n for n in refunds.values())


def test_refunds_of_one_trade_keep_three_seconds_apart(alipay: AlipayMerchant) -> None:
    alipay.habits(speed=1)
    paid, other = alipay.paid(), alipay.paid()
    assert alipay.refund(paid, "1.00", "r1")["fund_change"] == "Y"
    assert alipay.refund(paid, "1.00", "r2")["sub_code"] == "ACQ.SYSTEM_ERROR"
    assert alipay.refund(other, "1.00", "r1")["fund_change"] == "Y"
    assert "refund_status" not in _query(alipay, paid, "r2")
    alipay.habits(speed=1e6)
    assert alipay.refund(paid, "1.00", "r2")["fund_change"] == "Y"


def test_a_slow_refund_is_found_by_a_query(alipay: AlipayMerchant) -> None:
    alipay.habits(refund_seconds=30)
    paid = alipay.paid()
    assert alipay.refund(paid, "10.00", "r1")["fund_change"] == "N"
    pending = _query(alipay, paid, "r1")
    assert (pending["refund_amount"], pending.get("refund_status")) == ("10.00", None)
    assert alipay.oracle()["orders"][0]["refunding_fen"] == 1000
    wait_for(lambda: _query(alipay, paid, "r1").get("refund_status") == "REFUND_SUCCESS")


def test_a_failed_refund_is_as_if_never_asked_for(alipay: AlipayMerchant) -> None:
    alipay.habits(refund_outcome="CLOSED")
    paid = alipay.paid()
    assert alipay.refund(paid, "10.00", "r1")["fund_change"] == "N"
    assert "refund_amount" not in _query(alipay, paid, "r1")
    alipay.habits(refund_outcome="SUCCESS")
    assert alipay.refund(paid, "10.00", "r1")["fund_change"] == "Y"
    assert alipay.oracle()["refunded_fen"] == 1000


def test_a_refund_needs_a_payment_and_a_number_unless_whole(alipay: AlipayMerchant) -> None:
    unpaid, paid = alipay.made(), alipay.paid()
    assert alipay.refund("none", "1.00", "r")["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert alipay.refund(unpaid, "1.00", "r")["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    partial = alipay.ask("alipay.trade.refund", out_trade_no=paid, refund_amount="1.00")
    assert partial["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    whole = alipay.ask("alipay.trade.refund", out_trade_no=paid, refund_amount="10.00")
    assert whole["fund_change"] == "Y"


@pytest.mark.parametrize(("fault", "happened"), [("system_error", 1000), ("http_429", 0)])
def test_a_doubtful_refund_happens_once(
    alipay: AlipayMerchant, sandbox: SandboxProcess, fault: str, happened: int
) -> None:
    paid = alipay.paid()
    sandbox.fault("refund", fault, out_trade_no=paid, out_refund_no="r1")
    assert alipay.refund(paid, "10.00", "r1")["code"] != "10000"
    assert alipay.oracle()["refunded_fen"] == happened
    assert alipay.refund(paid, "10.00", "r1")["refund_fee"] == "10.00"
    assert alipay.oracle()["refunded_fen"] == 1000
