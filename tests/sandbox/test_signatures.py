"""Who is let in, and how answers are signed (payments.md §1.2, §1.3)."""

from pathlib import Path

import httpx
import pytest
from cryptography import x509

from tests.sandbox.outside import SandboxProcess, TestMerchant


def _is_refused(answer: httpx.Response, words: str) -> bool:
    assert answer.status_code == 401
    assert answer.json()["code"] == "SIGN_ERROR"
    assert not [name for name in answer.headers if name.lower().startswith("wechatpay")]
    assert answer.headers["Request-ID"]
    return words in answer.json()["message"]


def test_fields_come_in_any_order(merchant: TestMerchant) -> None:
    target = f"/v3/pay/transactions/out-trade-no/none-such?mchid={merchant.mchid}"
    fields = merchant.authorization("GET", target, b"")
    backwards = dict(reversed(fields.items()))
    assert merchant.request("GET", target, fields=backwards).status_code == 404


def test_the_bytes_on_the_wire_are_what_is_signed(merchant: TestMerchant) -> None:
    target = f"/v3/pay/transactions/out-trade-no/with%7Cbar?mchid={merchant.mchid}"
    assert merchant.request("GET", target).status_code == 404
    unescaped = merchant.authorization("GET", target.replace("%7C", "|"), b"")
    assert _is_refused(merchant.request("GET", target, fields=unescaped), "验签失败")


def test_refusals_are_told_apart(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    target = f"/v3/pay/transactions/out-trade-no/none-such?mchid={merchant.mchid}"
    right = merchant.authorization("GET", target, b"")
    other = TestMerchant(sandbox)
    stolen = other.authorization("GET", target, b"") | {
        "mchid": merchant.mchid,
        "serial_no": merchant.keys["serial_no"],
    }
    other.http.close()
    too_old = merchant.authorization("GET", target, b"", skew=-301) | {"signature": "wrong"}
    cases = [
        (right | {"signature": "AAAA"}, "验签失败"),
        (right | {"signature": "not base64!"}, "验签失败"),
        (stolen, "验签失败"),
        (right | {"serial_no": "7" * 40}, "序列号"),
        (right | {"mchid": "1999999999"}, "序列号"),
        (too_old, "5分钟"),
        (merchant.authorization("GET", target, b"", skew=310), "5分钟"),
        (right | {"extra": "field"}, "格式错误"),
        ({k: v for k, v in right.items() if k != "nonce_str"}, "格式错误"),
        (right | {"timestamp": "soon"}, "格式错误"),
        (right | {"timestamp": "1" * 5000}, "格式错误"),
    ]
    for fields, words in cases:
        assert _is_refused(merchant.request("GET", target, fields=fields), words), words
    changed = merchant.authorization("POST", "/v3/pay/transactions/jsapi", b"{}")
    answer = merchant.request("POST", "/v3/pay/transactions/jsapi", {"a": 1}, fields=changed)
    assert _is_refused(answer, "验签失败")


@pytest.mark.parametrize("missing", ["User-Agent", "Accept"])
def test_missing_headers_matter_on_certificates_and_refunds(
    merchant: TestMerchant, missing: str
) -> None:
    headers = {"User-Agent": "x", "Accept": "application/json"}
    del headers[missing]
    for target in ("/v3/certificates", "/v3/refund/domestic/refunds/none"):
        answer = merchant.request("GET", target, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")
    target = f"/v3/pay/transactions/out-trade-no/none-such?mchid={merchant.mchid}"
    assert merchant.request("GET", target, headers=headers).status_code == 404


def test_the_client_picks_the_key_and_204_is_signed(merchant: TestMerchant) -> None:
    order = merchant.order()
    assert len(merchant.create(order).headers["Wechatpay-Serial"]) == 40
    target = f"/v3/pay/transactions/out-trade-no/{order['out_trade_no']}/close"
    headers = {"User-Agent": "x", "Accept": "application/json"}
    wanted = headers | {"Wechatpay-Serial": merchant.keys["public_key_id"]}
    closed = merchant.request("POST", target, {"mchid": merchant.mchid}, headers=wanted)
    assert (closed.status_code, closed.content) == (204, b"")
    assert merchant.is_signed_by_public_key(closed.headers, b"")
    unknown = headers | {"Wechatpay-Serial": "PUB_KEY_ID_1"}
    answer = merchant.request("POST", target, {"mchid": merchant.mchid}, headers=unknown)
    assert answer.json()["code"] == "PARAM_ERROR"


def test_unknown_ways_and_names(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    for method, target, status in (
        ("GET", "/v3/nowhere", 404),
        ("GET", "/v3/pay/transactions/jsapi", 405),
        ("HEAD", "/v3/certificates", 405),
    ):
        answer = merchant.request(method, target)
        assert (answer.status_code, answer.content) == (status, b"")
    with pytest.raises(httpx.ProxyError, match="403"):
        merchant.http.get("https://openapi.example.com/")
    refused = httpx.get(sandbox.proxy, trust_env=False)
    assert refused.status_code == 405


def test_keys_have_the_form_of_the_real_ones(
    merchant: TestMerchant, sandbox: SandboxProcess
) -> None:
    data = merchant.request("GET", "/v3/certificates").json()["data"]
    assert len(data) == 1
    assert int(data[0]["serial_no"], 16).bit_length() <= 159
    assert merchant.keys["public_key_id"].removeprefix("PUB_KEY_ID_").isdigit()
    assert len(merchant.keys["apiv3_key"].encode()) == 32
    for secret in ("ca.key", "wechat/public_key.key", "wechat/certificate.key"):
        assert (sandbox.home / secret).stat().st_mode & 0o077 == 0, secret
    pem = Path(sandbox.home / "wechat" / "certificate.pem").read_bytes()
    assert f"{x509.load_pem_x509_certificate(pem).serial_number:040X}" == data[0]["serial_no"]
