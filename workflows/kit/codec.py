"""Encrypts Temporal payloads (law 8), so that histories hold ciphertext; keys come from outside."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from secrets import token_bytes  # noqa: TID251  a codec runs outside of the workflow

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

ENCRYPTED = b"binary/encrypted"
KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_CHARS = 8
_MARK = "undecodable"


class EncryptionCodec(PayloadCodec):
    """AES-256-GCM per payload, the key's id as additional data.

    `decode` never raises: an exception there would stick the workflow task for ever. What no key
    opens comes back as JSON null marked undecodable; what was never encrypted (a signal from the
    command line) comes back as it is.
    """

    def __init__(self, key_id: str, keys: Mapping[str, bytes]) -> None:
        """Encrypt with `keys[key_id]`; the other keys still open what they once closed."""
        self._key_id = key_id.encode()
        self._ciphers = {name.encode(): AESGCM(key) for name, key in keys.items()}

    @classmethod
    def from_text(cls, text: str) -> "EncryptionCodec":
        """From keys as base64 of 32 bytes, separated by commas; the first one encrypts.

        Raises:
            ValueError: no key, no base64, or not 32 bytes.
        """
        ring = [base64.b64decode(one.strip(), validate=True) for one in text.split(",")]
        if any(len(key) != KEY_BYTES for key in ring):
            raise ValueError(f"a payload key is base64 of {KEY_BYTES} bytes")
        return cls(key_id_of(ring[0]), {key_id_of(key): key for key in ring})

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Close every payload, its metadata included."""
        return [self._close(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Open what is encrypted; never raises."""
        return [
            self._open(payload) if payload.metadata.get("encoding") == ENCRYPTED else payload
            for payload in payloads
        ]

    def _close(self, payload: Payload) -> Payload:
        nonce = token_bytes(NONCE_BYTES)
        sealed = self._ciphers[self._key_id].encrypt(
            nonce, payload.SerializeToString(), self._key_id
        )
        return Payload(metadata={"encoding": ENCRYPTED, "key": self._key_id}, data=nonce + sealed)

    def _open(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get("key", b"")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            return _undecodable(b"unknown key")
        try:
            plain = cipher.decrypt(payload.data[:NONCE_BYTES], payload.data[NONCE_BYTES:], key_id)
            return Payload.FromString(plain)
        except (InvalidTag, ValueError, DecodeError):
            return _undecodable(b"damaged")


def key_id_of(key: bytes) -> str:
    """A key's public name: the beginning of its SHA-256, so that nobody has to keep a list."""
    return hashlib.sha256(key).hexdigest()[:KEY_ID_CHARS]


def is_undecodable(payload: Payload) -> bool:
    """Whether `decode` could not open this payload."""
    return _MARK in payload.metadata


def _undecodable(why: bytes) -> Payload:
    return Payload(metadata={"encoding": b"json/plain", _MARK: why}, data=b"null")
