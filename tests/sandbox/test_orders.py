"""Placing, paying and closing orders (payments.md §1.6 to §1.8)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.sandbox.outside import SandboxProcess, TestMerchant


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_the_same_number_needs_the_same_parameters(merchant: TestMerchant) -> None:
    order = merchant.order()
    first = merchant.create(order)
    assert first.status_code == 200
    reordered = dict(reversed(order.items()))
    assert merchant.create(reordered).json() == first.json()
    changed = order | {"amount": {"total": 1001, "currency": "CNY"}}
    assert _code(merchant.create(changed)) == (403, "OUT_TRADE_NO_USED")
    assert _code(merchant.create(order, "native")) == (403, "OUT_TRADE_NO_USED")


def test_a_native_order_placed_again_kills_the_old_code(
    merchant: TestMerchant, sandbox: SandboxProcess
) -> None:
    order = merchant.order()
    old, new = (merchant.create(order, "native").json()["code_url"] for _ in range(2))
    assert sandbox.pay(409, code_url=old)["reason"] == "unknown_order"
    assert sandbox.pay(code_url=new)["trade_state"] == "SUCCESS"
    found = merchant.query(order["out_trade_no"]).json()
    assert (found["trade_type"], found["amount"]["total"]) == ("NATIVE", 1000)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"amount": {"total": 0}}, "/amount/total"),
        ({"amount": {"total": "10"}}, "/amount/total"),
        ({"amount": {"total": 1.5}}, "/amount/total"),
        ({"amount": {"total": 1, "currency": "USD"}}, "/amount/currency"),
        ({"out_trade_no": "short"}, "/out_trade_no"),
        ({"out_trade_no": "x" * 33}, "/out_trade_no"),
        ({"out_trade_no": "with space"}, "/out_trade_no"),
        ({"description": "字" * 128}, "/description"),
        ({"attach": "a" * 129}, "/attach"),
        ({"payer": {}}, "/payer/openid"),
        ({"payer": None}, "/payer/openid"),
        ({"time_expire": "2030-01-01"}, "/time_expire"),
        ({"time_expire": "2030-01-01T00:00:00"}, "/time_expire"),
        ({"time_expire": "2020-01-01T00:00:00+08:00"}, "/time_expire"),
        ({"notify_url": "http://pay.paotui.example/n"}, "/notify_url"),
        ({"notify_url": "https://pay.paotui.example/n?a=1"}, "/notify_url"),
        ({"notify_url": "https://user@pay.paotui.example/n"}, "/notify_url"),
        ({"notify_url": "https://localhost/n"}, "/notify_url"),
        ({"notify_url": "https://api/n"}, "/notify_url"),
        ({"notify_url": "https://printer.local/n"}, "/notify_url"),
        ({"notify_url": "https://127.0.0.1/n"}, "/notify_url"),
        ({"notify_url": "https://10.1.2.3:8443/n"}, "/notify_url"),
        ({"notify_url": "https://[::1]/n"}, "/notify_url"),
        ({"notify_url": "https://pay.paotui.example/" + "n" * 255}, "/notify_url"),
    ],
)
def test_broken_parameters_are_pointed_at(
    merchant: TestMerchant, changes: dict[str, Any], pointer: str
) -> None:
    answer = merchant.create(merchant.order(**changes))
    assert _code(answer) == (400, "PARAM_ERROR")
    detail = answer.json()["detail"]
    assert (detail["field"], detail["location"]) == (pointer, "body")
    assert "value" in detail
    assert detail["issue"]


def test_whose_order_it_is(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    other = TestMerchant(sandbox)
    order = merchant.order()
    assert merchant.create(order).status_code == 200
    assert _code(other.query(order["out_trade_no"])) == (404, "ORDER_NOT_EXIST")
    assert _code(other.close(order["out_trade_no"])) == (404, "ORDER_NOT_EXIST")
    foreign = f"/v3/pay/transactions/out-trade-no/{order['out_trade_no']}?mchid={merchant.mchid}"
    assert _code(other.request("GET", foreign)) == (403, "NO_AUTH")
    assert _code(other.request("GET", foreign.partition("?")[0])) == (400, "PARAM_ERROR")
    assert _code(other.create(merchant.order())) == (403, "NO_AUTH")
    wrong_app = merchant.order(appid="wx0000000000000000")
    assert _code(merchant.create(wrong_app)) == (400, "APPID_MCHID_NOT_MATCH")
    other.http.close()


def test_closing(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    order = merchant.order()
    prepay_id = merchant.create(order).json()["prepay_id"]
    for _ in range(2):
        assert merchant.close(order["out_trade_no"]).status_code == 204
    assert merchant.query(order["out_trade_no"]).json()["trade_state"] == "CLOSED"
    assert _code(merchant.create(order)) == (400, "ORDER_CLOSED")
    refused = sandbox.pay(409, parameters=merchant.pay_parameters(prepay_id))
    assert refused == {"reason": "order_closed", "trade_state": "CLOSED"}
    paid = merchant.paid_order()
    assert _code(merchant.close(paid)) == (400, "ORDERPAID")
    assert merchant.query(paid).json()["trade_state"] == "SUCCESS"


def test_what_the_cashier_refuses(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    order = merchant.order()
    prepay_id = merchant.create(order).json()["prepay_id"]
    right = merchant.pay_parameters(prepay_id)
    for change in ({"nonceStr": "m"}, {"signType": "MD5"}, {"paySign": "AAAA"}):
        refused = sandbox.pay(409, parameters=right | change)
        assert refused == {"reason": "bad_pay_sign", "trade_state": "NOTPAY"}
    stolen = merchant.pay_parameters("wx-none-such")
    assert sandbox.pay(409, parameters=stolen)["reason"] == "unknown_order"
    assert sandbox.pay(409, parameters=right, openid="o-2")["reason"] == "other_payer"
    failed = sandbox.pay(parameters=right, outcome="fail")
    assert failed == {"trade_state": "NOTPAY", "transaction_id": None}
    assert sandbox.pay(parameters=right, openid="o-customer")["trade_state"] == "SUCCESS"
    assert sandbox.pay(409, parameters=right)["reason"] == "already_paid"
    assert _code(merchant.create(order)) == (400, "ORDERPAID")


def test_time_expire_is_kept_to_the_second(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    expiry = (datetime.now(UTC) + timedelta(seconds=2)).isoformat(timespec="seconds")
    order = merchant.order(time_expire=expiry)
    prepay_id = merchant.create(order).json()["prepay_id"]
    # 150 seconds at 60 times life are 2.5 seconds: past the deadline, which no speed moves.
    refused = sandbox.pay(409, parameters=merchant.pay_parameters(prepay_id), delay_seconds=150)
    assert refused == {"reason": "order_expired", "trade_state": "NOTPAY"}
    assert merchant.close(order["out_trade_no"]).status_code == 204


def test_money_is_taken_once(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    order = merchant.order()
    assert merchant.create(order).status_code == 200
    wish = {"mchid": merchant.mchid, "out_trade_no": order["out_trade_no"]}
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: sandbox.control.post("/control/pay", json=wish), range(16))
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15
    moved = sandbox.oracle(mchid=merchant.mchid)
    assert (moved["paid_fen"], moved["orders"][0]["charges"]) == (1000, 1)


def test_a_gateway_that_took_another_amount(
    merchant: TestMerchant, sandbox: SandboxProcess
) -> None:
    order = merchant.order("mistaken-amount")
    assert merchant.create(order).status_code == 200
    sandbox.pay(mchid=merchant.mchid, out_trade_no="mistaken-amount", amount_fen=900)
    assert merchant.query("mistaken-amount").json()["amount"]["total"] == 900
    (seen,) = sandbox.oracle(mchid=merchant.mchid, prefix="mistaken-")["orders"]
    assert (seen["amount_fen"], seen["paid_fen"]) == (1000, 900)
    assert sandbox.oracle(mchid=merchant.mchid, prefix="other-")["orders"] == []


@pytest.mark.parametrize(
    "body", [b"[1]", b"{", b"[" * 50_000, b'{"appid": "\\ud800", "mchid": ["x"]}', b"\xff"]
)
def test_bodies_that_are_no_order(
    merchant: TestMerchant, sandbox: SandboxProcess, body: bytes
) -> None:
    sandbox.fault("create", "http_500", mchid=merchant.mchid, out_trade_no="another")
    assert _code(merchant.send("POST", "/v3/pay/transactions/jsapi", body)) == (400, "PARAM_ERROR")


def test_a_huge_body_is_refused(merchant: TestMerchant) -> None:
    huge = merchant.order(detail="x" * 70_000)
    assert _code(merchant.create(huge)) == (400, "PARAM_ERROR")
