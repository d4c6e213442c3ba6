"""Notices: the right ones are read, and whatever else comes is refused by name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.channels import NoticeRefused, PaymentNotice, RefundNotice, TradeState
from services.wechat.notices import read_notice
from services.wechat.signing import Fault
from tests.services.wechat.platform import NOW, REFUND, TRANSACTION, Platform

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["SUCCESS", "0001-01-01T00:00:00+08:00", "2026-11-23T12:05:05", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
HEADER_NAMES = st.sampled_from(
    [
        "Wechatpay-Timestamp",
        "wechatpay-nonce",
        "Wechatpay-Signature",
        "Wechatpay-Serial",
        "Wechatpay-Signature-Type",
        "Other",
    ]
)
EVENTS = st.sampled_from(["TRANSACTION.SUCCESS", "REFUND.SUCCESS", "REFUND.ABNORMAL"])


def _refusal(platform: Platform, body: bytes, headers: dict[str, str] | None = None) -> Fault:
    given_headers = platform.headers(body) if headers is None else headers
    with pytest.raises(NoticeRefused) as caught:
        read_notice(platform.account(), given_headers, body, now=NOW)
    return Fault(caught.value.reason)


def _read_or_refuse(platform: Platform, headers: dict[str, str], body: bytes) -> object:
    try:
        return read_notice(platform.account(), headers, body, now=NOW)
    except NoticeRefused as refused:
        return Fault(refused.reason)


@pytest.mark.parametrize("kind", ["public_key", "certificate"])
def test_a_payment_is_read_without_its_payer(platform: Platform, kind: str) -> None:
    body = platform.notice("TRANSACTION.SUCCESS", TRANSACTION)
    headers = platform.headers(body, kind=kind)
    notice = read_notice(platform.account(), headers, body, now=NOW)
    assert isinstance(notice, PaymentNotice)
    assert notice.event_id == "EV-2018022511223320873"
    transaction = notice.transaction
    assert transaction.mchid == TRANSACTION["mchid"]
    assert transaction.appid == TRANSACTION["appid"]
    assert transaction.out_trade_no == TRANSACTION["out_trade_no"]
    assert transaction.transaction_id == TRANSACTION["transaction_id"]
    assert transaction.state is TradeState.PAID
    assert (transaction.amount_fen, transaction.currency) == (2999, "CNY")
    assert transaction.success_time == datetime(2026, 11, 23, 4, 5, 5, tzinfo=UTC)
    assert TRANSACTION["payer"]["openid"] not in repr(notice)


@pytest.mark.parametrize("status", ["SUCCESS", "ABNORMAL", "CLOSED"])
def test_a_refund_is_no_payment(platform: Platform, status: str) -> None:
    body = platform.notice(f"REFUND.{status}", {**REFUND, "refund_status": status})
    notice = read_notice(platform.account(), platform.headers(body), body, now=NOW)
    assert isinstance(notice, RefundNotice)
    assert notice.refund.state == status.lower()
    assert (notice.refund.out_refund_no, notice.refund.refund_id) == ("R1", REFUND["refund_id"])
    assert (notice.refund.refund_fen, notice.refund.total_fen) == (1000, 2999)


def test_events_and_resources_that_do_not_belong_together_are_refused(platform: Platform) -> None:
    swapped = platform.notice("TRANSACTION.SUCCESS", REFUND)
    assert _refusal(platform, swapped) is Fault.WRONG_SHAPE
    swapped = platform.notice("REFUND.SUCCESS", TRANSACTION)
    assert _refusal(platform, swapped) is Fault.WRONG_SHAPE


@pytest.mark.parametrize(
    ("event_type", "change", "refusal"),
    [
        ("TRANSACTION.SUCCESS", {"mchid": "1600000002"}, Fault.WRONG_PAYEE),
        ("TRANSACTION.SUCCESS", {"mchid": 1600000001}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"amount": {"total": 29.99}}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"amount": {"total": -1}}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"amount": {"total": True}}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"amount": None}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"transaction_id": ""}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"out_trade_no": "a\x00b"}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"out_trade_no": "a" * 1000}, Fault.WRONG_SHAPE),
        ("TRANSACTION.SUCCESS", {"success_time": "2026-11-23T12:05:05"}, Fault.WRONG_SHAPE),
        ("SECURITY_ECHO.FAILED", {}, Fault.UNKNOWN_EVENT),
    ],
)
def test_signed_nonsense_is_refused(
    platform: Platform, event_type: str, change: dict[str, Any], refusal: Fault
) -> None:
    body = platform.notice(event_type, {**TRANSACTION, **change})
    assert _refusal(platform, body) is refusal


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"ciphertext": "AAAA"}, Fault.BAD_ENCRYPTION),
        ({"ciphertext": None}, Fault.BAD_ENCRYPTION),
        ({"nonce": "x"}, Fault.BAD_ENCRYPTION),
        ({"associated_data": "refund"}, Fault.BAD_ENCRYPTION),
        ({"algorithm": "AEAD_SM4_GCM"}, Fault.BAD_ENCRYPTION),
        ({"algorithm": {}}, Fault.BAD_ENCRYPTION),
    ],
)
def test_a_resource_that_does_not_open_is_refused(
    platform: Platform, change: dict[str, Any], refusal: Fault
) -> None:
    envelope = orjson.loads(platform.notice("TRANSACTION.SUCCESS", TRANSACTION))
    envelope["resource"] |= change
    assert _refusal(platform, orjson.dumps(envelope)) is refusal


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b"[" * 5000, b"<xml></xml>"])
def test_a_body_that_is_no_notice_is_refused(platform: Platform, body: bytes) -> None:
    assert _refusal(platform, body) is Fault.WRONG_SHAPE


def test_another_merchants_notice_is_refused(platform: Platform) -> None:
    stranger = Platform(apiv3_key=b"f" * 32, certificate_key=platform.certificate_key)
    body = stranger.notice("TRANSACTION.SUCCESS", TRANSACTION)
    assert _refusal(platform, body, stranger.headers(body)) is Fault.BAD_ENCRYPTION


@pytest.mark.parametrize("minutes", [-5, 5])
def test_an_old_notice_is_refused(platform: Platform, minutes: int) -> None:
    body = platform.notice("TRANSACTION.SUCCESS", TRANSACTION)
    headers = platform.headers(body, at=NOW + timedelta(minutes=minutes))
    assert _refusal(platform, body, headers) is Fault.STALE_TIMESTAMP


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_one_changed_bit_is_seen(platform: Platform, data: st.DataObject) -> None:
    body = platform.notice("TRANSACTION.SUCCESS", TRANSACTION)
    headers = platform.headers(body)
    damaged = bytearray(body)
    damaged[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert _refusal(platform, bytes(damaged), headers) is Fault.BAD_SIGNATURE


@given(
    headers=st.dictionaries(
        HEADER_NAMES, st.text(max_size=30) | st.just(str(int(NOW.timestamp()))), max_size=6
    ),
    keep=st.sets(HEADER_NAMES),
    body=st.binary(max_size=200),
)
@settings(max_examples=200, deadline=None)
def test_unsigned_bytes_are_always_refused(
    platform: Platform, headers: dict[str, str], keep: set[str], body: bytes
) -> None:
    right = platform.headers(b"another body")
    mixed = headers | {name: value for name, value in right.items() if name in keep}
    assert isinstance(_refusal(platform, body, mixed), Fault)


@given(body=st.binary(max_size=200) | JSON.map(orjson.dumps))
@settings(max_examples=100, deadline=None)
def test_signed_bytes_never_raise_anything_else(platform: Platform, body: bytes) -> None:
    assert _refusal(platform, body) is Fault.WRONG_SHAPE


@given(
    event_type=EVENTS,
    base=st.sampled_from([TRANSACTION, REFUND]),
    changes=st.dictionaries(st.sampled_from(sorted({*TRANSACTION, *REFUND})), JSON, max_size=3),
    amount=st.none() | st.dictionaries(st.sampled_from(["total", "refund", "currency"]), JSON),
)
@settings(max_examples=200, deadline=None)
def test_sealed_json_never_raises_anything_else(
    platform: Platform,
    event_type: str,
    base: dict[str, Any],
    changes: dict[str, Any],
    amount: dict[str, Any] | None,
) -> None:
    resource = {**base, **changes} | ({} if amount is None else {"amount": amount})
    body = platform.notice(event_type, resource)
    outcome = _read_or_refuse(platform, platform.headers(body), body)
    assert isinstance(outcome, PaymentNotice | RefundNotice | Fault)


@given(change=st.dictionaries(st.sampled_from(["id", "event_type", "resource"]), JSON, min_size=1))
@settings(max_examples=100, deadline=None)
def test_envelopes_never_raise_anything_else(platform: Platform, change: dict[str, Any]) -> None:
    envelope = orjson.loads(platform.notice("TRANSACTION.SUCCESS", TRANSACTION))
    body = orjson.dumps(envelope | change)
    outcome = _read_or_refuse(platform, platform.headers(body), body)
    assert isinstance(outcome, PaymentNotice | Fault)
