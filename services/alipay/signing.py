"""What is signed and verified in Alipay's open gateway; text and keys only, no network.

Source: Alipay open platform, RSA2 signatures of requests, answers and asynchronous notices.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

_BLANKS = " \t\r\n"


def signed_text(parameters: Mapping[str, str]) -> str:
    """The text that is signed: parameters by name, joined as they are before any encoding."""
    return "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))


def sign(key: RSAPrivateKey, text: str) -> str:
    """RSA2: RSASSA-PKCS1-v1_5 with SHA-256, base64."""
    return base64.b64encode(key.sign(text.encode(), PKCS1v15(), SHA256())).decode()


def is_signed(key: RSAPublicKey, text: str, signature: str) -> bool:
    """Whether base64 `signature` is the key's signature of the text."""
    try:
        key.verify(base64.b64decode(signature, validate=True), text.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def raw_members(text: str) -> dict[str, str]:
    """Each member of a JSON object with its value exactly as written.

    An answer's signature covers such a substring, so it must not be written anew, nor found by
    counting braces, which also stand in texts. Raises ValueError for all else, names that come
    twice included: what was verified must be what is read.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    members: dict[str, str] = {}
    try:
        at = _skip(text, _expect(text, _skip(text, 0), "{"))
        while True:
            name, at = decoder.raw_decode(text, at)
            if not isinstance(name, str) or name in members:
                raise ValueError("a name twice, or none")
            begin = _skip(text, _expect(text, _skip(text, at), ":"))
            _, at = decoder.raw_decode(text, begin)
            members[name] = text[begin:at]
            at = _skip(text, at)
            if text[at : at + 1] != ",":
                break
            at = _skip(text, at + 1)
        if _skip(text, _expect(text, at, "}")) != len(text):
            raise ValueError("something follows the object")
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return members


def read_node(raw: str) -> dict[str, Any]:
    """The object in a raw value."""
    value = json.loads(raw, object_pairs_hook=_once)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all bad JSON
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _BLANKS:
        at += 1
    return at


def _expect(text: str, at: int, sign_: str) -> int:
    if text[at : at + 1] != sign_:
        raise ValueError(f"no {sign_} where one belongs")
    return at + 1
