"""Combined orders: paid, told and closed as one, refunded one by one."""

import json
import secrets
from typing import Any

import pytest

from tests.sandbox.outside import (
    PUBLIC_NAME,
    MerchantServer,
    SandboxProcess,
    TestMerchant,
    wait_for,
)

PATH = "/v3/combine-transactions"


@pytest.fixture
def shops(sandbox: SandboxProcess, merchant: TestMerchant) -> list[str]:
    """Two merchants of the service provider."""
    return [sandbox.call("POST", "/merchants", sp_mchid=merchant.mchid)["mchid"] for _ in range(2)]


def _cart(merchant: TestMerchant, shops: list[str]) -> dict[str, Any]:
    return {
        "combine_appid": merchant.keys["appid"],
        "combine_mchid": merchant.mchid,
        "combine_out_trade_no": f"cart-{secrets.token_hex(6)}",
        "notify_url": f"https://{PUBLIC_NAME}{merchant.notify_path}",
        "combine_payer_info": {"openid": "o-customer"},
        "sub_orders": [
            {
                "mchid": merchant.mchid,
                "sub_mchid": shop,
                "attach": "店",
                "amount": {"total_amount": 1000 + line, "currency": "CNY"},
                "out_trade_no": secrets.token_hex(8),
                "description": "外卖",
            }
            for line, shop in enumerate(shops)
        ],
    }


def test_a_cart_is_paid_at_once_and_told_once(
    sandbox: SandboxProcess, merchant: TestMerchant, server: MerchantServer, shops: list[str]
) -> None:
    cart = _cart(merchant, shops)
    number = cart["combine_out_trade_no"]
    created = merchant.request("POST", f"{PATH}/jsapi", cart).json()
    assert merchant.request("POST", f"{PATH}/jsapi", cart).json() == created
    other = merchant.request(
        "POST", f"{PATH}/jsapi", {**cart, "sub_orders": cart["sub_orders"][::-1]}
    )
    assert (other.status_code, other.json()["code"]) == (403, "OUT_TRADE_NO_USED")
    unpaid = merchant.request("GET", f"{PATH}/out-trade-no/{number}").json()
    assert [order["trade_state"] for order in unpaid["sub_orders"]] == ["NOTPAY", "NOTPAY"]

    parameters = merchant.pay_parameters(created["prepay_id"])
    assert sandbox.pay(parameters=parameters, openid="o-customer")["trade_state"] == "SUCCESS"
    (received,) = wait_for(lambda: server.got(merchant.notify_path))
    told = merchant.open_resource(received)
    assert told == merchant.request("GET", f"{PATH}/out-trade-no/{number}").json()
    assert told["combine_payer_info"] == {"openid": "o-customer"}
    assert [
        (order["sub_mchid"], order["trade_state"], order["amount"]["payer_amount"])
        for order in told["sub_orders"]
    ] == [(shops[0], "SUCCESS", 1000), (shops[1], "SUCCESS", 1001)]
    assert sandbox.pay(409, parameters=parameters)["reason"] == "already_paid"

    refund = {
        "sub_mchid": shops[1],
        "out_trade_no": cart["sub_orders"][1]["out_trade_no"],
        "out_refund_no": secrets.token_hex(8),
        "amount": {"refund": 1001, "total": 1001, "currency": "CNY"},
    }
    assert merchant.request("POST", "/v3/refund/domestic/refunds", refund).status_code == 200
    after = merchant.request("GET", f"{PATH}/out-trade-no/{number}").json()
    assert [order["trade_state"] for order in after["sub_orders"]] == ["SUCCESS", "REFUND"]


def test_a_cart_is_closed_as_one(
    sandbox: SandboxProcess, merchant: TestMerchant, shops: list[str]
) -> None:
    cart = _cart(merchant, shops)
    path = f"{PATH}/out-trade-no/{cart['combine_out_trade_no']}/close"
    url = merchant.request("POST", f"{PATH}/native", cart).json()["code_url"]
    names = ("mchid", "sub_mchid", "out_trade_no")
    parts = [{name: order[name] for name in names} for order in cart["sub_orders"]]
    body = {"combine_appid": merchant.keys["appid"], "sub_orders": parts}
    half = merchant.request("POST", path, {**body, "sub_orders": parts[:1]})
    assert (half.status_code, half.json()["code"]) == (400, "PARAM_ERROR")
    assert merchant.request("POST", path, body).status_code == 204
    assert sandbox.pay(409, code_url=url)["reason"] == "order_closed"
    again = merchant.request("POST", f"{PATH}/native", cart).json()
    assert again["code"] == "ORDER_CLOSED"


def test_none_is_placed_when_one_can_not_be(
    sandbox: SandboxProcess, merchant: TestMerchant, shops: list[str]
) -> None:
    cart = _cart(merchant, shops)
    cart["sub_orders"][1]["sub_mchid"] = sandbox.call("POST", "/merchants")["mchid"]
    refused = merchant.request("POST", f"{PATH}/native", cart)
    assert (refused.status_code, refused.json()["code"]) == (403, "NO_AUTH")
    cart["sub_orders"][1] = cart["sub_orders"][0]
    refused = merchant.request("POST", f"{PATH}/native", cart)
    assert refused.json()["code"] == "OUT_TRADE_NO_USED"
    missing = f"{PATH}/out-trade-no/{cart['combine_out_trade_no']}"
    assert merchant.request("GET", missing).json()["code"] == "ORDER_NOT_EXIST"
    assert sandbox.oracle(mchid=shops[0])["orders"] == []


def test_an_echo_can_be_opened(
    sandbox: SandboxProcess, merchant: TestMerchant, server: MerchantServer
) -> None:
    url = f"https://{PUBLIC_NAME}{merchant.notify_path}"
    sandbox.call("POST", "/notifications/echo", mchid=merchant.mchid, notify_url=url)
    (received,) = wait_for(lambda: server.got(merchant.notify_path))
    assert received.event["event_type"] == "SECURITY_ECHO.SUCCESS"
    assert merchant.open_resource(received) == {"mchid": merchant.mchid}
    assert json.loads(received.body)["resource"]["original_type"] == "security_echo"
