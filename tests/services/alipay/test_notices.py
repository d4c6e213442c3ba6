"""Notices: what is believed, what they are about, and a corpus of forgeries."""

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.channels import NoticeRefused, PaymentNotice, RefundNotice, RefundSaid
from services.alipay.notices import read_notice
from tests.services.alipay.conftest import Keys
from tests.services.alipay.forgeries import PAYMENT, REFUND, forgeries

CLOSED = {k: v for k, v in PAYMENT.items() if k != "gmt_payment"} | {
    "trade_status": "TRADE_CLOSED",
    "gmt_close": "2026-11-23 12:20:00",
}


def _read(keys: Keys, fields: dict[str, str]) -> PaymentNotice | RefundNotice:
    return read_notice(keys.account, urlencode(keys.signed(fields)).encode())


def _refusal(keys: Keys, body: bytes) -> str:
    with pytest.raises(NoticeRefused) as caught:
        read_notice(keys.account, body)
    return caught.value.reason


@pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_FINISHED"])
def test_a_payment(keys: Keys, status: str) -> None:
    notice = _read(keys, PAYMENT | {"trade_status": status})
    assert isinstance(notice, PaymentNotice)
    assert notice.event_id == PAYMENT["notify_id"]
    fact = notice.transaction.fact()
    assert fact == {
        "out_trade_no": "T1",
        "transaction_id": PAYMENT["trade_no"],
        "amount_fen": 2999,
        "currency": "CNY",
        "mchid": keys.account.seller_id,
        "appid": keys.account.app_id,
        "state": "paid",
        "succeeded_at": "2026-11-23T04:05:05+00:00",
    }
    assert str(notice.transaction.success_time) == "2026-11-23 04:05:05+00:00"


@pytest.mark.parametrize("status", ["TRADE_SUCCESS", "TRADE_CLOSED", "TRADE_FINISHED"])
def test_a_refund_is_never_a_payment(keys: Keys, status: str) -> None:
    notice = _read(keys, REFUND | {"trade_status": status})
    assert isinstance(notice, RefundNotice)
    assert notice.refund == RefundSaid(
        out_refund_no="R1",
        refund_id=PAYMENT["trade_no"],
        state="success",
        refund_fen=0,
        total_fen=2999,
    )


@pytest.mark.parametrize("status", ["TRADE_CLOSED", "WAIT_BUYER_PAY"])
def test_a_trade_without_money_is_no_payment(keys: Keys, status: str) -> None:
    body = urlencode(keys.signed(CLOSED | {"trade_status": status})).encode()
    assert _refusal(keys, body) == "not_a_payment"


CHANGED: dict[str, dict[str, str]] = {
    "other app": {"app_id": "2021000000000011"},
    "other seller": {"seller_id": "2088000000000011"},
    "no app": {"app_id": ""},
    "no seller": {"seller_id": ""},
    "other event": {"notify_type": "alipay.trade.refund.depositback.completed"},
    "no event": {"notify_type": ""},
    "no id": {"notify_id": ""},
    "long id": {"notify_id": "1" * 600},
    "id of two lines": {"notify_id": "1\n2"},
    "no number": {"out_trade_no": ""},
    "long number": {"out_trade_no": "T" * 600},
    "null in number": {"out_trade_no": "T\x001"},
    "no trade": {"trade_no": ""},
    "no status": {"trade_status": ""},
    "unknown status": {"trade_status": "TRADE_PENDING"},
    "small letters": {"trade_status": "trade_success"},
    "no amount": {"total_amount": ""},
    "negative": {"total_amount": "-29.99"},
    "three decimals": {"total_amount": "29.990"},
    "exponent": {"total_amount": "1e3"},
    "not a number": {"total_amount": "NaN"},
    "comma": {"total_amount": "29,99"},
    "other digits": {"total_amount": "٢٩"},
    "huge": {"total_amount": "9" * 20},
    "paid at no time": {"gmt_payment": ""},
    "paid at noon": {"gmt_payment": "noon"},
    "paid with offset": {"gmt_payment": "2026-11-23T12:05:05+08:00"},
    "paid on 31 February": {"gmt_payment": "2026-02-31 12:05:05"},
    "refund without number": {"refund_fee": "1.00"},
    "refund of an empty number": REFUND | {"out_biz_no": ""},
    "refund of nothing": REFUND | {"refund_fee": "0.00"},
    "refund without amount": REFUND | {"refund_fee": ""},
    "refund of more": REFUND | {"refund_fee": "30.00"},
    "refund of less than nothing": REFUND | {"refund_fee": "-1.00"},
    "only a time of refund": {"gmt_refund": "2026-11-23 12:06:00"},
}
"""Rightly signed, and yet not to be believed."""


@pytest.mark.parametrize("name", CHANGED)
def test_signed_nonsense_is_refused(keys: Keys, name: str) -> None:
    body = urlencode(keys.signed(PAYMENT | CHANGED[name])).encode()
    reason = _refusal(keys, body)
    assert reason in {"wrong_payee", "unknown_event", "wrong_shape"}


def test_a_corpus_of_forgeries(keys: Keys) -> None:
    corpus = forgeries(keys, PAYMENT)
    assert len(corpus) >= 60
    reasons = {name: _refusal(keys, body) for name, body in corpus.items()}
    assert set(reasons.values()) == {"bad_signature", "wrong_shape"}, reasons


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_one_changed_bit_is_seen(keys: Keys, data: st.DataObject) -> None:
    body = bytearray(urlencode(keys.signed(PAYMENT)).encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        notice: Any = read_notice(keys.account, bytes(body))
    except NoticeRefused:
        return
    # A hexadecimal digit written large is the same parameter.
    assert notice == _read(keys, PAYMENT)


@given(body=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_bytes_never_raise_anything_else(keys: Keys, body: bytes) -> None:
    assert _refusal(keys, body) in {"bad_signature", "wrong_shape"}


@given(changes=st.dictionaries(st.sampled_from(sorted(REFUND)), st.text(max_size=20), max_size=4))
@settings(max_examples=60, deadline=None)
def test_signed_fields_never_raise_anything_else(keys: Keys, changes: dict[str, str]) -> None:
    body = urlencode(keys.signed(PAYMENT | changes)).encode()
    try:
        assert isinstance(read_notice(keys.account, body), PaymentNotice | RefundNotice)
    except NoticeRefused:
        return
