"""Signatures and sealed resources, against official vectors and our own keys."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from services.wechat.signing import (
    MAX_SKEW_SECONDS,
    Fault,
    authorization,
    find_fault,
    is_signed,
    jsapi_parameters,
    lines,
    open_sealed,
)
from tests.services.wechat.platform import NOW, Platform

OFFICIAL: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "official.json").read_text(encoding="utf-8")
)


def _official_key() -> RSAPublicKey:
    given = OFFICIAL["certificate"]
    sealed = given["encrypt_certificate"]
    key = load_pem_x509_certificate(
        open_sealed(
            given["apiv3_key"].encode(),
            nonce=sealed["nonce"],
            associated_data=sealed["associated_data"],
            ciphertext=sealed["ciphertext"],
        )
    ).public_key()
    assert isinstance(key, RSAPublicKey)
    return key


def test_official_notice_is_believed_and_opens(platform: Platform) -> None:
    notice = OFFICIAL["notice"]
    signed_at = datetime.fromtimestamp(int(notice["headers"]["Wechatpay-Timestamp"]), UTC)
    fault = find_fault(
        platform.account(),
        notice["headers"],
        notice["body"].encode(),
        now=signed_at,
        extra_keys={OFFICIAL["certificate"]["serial_no"]: _official_key()},
    )
    assert fault is None
    resource = json.loads(notice["body"])["resource"]
    plain = open_sealed(
        notice["apiv3_key"].encode(),
        nonce=resource["nonce"],
        associated_data=resource["associated_data"],
        ciphertext=resource["ciphertext"],
    )
    assert plain.decode() == notice["plaintext"]


def test_authorization_signs_what_is_on_the_wire(platform: Platform) -> None:
    account = platform.account()
    header = authorization(
        account,
        method="POST",
        target=b"/v3/a%7Cb?mchid=1",
        body=b'{"a": 1}',
        timestamp=1554208460,
        nonce="593BEC0C930BF1AFEB40B4A08C8FB242",
    )
    scheme, _, rest = header.partition(" ")
    fields = dict(part.split("=", 1) for part in rest.split(","))
    assert scheme == "WECHATPAY2-SHA256-RSA2048"
    assert fields["mchid"] == f'"{account.mchid}"'
    assert fields["serial_no"] == f'"{account.serial_no}"'
    assert set(fields) == {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}
    message = b'POST\n/v3/a%7Cb?mchid=1\n1554208460\n593BEC0C930BF1AFEB40B4A08C8FB242\n{"a": 1}\n'
    public = account.private_key.public_key()
    assert is_signed(public, message, fields["signature"].strip('"'))
    assert not is_signed(public, message + b"\n", fields["signature"].strip('"'))


def test_jsapi_parameters_are_signed_in_four_lines(platform: Platform) -> None:
    account = platform.account()
    given = jsapi_parameters(account, "wx201410272009395522657a690389285100", now=NOW, nonce="n1")
    message = (
        f"{account.appid}\n{given['timeStamp']}\nn1\n"
        "prepay_id=wx201410272009395522657a690389285100\n"
    )
    assert is_signed(account.private_key.public_key(), message.encode(), given.pop("paySign"))
    assert given == {
        "appId": account.appid,
        "timeStamp": str(int(NOW.timestamp())),
        "nonceStr": "n1",
        "package": "prepay_id=wx201410272009395522657a690389285100",
        "signType": "RSA",
    }


@pytest.mark.parametrize("kind", ["public_key", "certificate"])
def test_both_kinds_of_key_are_believed_at_once(platform: Platform, kind: str) -> None:
    headers = platform.headers(b"{}", kind=kind)
    assert find_fault(platform.account(), headers, b"{}", now=NOW) is None
    swapped = {name.upper(): value for name, value in headers.items()}
    assert find_fault(platform.account(), swapped, b"{}", now=NOW) is None


@pytest.mark.parametrize(
    ("name", "value", "refusal"),
    [
        ("Wechatpay-Timestamp", "", Fault.MISSING_HEADER),
        ("Wechatpay-Nonce", "", Fault.MISSING_HEADER),
        ("Wechatpay-Signature", "", Fault.MISSING_HEADER),
        ("Wechatpay-Serial", "", Fault.MISSING_HEADER),
        ("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3", Fault.MISSING_HEADER),
        ("Wechatpay-Timestamp", "١٢٣", Fault.STALE_TIMESTAMP),
        ("Wechatpay-Timestamp", "9" * 400, Fault.STALE_TIMESTAMP),
        ("Wechatpay-Nonce", "é\udc80", Fault.BAD_SIGNATURE),
        ("Wechatpay-Nonce", "another", Fault.BAD_SIGNATURE),
        ("Wechatpay-Signature", "WECHATPAY/SIGNTEST/aaaa", Fault.SIGNTEST),
        ("Wechatpay-Signature", "not base64", Fault.BAD_SIGNATURE),
        ("Wechatpay-Signature", "YWJj", Fault.BAD_SIGNATURE),
        ("Wechatpay-Serial", "7777", Fault.UNKNOWN_SERIAL),
        ("Wechatpay-Serial", "PUB_KEY_ID_1", Fault.UNKNOWN_SERIAL),
    ],
)
def test_damaged_headers_are_refused(
    platform: Platform, name: str, value: str, refusal: Fault
) -> None:
    headers = platform.headers(b"{}") | {name: value}
    assert find_fault(platform.account(), headers, b"{}", now=NOW) is refusal


@pytest.mark.parametrize("sign", [-1, 1])
def test_five_minutes_of_skew_are_too_much(platform: Platform, sign: int) -> None:
    headers = platform.headers(b"{}")
    bound = timedelta(seconds=MAX_SKEW_SECONDS)
    account = platform.account()
    inside = NOW + sign * (bound - timedelta(seconds=1))
    # Two hours of age would also do away with the certificates, so only seconds are moved.
    assert find_fault(account, headers, b"{}", now=inside) is None
    assert find_fault(account, headers, b"{}", now=NOW + sign * bound) is Fault.STALE_TIMESTAMP


def test_a_204_signs_its_empty_body(platform: Platform) -> None:
    assert find_fault(platform.account(), platform.headers(b""), b"", now=NOW) is None
    assert lines(b"1", b"n", b"") == b"1\nn\n\n"


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("nonce", "short"),
        ("nonce", "éééééé_"),
        ("associated_data", "other"),
        ("ciphertext", ""),
        ("ciphertext", "%%%"),
        ("ciphertext", "AAAA"),
    ],
)
def test_what_does_not_open_is_a_value_error(platform: Platform, change: str, value: str) -> None:
    sealed = platform.seal(b"{}", associated_data="x") | {change: value}
    with pytest.raises(ValueError, match=r".*"):
        open_sealed(
            platform.apiv3_key,
            nonce=sealed["nonce"],
            associated_data=sealed["associated_data"],
            ciphertext=sealed["ciphertext"],
        )
