"""The wire forms of the sandbox bank (`docs/bank-protocol.md`): signatures and refusals; no state.

There is no public protocol of such a partner; this one is the sandbox's own, in the style of
Berlin Group NextGenPSD2: HTTP message signatures over chosen headers.
"""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from sandbox.faults import Blemish
from sandbox.internet import private_pem, write_private
from sandbox.keys import is_signed, load_rsa_key, make_rsa_key, public_pem, sign

CHANNEL = "bank"
HOST = "bank.sandbox"
CLOCK_SKEW_SECONDS = 300
CURRENCY = "CNY"
ALGORITHM = "rsa-sha256"
REQUEST_COVERS = ("(request-target)", "date", "digest", "x-request-id")
ANSWER_COVERS = ("(status)", "date", "digest", "x-request-id")
NOTICE_COVERS = ("date", "digest", "x-request-id")

_FIELD = re.compile(r'([A-Za-z]+)="([^"]*)"')


class BankError(Exception):
    """A refusal as the bank words it; the HTTP status tells whether asking again may help."""

    def __init__(self, status: int, code: str, field: str = "") -> None:
        """Make a refusal; `field` points at what is wrong in the request."""
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class BankKey:
    """The key that the bank signs with, under the name its clients know it by."""

    key_id: str
    key: RSAPrivateKey
    public_key_pem: str

    def headers(
        self,
        covers: tuple[str, ...],
        values: Mapping[str, str],
        body: bytes,
        blemish: Blemish | None = None,
    ) -> dict[str, str]:
        """Return Date, Digest, X-Request-ID and Signature; `values` has what `covers` needs."""
        stale = 2 * CLOCK_SKEW_SECONDS if blemish is Blemish.STALE_TIMESTAMP else 0
        known = {
            **values,
            "date": formatdate(time.time() - stale, usegmt=True),
            "digest": digest(body),
        }
        signed = known | ({"digest": digest(b"other")} if blemish is Blemish.BAD_SIGNATURE else {})
        signature = sign(self.key, message(covers, signed))
        if blemish is Blemish.SIGNTEST:
            signature = "SIGNTEST" + signature
        key_id = "bank-unknown" if blemish is Blemish.WRONG_SERIAL else self.key_id
        return {
            "Date": known["date"],
            "Digest": known["digest"],
            "X-Request-ID": known["x-request-id"],
            "Signature": f'keyId="{key_id}",algorithm="{ALGORITHM}",'
            f'headers="{" ".join(covers)}",signature="{signature}"',
        }


def load_bank_key(home: Path) -> BankKey:
    """Load the bank's key from `bank/`, made on first start."""
    path = home / "bank" / "signing.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_private(path, private_pem(make_rsa_key()))
    key = load_rsa_key(path.read_bytes())
    pem = public_pem(key)
    key_id = "bank-" + hashlib.sha256(pem).hexdigest()[:16]
    return BankKey(key_id=key_id, key=key, public_key_pem=pem.decode())


def digest(body: bytes) -> str:
    """Return the `Digest` header of a body (RFC 3230)."""
    return "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()


def message(covers: tuple[str, ...], values: Mapping[str, str]) -> bytes:
    """Return what is signed: one `name: value` a line, without a last line feed."""
    return "\n".join(f"{name}: {values[name]}" for name in covers).encode()


def parse_signature(header: str) -> dict[str, str]:
    """Return the fields of a `Signature` header, empty when it is malformed."""
    fields: dict[str, str] = {}
    for part in header.split(","):
        match = _FIELD.fullmatch(part.strip())
        if match is None or match[1] in fields:
            return {}
        fields[match[1]] = match[2]
    right = fields.keys() == {"keyId", "algorithm", "headers", "signature"}
    return fields if right and fields["algorithm"] == ALGORITHM else {}


def is_fresh(date: str) -> bool:
    """Tell whether an HTTP date lies within the allowed skew of now."""
    try:
        moment = parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return False
    return abs(time.time() - moment) < CLOCK_SKEW_SECONDS


def is_rightly_signed(key: RSAPublicKey, fields: Mapping[str, str], signed: bytes) -> bool:
    """Tell whether the parsed `Signature` header is the key's, over a whole request."""
    covers = fields["headers"] == " ".join(REQUEST_COVERS)
    return covers and is_signed(key, signed, fields["signature"])


def token(prefix: str) -> str:
    """Make a number nobody guesses."""
    return f"{prefix}{secrets.token_hex(12)}"
