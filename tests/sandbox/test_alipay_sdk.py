"""Unmodified `python-alipay-sdk` against the sandbox, through the proxy."""

import time
from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest
from alipay import AliPay
from alipay.exceptions import AliPayException

from tests.sandbox.alipay import AlipayMerchant, china_now
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess, wait_for


@pytest.fixture
def sdk(
    alipay: AlipayMerchant, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> Iterator[AliPay]:
    monkeypatch.setenv("SSL_CERT_FILE", str(sandbox.home / "ca.pem"))
    monkeypatch.setenv("HTTPS_PROXY", sandbox.proxy)
    # It stamps local time, which Alipay reads as China's.
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield AliPay(
        appid=alipay.keys["app_id"],
        app_notify_url=f"https://{PUBLIC_NAME}{alipay.notify_path}",
        app_private_key_string=alipay.keys["private_key_pem"],
        alipay_public_key_string=alipay.keys["alipay_public_key_pem"],
    )
    monkeypatch.undo()
    time.tzset()


def test_the_sdk_tells_a_whole_story(
    sdk: AliPay, alipay: AlipayMerchant, server: MerchantServer
) -> None:
    unpaid, paid = f"u{alipay.seller_id}", f"p{alipay.seller_id}"
    made = sdk.api_alipay_trade_create("外卖", unpaid, "0.05", buyer_id="2088000000000001")
    assert made["code"] == "10000"
    assert sdk.api_alipay_trade_close(out_trade_no=unpaid)["code"] == "10000"
    assert sdk.api_alipay_trade_query(out_trade_no=unpaid)["trade_status"] == "TRADE_CLOSED"

    code = sdk.api_alipay_trade_precreate("外卖", paid, "12.50")["qr_code"]
    answer = alipay.pay(qr_code=code)
    found = sdk.api_alipay_trade_query(trade_no=answer["trade_no"])
    assert (found["trade_status"], found["total_amount"]) == ("TRADE_SUCCESS", "12.50")

    refunded = sdk.api_alipay_trade_refund("2.50", out_trade_no=paid, out_request_no="r1")
    assert (refunded["fund_change"], refunded["refund_fee"]) == ("Y", "2.50")
    asked = sdk.api_alipay_trade_fastpay_refund_query("r1", out_trade_no=paid)
    assert asked["refund_status"] == "REFUND_SUCCESS"

    alipay.habits(early_bills=True)
    bill = sdk.server_api(
        "alipay.data.dataservice.bill.downloadurl.query",
        {"bill_type": "trade", "bill_date": china_now()[:10]},
    )
    assert alipay.http.get(bill["bill_download_url"]).content.startswith(b"PK")

    wait_for(lambda: len(server.got(alipay.notify_path)) == 3)
    for received in server.got(alipay.notify_path):
        fields = alipay.opened(received.body)
        # The SDK wants the signature apart and takes sign_type out by itself.
        signature = _raw(received.body)["sign"]
        assert sdk.verify(fields | {"sign_type": "RSA2"}, signature)
        assert not sdk.verify(fields | {"total_amount": "99.99"}, signature)


def test_the_sdk_opens_a_page(sdk: AliPay, alipay: AlipayMerchant) -> None:
    query = sdk.api_alipay_trade_wap_pay("外卖", "page_1", "12.50")
    url = f"https://openapi.alipay.com/gateway.do?{query}"
    assert "¥12.50" in alipay.http.get(url).text
    assert alipay.pay(url=url)["trade_status"] == "TRADE_SUCCESS"


def test_the_sdk_is_refused_with_another_key(sdk: AliPay, sandbox: SandboxProcess) -> None:
    other = AlipayMerchant(sandbox)
    stranger = AliPay(
        appid=sdk.appid,
        app_private_key_string=other.keys["private_key_pem"],
        alipay_public_key_string=other.keys["alipay_public_key_pem"],
    )
    other.http.close()
    with pytest.raises(AliPayException, match=r"isv\.invalid-signature"):
        stranger.api_alipay_trade_query(out_trade_no="x")


def _raw(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode()))
