"""Callbacks are believed only when every signed thing is right; hundreds of forgeries are not."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.channels import NoticeRefused, PaymentNotice, RefundNotice
from services.bank import signing
from services.bank.accounts import Account
from services.bank.client import Bank
from services.bank.signing import NOTICE_COVERS, Refusal, digest
from tests.services.bank.conftest import World
from tests.services.bank.test_bank_client import paid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def make_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


BANK_KEY, STRANGERS_KEY = make_key(), make_key()
OURS = Account(
    account="6228000000000001",
    client_id="client-1",
    private_key=STRANGERS_KEY,
    bank_key_id="bank-1",
    bank_key=BANK_KEY.public_key(),
)
PAYMENT = {
    "account": OURS.account,
    "out_trade_no": "a1",
    "payment_id": "pay-1",
    "method": "ecny",
    "state": "PAID",
    "amount": {"value": 2999, "currency": "CNY"},
    "transaction_id": "62",
    "paid_at": "2026-01-01T00:00:00+08:00",
    "failure_code": "",
}
REFUND = {
    "account": OURS.account,
    "out_trade_no": "a1",
    "out_refund_no": "r1",
    "refund_id": "63",
    "state": "SUCCESS",
    "amount": {"value": 1000, "currency": "CNY"},
    "total": {"value": 2999, "currency": "CNY"},
    "refunded_at": "2026-01-01T00:00:00+08:00",
}


def envelope(event: str, data: Any, **changes: Any) -> bytes:
    notice = {"id": "evt-1", "type": event, "account": OURS.account, "data": data}
    return json.dumps(notice | changes).encode()


def signed(body: bytes, *, key: RSAPrivateKey = BANK_KEY, **wrong: str) -> dict[str, str]:
    values = {
        "date": format_datetime(datetime.now(UTC), usegmt=True),
        "digest": digest(body),
        "x-request-id": "evt-1",
    }
    values |= {name: value for name, value in wrong.items() if name in values}
    covers = wrong.get("covers", " ".join(NOTICE_COVERS))
    lines = "\n".join(f"{name}: {values.get(name, '200')}" for name in covers.split())
    signature = base64.b64encode(key.sign(lines.encode(), PKCS1v15(), SHA256())).decode()
    key_id, algorithm = wrong.get("key_id", "bank-1"), wrong.get("algorithm", "rsa-sha256")
    return values | {
        "signature": f'keyId="{key_id}",algorithm="{algorithm}",'
        f'headers="{covers}",signature="{signature}"'
    }


async def read(bank: Bank, headers: dict[str, str], body: bytes) -> Any:
    try:
        return await bank.notice(OURS, headers, body)
    except NoticeRefused as refused:
        return refused.reason


async def test_what_the_bank_signs_is_believed(bank: Bank) -> None:
    body = envelope("payment.paid", PAYMENT)
    assert isinstance(await read(bank, signed(body), body), PaymentNotice)
    body = envelope("refund.success", REFUND)
    assert isinstance(await read(bank, signed(body), body), RefundNotice)


def ago(**span: int) -> str:
    return format_datetime(datetime.now(UTC) - timedelta(**span), usegmt=True)


RIGHT = envelope("payment.paid", PAYMENT)
FORGERIES: dict[str, tuple[Refusal, Callable[[], tuple[bytes, dict[str, str]]]]] = {
    "another key": (
        Refusal.BAD_SIGNATURE,
        lambda: (RIGHT, signed(RIGHT, key=STRANGERS_KEY)),
    ),
    "another name": (Refusal.UNKNOWN_KEY, lambda: (RIGHT, signed(RIGHT, key_id="bank-2"))),
    "our own name": (Refusal.UNKNOWN_KEY, lambda: (RIGHT, signed(RIGHT, key_id="client-1"))),
    "another algorithm": (
        Refusal.MISSING_HEADER,
        lambda: (RIGHT, signed(RIGHT, algorithm="hmac-sha256")),
    ),
    "body swapped": (
        Refusal.BAD_SIGNATURE,
        lambda: (RIGHT.replace(b"2999", b"1"), signed(RIGHT)),
    ),
    "body and digest swapped": (
        Refusal.BAD_SIGNATURE,
        lambda: (b"{}", signed(RIGHT) | {"digest": digest(b"{}")}),
    ),
    "covers no digest": (
        Refusal.MISSING_HEADER,
        lambda: (RIGHT, signed(RIGHT, covers="date x-request-id")),
    ),
    "covers no date": (
        Refusal.MISSING_HEADER,
        lambda: (RIGHT, signed(RIGHT, covers="digest x-request-id")),
    ),
    "an answer, not a notice": (
        Refusal.MISSING_HEADER,
        lambda: (RIGHT, signed(RIGHT, covers=" ".join(signing.ANSWER_COVERS))),
    ),
    "old": (Refusal.STALE_TIMESTAMP, lambda: (RIGHT, signed(RIGHT, date=ago(minutes=6)))),
    "early": (Refusal.STALE_TIMESTAMP, lambda: (RIGHT, signed(RIGHT, date=ago(minutes=-6)))),
    "no date at all": (Refusal.STALE_TIMESTAMP, lambda: (RIGHT, signed(RIGHT, date="now"))),
    "a date without zone": (
        Refusal.STALE_TIMESTAMP,
        lambda: (RIGHT, signed(RIGHT, date=ago().removesuffix(" GMT"))),
    ),
    "date changed": (
        Refusal.BAD_SIGNATURE,
        lambda: (RIGHT, signed(RIGHT) | {"date": ago(seconds=9)}),
    ),
    "id changed": (
        Refusal.BAD_SIGNATURE,
        lambda: (RIGHT, signed(RIGHT) | {"x-request-id": "evt-2"}),
    ),
}


@pytest.mark.parametrize("kind", FORGERIES)
async def test_forgeries_are_refused(bank: Bank, kind: str) -> None:
    reason, forge = FORGERIES[kind]
    body, headers = forge()
    assert await read(bank, headers, body) is reason


@pytest.mark.parametrize("name", ["date", "digest", "x-request-id", "signature"])
@pytest.mark.parametrize("instead", [None, "", "x"])
async def test_headers_are_all_needed(bank: Bank, name: str, instead: str | None) -> None:
    headers = signed(RIGHT)
    del headers[name]
    if instead is not None:
        headers[name] = instead
    assert isinstance(await read(bank, headers, RIGHT), Refusal)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (envelope("payment.paid", PAYMENT, account="622"), Refusal.WRONG_PAYEE),
        (envelope("payment.paid", PAYMENT | {"account": "622"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"state": "OPEN"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"state": "GIVEN"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"transaction_id": None}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"paid_at": "2026-01-01"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"amount": 2999}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", REFUND), Refusal.WRONG_SHAPE),
        (envelope("refund.success", PAYMENT), Refusal.WRONG_SHAPE),
        (envelope("refund.closed", REFUND), Refusal.WRONG_SHAPE),
        (envelope("payout.ended", PAYMENT), Refusal.UNKNOWN_EVENT),
        (envelope("payment.paid", None), Refusal.WRONG_SHAPE),
        (b"", Refusal.WRONG_SHAPE),
        (b"[]", Refusal.WRONG_SHAPE),
        (b"[" * 5000, Refusal.WRONG_SHAPE),
    ],
)
async def test_signed_nonsense_is_refused(bank: Bank, body: bytes, reason: Refusal) -> None:
    assert await read(bank, signed(body), body) is reason


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(RIGHT) - 1), bit=st.integers(0, 7))
async def test_one_changed_bit_is_seen(bank: Bank, place: int, bit: int) -> None:
    damaged = bytearray(RIGHT)
    damaged[place] ^= 1 << bit
    assert await read(bank, signed(RIGHT), bytes(damaged)) is Refusal.BAD_SIGNATURE


@settings(max_examples=100, deadline=None)
@given(
    base=st.sampled_from([("payment.paid", PAYMENT), ("refund.success", REFUND)]),
    changes=st.dictionaries(st.sampled_from(sorted({*PAYMENT, *REFUND})), JSON, max_size=3),
    outer=st.dictionaries(st.sampled_from(["id", "type", "account", "data"]), JSON, max_size=2),
)
async def test_signed_json_never_raises_anything_else(
    bank: Bank,
    base: tuple[str, dict[str, Any]],
    changes: dict[str, Any],
    outer: dict[str, Any],
) -> None:
    body = json.dumps(json.loads(envelope(base[0], base[1] | changes)) | outer).encode()
    assert isinstance(await read(bank, signed(body), body), PaymentNotice | RefundNotice | Refusal)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("bad_signature", Refusal.BAD_SIGNATURE),
        ("stale_timestamp", Refusal.STALE_TIMESTAMP),
        ("wrong_serial", Refusal.UNKNOWN_KEY),
        ("signtest", Refusal.BAD_SIGNATURE),
    ],
)
async def test_spoiled_callbacks_are_refused(
    world: World, bank: Bank, account: Account, fault: str, reason: Refusal
) -> None:
    world.spoil(account, "notify", fault)
    await paid(world, bank, account)
    (heard,) = await world.heard(account)
    with pytest.raises(NoticeRefused, match=reason):
        await bank.notice(account, heard.headers, heard.body)


async def test_anothers_callback_is_not_ours(world: World, bank: Bank, account: Account) -> None:
    await paid(world, bank, account)
    (heard,) = await world.heard(account)
    with pytest.raises(NoticeRefused, match=Refusal.WRONG_PAYEE):
        await bank.notice(world.account(), heard.headers, heard.body)
