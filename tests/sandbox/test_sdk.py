"""Unmodified `wechatpayv3` against the sandbox, through the proxy, in both key modes."""

import json
from collections.abc import Callable

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType

from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess, wait_for

MakeSdk = Callable[[bool], WeChatPay]


@pytest.fixture
def make_sdk(sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch) -> MakeSdk:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(sandbox.home / "ca.pem"))

    def make(has_certificates: bool) -> WeChatPay:  # noqa: FBT001
        keys = sandbox.call("POST", "/merchants", certificates=has_certificates)
        public = {k: keys[k] for k in ("public_key_id",)} | {"public_key": keys["public_key_pem"]}
        return WeChatPay(
            wechatpay_type=WeChatPayType.JSAPI,
            mchid=keys["mchid"],
            private_key=keys["private_key_pem"],
            cert_serial_no=keys["serial_no"],
            appid=keys["appid"],
            apiv3_key=keys["apiv3_key"],
            notify_url=f"https://{PUBLIC_NAME}/sdk/{keys['mchid']}",
            proxy={"https": sandbox.proxy},
            **({} if has_certificates else public),
        )

    return make


@pytest.mark.parametrize("has_certificates", [True, False], ids=["certificate", "public-key"])
def test_the_sdk_tells_a_whole_story(
    make_sdk: MakeSdk, sandbox: SandboxProcess, server: MerchantServer, *, has_certificates: bool
) -> None:
    sdk = make_sdk(has_certificates)
    mchid, appid = sdk._mchid, sdk._appid
    unpaid, paid = f"sdk-{mchid}-1", f"sdk-{mchid}-2"

    status, body = sdk.pay("外卖", unpaid, {"total": 5}, {"openid": "o-1"})
    assert status == 200, body
    assert sdk.close(unpaid) == (204, b"")
    assert json.loads(sdk.query(out_trade_no=unpaid)[1])["trade_state"] == "CLOSED"

    _, body = sdk.pay("外卖", paid, {"total": 1250}, {"openid": "o-1"})
    package = f"prepay_id={json.loads(body)['prepay_id']}"
    pay_sign = sdk.sign([appid, "1700000000", "nonce", package])
    parameters = {
        "appId": appid,
        "timeStamp": "1700000000",
        "nonceStr": "nonce",
        "package": package,
        "signType": "RSA",
        "paySign": pay_sign,
    }
    answer = sandbox.pay(parameters=parameters, openid="o-1")
    found = json.loads(sdk.query(transaction_id=answer["transaction_id"])[1])
    assert (found["trade_state"], found["amount"]["payer_total"]) == ("SUCCESS", 1250)

    path = f"/sdk/{mchid}"
    (received,) = wait_for(lambda: server.got(path))
    event = sdk.callback(received.headers, received.body)
    assert event["event_type"] == "TRANSACTION.SUCCESS"
    assert event["resource"] == found
    forged = received.body.replace(b"TRANSACTION", b"TRANSACTIOM")
    assert sdk.callback(received.headers, forged) is None

    amount = {"refund": 250, "total": 1250, "currency": "CNY"}
    status, body = sdk.refund(f"r-{paid}", amount, out_trade_no=paid)
    assert (status, json.loads(body)["status"]) == (200, "PROCESSING")
    refunded = wait_for(lambda: server.got(path)[1:])[0]
    resource = sdk.callback(refunded.headers, refunded.body)["resource"]
    assert (resource["refund_status"], resource["amount"]["refund"]) == ("SUCCESS", 250)
    assert json.loads(sdk.query_refund(f"r-{paid}")[1])["status"] == "SUCCESS"
    (order,) = sandbox.oracle(mchid=mchid, out_trade_no=paid)["orders"]
    assert (order["paid_fen"], order["refunded_fen"], order["charges"]) == (1250, 250, 1)


def test_the_sdk_needs_the_public_key_where_there_are_no_certificates(
    make_sdk: MakeSdk, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sdk(True)
    made = sandbox.call("POST", "/merchants", certificates=False)
    again = sandbox.call("POST", "/merchants", mchid=made["mchid"])
    assert again == made, "seeding again finds the same keys"
    monkeypatch.setattr(sandbox, "call", lambda *_, **__: made)
    with pytest.raises(Exception, match="No wechatpay platform certificate"):
        make_sdk(True)
