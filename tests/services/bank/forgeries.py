"""Forgeries of the bank's callbacks: every way in which one thing of a true one is wrong."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from services.bank import signing
from services.bank.accounts import Account
from services.bank.signing import NOTICE_COVERS, Refusal, digest

FLIPS = 30


def make_key() -> RSAPrivateKey:
    """As the bank and its clients have."""
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
    """A callback's body."""
    notice = {"id": "evt-1", "type": event, "account": OURS.account, "data": data}
    return json.dumps(notice | changes).encode()


def signed(body: bytes, *, key: RSAPrivateKey = BANK_KEY, **wrong: str) -> dict[str, str]:
    """The headers of a callback, but for what is given wrongly."""
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


def ago(**span: int) -> str:
    """A `Date` so long ago."""
    return format_datetime(datetime.now(UTC) - timedelta(**span), usegmt=True)


Sign = Callable[..., dict[str, str]]
Forgery = Callable[[Sign, bytes], tuple[bytes, dict[str, str]]]

FORGERIES: dict[str, tuple[Refusal, Forgery]] = {
    "another key": (
        Refusal.BAD_SIGNATURE,
        lambda sign, right: (right, sign(right, key=STRANGERS_KEY)),
    ),
    "another name": (
        Refusal.UNKNOWN_KEY,
        lambda sign, right: (right, sign(right, key_id="bank-2")),
    ),
    "our own name": (
        Refusal.UNKNOWN_KEY,
        lambda sign, right: (right, sign(right, key_id="client-1")),
    ),
    "another algorithm": (
        Refusal.MISSING_HEADER,
        lambda sign, right: (right, sign(right, algorithm="hmac-sha256")),
    ),
    "body swapped": (
        Refusal.BAD_SIGNATURE,
        lambda sign, right: (right.replace(b'"value": ', b'"value": 1'), sign(right)),
    ),
    "body and digest swapped": (
        Refusal.BAD_SIGNATURE,
        lambda sign, right: (b"{}", sign(right) | {"digest": digest(b"{}")}),
    ),
    "covers no digest": (
        Refusal.MISSING_HEADER,
        lambda sign, right: (right, sign(right, covers="date x-request-id")),
    ),
    "covers no date": (
        Refusal.MISSING_HEADER,
        lambda sign, right: (right, sign(right, covers="digest x-request-id")),
    ),
    "an answer, not a notice": (
        Refusal.MISSING_HEADER,
        lambda sign, right: (right, sign(right, covers=" ".join(signing.ANSWER_COVERS))),
    ),
    "old": (Refusal.STALE_TIMESTAMP, lambda sign, right: (right, sign(right, date=ago(minutes=6)))),
    "early": (
        Refusal.STALE_TIMESTAMP,
        lambda sign, right: (right, sign(right, date=ago(minutes=-30))),
    ),
    "no date at all": (
        Refusal.STALE_TIMESTAMP,
        lambda sign, right: (right, sign(right, date="now")),
    ),
    "a date without zone": (
        Refusal.STALE_TIMESTAMP,
        lambda sign, right: (right, sign(right, date=ago().removesuffix(" GMT"))),
    ),
    "date changed": (
        Refusal.BAD_SIGNATURE,
        lambda sign, right: (right, sign(right) | {"date": ago(seconds=9)}),
    ),
    "id changed": (
        Refusal.BAD_SIGNATURE,
        lambda sign, right: (right, sign(right) | {"x-request-id": "evt-2"}),
    ),
}
NEEDED = ("date", "digest", "x-request-id", "signature")
INSTEAD = (None, "", "x")


def without(headers: dict[str, str], name: str, instead: str | None) -> dict[str, str]:
    """The same headers with one left out, or something else in its place."""
    left = {key: value for key, value in headers.items() if key != name}
    return left if instead is None else left | {name: instead}


def forgeries(sign: Sign, right: bytes) -> Iterator[tuple[str, dict[str, str], bytes]]:
    """Every forgery of this true callback: its name, headers and body."""
    for name, (_, forge) in FORGERIES.items():
        body, headers = forge(sign, right)
        yield name, headers, body
    for name in NEEDED:
        for instead in INSTEAD:
            yield f"{name}: {instead}", without(sign(right), name, instead), right
    for at in range(0, len(right), len(right) // FLIPS):
        yield f"a bit at {at}", sign(right), right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :]
