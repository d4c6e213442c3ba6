"""What is signed and verified between us and the bank; bytes and keys only, no network.

Source: `docs/bank-protocol.md`, HTTP message signatures over chosen headers.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime
from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from services.bank.accounts import Account

ALGORITHM = "rsa-sha256"
MAX_SKEW_SECONDS = 300
REQUEST_COVERS = ("(request-target)", "date", "digest", "x-request-id")
ANSWER_COVERS = ("(status)", "date", "digest", "x-request-id")
NOTICE_COVERS = ("date", "digest", "x-request-id")
_SIGNATURE = re.compile(
    r'keyId="([\w-]{1,64})",algorithm="([\w-]+)",headers="([^"]+)",signature="([^"]+)"', re.ASCII
)


class Refusal(StrEnum):
    """Why an answer or a notice is not believed."""

    MISSING_HEADER = "missing_header"
    """One of the four signature headers is absent or malformed, or covers something else."""
    STALE_TIMESTAMP = "stale_timestamp"
    """Signed five minutes or more from our clock, or at no time at all."""
    UNKNOWN_KEY = "unknown_key"
    """Signed under a name that is not the bank's."""
    BAD_SIGNATURE = "bad_signature"
    """Not signed by the bank, or not these bytes."""
    WRONG_SHAPE = "wrong_shape"
    """Not the JSON that the protocol describes."""
    UNKNOWN_EVENT = "unknown_event"
    """A kind of notice that nobody here subscribed to."""
    WRONG_PAYEE = "wrong_payee"
    """It speaks of another client's account."""
    OTHER_REQUEST = "other_request"
    """Signed, but the answer to another request."""


def digest(body: bytes) -> str:
    """The `Digest` header of a body (RFC 3230)."""
    return "SHA-256=" + base64.b64encode(hashlib.sha256(body).digest()).decode()


def request_headers(
    account: Account, *, method: str, target: str, body: bytes, request_id: str, now: datetime
) -> dict[str, str]:
    """The four headers of a request; `target` is path and query exactly as on the wire."""
    values = {
        "(request-target)": f"{method.lower()} {target}",
        "date": format_datetime(now, usegmt=True),
        "digest": digest(body),
        "x-request-id": request_id,
    }
    signature = account.private_key.sign(_message(REQUEST_COVERS, values), PKCS1v15(), SHA256())
    return {
        "Date": values["date"],
        "Digest": values["digest"],
        "X-Request-ID": request_id,
        "Signature": f'keyId="{account.client_id}",algorithm="{ALGORITHM}",'
        f'headers="{" ".join(REQUEST_COVERS)}",'
        f'signature="{base64.b64encode(signature).decode()}"',
    }


def find_fault(
    account: Account,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    status: int | None = None,
) -> Refusal | None:
    """Why these headers and body are not to be believed, or None if they are the bank's.

    With `status` they are an answer's, whose signature covers it; without, a notice's.
    """
    given = {name.lower(): value for name, value in headers.items()}
    fields = _SIGNATURE.fullmatch(given.get("signature", ""))
    covers = NOTICE_COVERS if status is None else ANSWER_COVERS
    values = {name: given.get(name, "") for name in NOTICE_COVERS} | {"(status)": str(status)}
    if fields is None or not all(values.values()):
        return Refusal.MISSING_HEADER
    key_id, algorithm, covered, signature = fields.groups()
    if algorithm != ALGORITHM or covered != " ".join(covers):
        return Refusal.MISSING_HEADER
    if not _is_fresh(values["date"], now=now):
        return Refusal.STALE_TIMESTAMP
    if key_id != account.bank_key_id:
        return Refusal.UNKNOWN_KEY
    try:
        signed = base64.b64decode(signature, validate=True)
        account.bank_key.verify(signed, _message(covers, values), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return Refusal.BAD_SIGNATURE
    return None if values["digest"] == digest(body) else Refusal.BAD_SIGNATURE


def _message(covers: tuple[str, ...], values: Mapping[str, str]) -> bytes:
    return "\n".join(f"{name}: {values[name]}" for name in covers).encode()


def _is_fresh(date: str, *, now: datetime) -> bool:
    try:
        # A date without a zone would be read in this machine's.
        signed_at = parsedate_to_datetime(date if date.endswith(" GMT") else "")
        return abs((now - signed_at).total_seconds()) < MAX_SKEW_SECONDS
    except (ValueError, OverflowError, TypeError):
        return False
