"""The wire forms of WeChat Pay API v3: signatures, sealed resources, errors, times; no state."""

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1

from sandbox.wire import Json

CHANNEL = "wechat"
GATEWAY_HOSTS = ("api.mch.weixin.qq.com", "api2.mch.weixin.qq.com", "api.weixin.qq.com")
SIGNATURE_TYPE = "WECHATPAY2-SHA256-RSA2048"
CLOCK_SKEW_SECONDS = 300
OAEP = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303 (the protocol's)
"""How personal fields are encrypted, in both directions (§1.4)."""

_FIELDS = frozenset({"mchid", "nonce_str", "signature", "timestamp", "serial_no"})
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_FIELD = re.compile(r'([a-z_]+)="([^"]*)"')


class WeChatError(Exception):
    """A refusal as the gateway words it: branch on `code`, never on `message`."""

    def __init__(
        self, status: int, code: str, message: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Make a refusal with its HTTP status; `detail` is left out of the answer when None."""
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail


def parameter_error(pointer: str, value: object, issue: str, location: str = "body") -> WeChatError:
    """Return 400 PARAM_ERROR with the detail the gateway gives: a JSON pointer and the value."""
    detail = {"field": pointer, "value": value, "issue": issue, "location": location}
    return WeChatError(400, "PARAM_ERROR", "参数错误", detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """The five fields of a request's `Authorization` header."""

    mchid: str
    nonce_str: str
    signature: str
    timestamp: str
    serial_no: str


def parse_authorization(header: str) -> Authorization | None:
    """Read the header; its fields come in any order, each once; None when it is malformed."""
    scheme, _, rest = header.partition(" ")
    if scheme != SIGNATURE_TYPE:
        return None
    fields: dict[str, str] = {}
    for part in rest.split(","):
        match = _FIELD.fullmatch(part)
        if match is None or match[1] in fields:
            return None
        fields[match[1]] = match[2]
    if fields.keys() != _FIELDS or not _TIMESTAMP.fullmatch(fields["timestamp"]):
        return None
    return Authorization(**fields)


def signed_lines(*lines: bytes | str) -> bytes:
    """Join what a signature covers: each line, the last too, ends with a line feed."""
    return b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines)


def seal(apiv3_key: str, plaintext: bytes, associated_data: str) -> Json:
    """Return AEAD_AES_256_GCM fields: base64(ciphertext ‖ tag), 12-byte nonce as text."""
    nonce = secrets.token_hex(6)
    sealed = AESGCM(apiv3_key.encode()).encrypt(nonce.encode(), plaintext, associated_data.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": associated_data,
        "nonce": nonce,
    }
