"""What is signed, verified and opened in WeChat Pay v3; bytes and keys only, no network.

Source: WeChat Pay API v3, signatures of requests, answers and notices, AEAD_AES_256_GCM.
"""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from services.wechat.accounts import Account

SCHEME = "WECHATPAY2-SHA256-RSA2048"
PROBE_PREFIX = "WECHATPAY/SIGNTEST/"
MAX_SKEW_SECONDS = 300
GCM_NONCE_BYTES = 12
_HEADERS = (
    "wechatpay-timestamp",
    "wechatpay-nonce",
    "wechatpay-signature",
    "wechatpay-serial",
)
_OAEP = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)  # noqa: S303 (the protocol's)
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Fault(StrEnum):
    """Why an answer or a notice is not believed."""

    MISSING_HEADER = "missing_header"
    """One of the four signature headers is absent, or names another signature scheme."""
    STALE_TIMESTAMP = "stale_timestamp"
    """Signed five minutes or more from our clock, or at no time at all."""
    SIGNTEST = "signtest"
    """WeChat Pay's probe: it sends wrong signatures to see that they are refused."""
    UNKNOWN_SERIAL = "unknown_serial"
    """No key of this payee has that serial; fetching certificates may help."""
    BAD_SIGNATURE = "bad_signature"
    """Not signed by the key it names."""
    BAD_ENCRYPTION = "bad_encryption"
    """Signed, but its resource doesn't open with this payee's APIv3 key."""
    WRONG_SHAPE = "wrong_shape"
    """Not the JSON that the protocol describes."""
    UNKNOWN_EVENT = "unknown_event"
    """A kind of notice that nobody here subscribed to."""
    WRONG_PAYEE = "wrong_payee"
    """It speaks of another merchant."""


def lines(*parts: bytes) -> bytes:
    """The text that is signed: every part ends its own line."""
    return b"".join(part + b"\n" for part in parts)


def sign(key: RSAPrivateKey, message: bytes) -> str:
    """RSASSA-PKCS1-v1_5 with SHA-256, base64."""
    return base64.b64encode(key.sign(message, PKCS1v15(), SHA256())).decode()


def is_signed(key: RSAPublicKey, message: bytes, signature: str) -> bool:
    """Whether base64 `signature` is the key's signature of the message."""
    try:
        key.verify(base64.b64decode(signature, validate=True), message, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def authorization(
    account: Account, *, method: str, target: bytes, body: bytes, timestamp: int, nonce: str
) -> str:
    """The `Authorization` header; `target` is path and query exactly as on the wire."""
    message = lines(method.encode(), target, str(timestamp).encode(), nonce.encode(), body)
    fields = {
        "mchid": account.mchid,
        "nonce_str": nonce,
        "signature": sign(account.private_key, message),
        "timestamp": str(timestamp),
        "serial_no": account.serial_no,
    }
    return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in fields.items())


def find_fault(
    account: Account,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    extra_keys: Mapping[str, RSAPublicKey] | None = None,
) -> Fault | None:
    """Why these signed headers and body are not to be believed, or None if they are.

    `extra_keys` are certificates that the body itself brings, already opened with the APIv3 key.
    """
    given = {name.lower(): value for name, value in headers.items()}
    fault = _find_header_fault(given, now=now)
    if fault is not None:
        return fault
    serial = given["wechatpay-serial"]
    key = (extra_keys or {}).get(serial) or account.verifier(serial, now=now)
    if key is None:
        return Fault.UNKNOWN_SERIAL
    message = lines(
        given["wechatpay-timestamp"].encode(), given["wechatpay-nonce"].encode("ascii"), body
    )
    signed = is_signed(key, message, given["wechatpay-signature"])
    return None if signed else Fault.BAD_SIGNATURE


def _find_header_fault(given: Mapping[str, str], *, now: datetime) -> Fault | None:
    if not all(given.get(name) for name in _HEADERS):
        return Fault.MISSING_HEADER
    if given.get("wechatpay-signature-type", SCHEME) != SCHEME:
        return Fault.MISSING_HEADER
    timestamp = given["wechatpay-timestamp"]
    if not _TIMESTAMP.fullmatch(timestamp):
        return Fault.STALE_TIMESTAMP
    if abs(now.timestamp() - int(timestamp)) >= MAX_SKEW_SECONDS:
        return Fault.STALE_TIMESTAMP
    if given["wechatpay-signature"].startswith(PROBE_PREFIX):
        return Fault.SIGNTEST
    return None if given["wechatpay-nonce"].isascii() else Fault.BAD_SIGNATURE


def open_sealed(key: bytes, *, nonce: str, associated_data: str, ciphertext: str) -> bytes:
    """Decrypt AEAD_AES_256_GCM; raises ValueError for anything that doesn't open."""
    if len(nonce.encode()) != GCM_NONCE_BYTES:
        raise ValueError("the nonce has 12 bytes")
    sealed = base64.b64decode(ciphertext, validate=True)
    try:
        return AESGCM(key).decrypt(nonce.encode(), sealed, associated_data.encode())
    except InvalidTag as error:
        raise ValueError("not sealed with this key") from error


def encrypt(key: RSAPublicKey, plain: str) -> str:
    """A personal field for its receiver's eyes only: RSA-OAEP with SHA-1, as the protocol says."""
    return base64.b64encode(key.encrypt(plain.encode(), _OAEP)).decode()


def jsapi_parameters(
    account: Account, prepay_id: str, *, now: datetime, nonce: str
) -> dict[str, str]:
    """What a mini-program or page hands to the WeChat client so that the customer can pay."""
    timestamp = str(int(now.timestamp()))
    package = f"prepay_id={prepay_id}"
    message = lines(account.appid.encode(), timestamp.encode(), nonce.encode(), package.encode())
    return {
        "appId": account.appid,
        "timeStamp": timestamp,
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": sign(account.private_key, message),
    }
