"""What channels' wire forms have in common: JSON, China's time, numbers, merchants' fields."""

import hashlib
import ipaddress
import json
import re
import secrets
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

CHINA_TIME = timezone(timedelta(hours=8))

_HOST_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*")
_PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".lan")

Json = dict[str, Any]


def dump(value: object) -> bytes:
    """Serialise compactly, in UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A refused value may hold half a surrogate pair, which has no UTF-8 form.
    return text.encode(errors="replace")


def texts(body: bytes) -> dict[str, str]:
    """Return the texts on a body's first level; nothing of a body that is no JSON object."""
    try:
        parsed = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(parsed, dict):
        return {}
    return {name: value for name, value in parsed.items() if isinstance(value, str)}


def parameters_hash(kind: str, body: Json) -> str:
    """Tell identical parameters from others, whatever the order of their names."""
    canonical = json.dumps([kind, body], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def china_time(seconds: float) -> str:
    """RFC 3339 in China's time, to the second."""
    return datetime.fromtimestamp(seconds, CHINA_TIME).isoformat(timespec="seconds")


def number(prefix: str, now: float, digits: int) -> str:
    """Make a gateway's number: prefix, China's date, random digits; `digits` long in all."""
    head = prefix + datetime.fromtimestamp(now, CHINA_TIME).strftime("%Y%m%d")
    width = digits - len(head)
    return head + str(secrets.randbelow(10**width)).zfill(width)


def _public_https_url(url: str) -> str:
    """Hold a callback address to WeChat's rules: https, no query, public (§1.5)."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        _ = parts.port
    except ValueError as error:
        raise ValueError("is not a URL") from error
    if parts.scheme != "https":
        raise ValueError("must begin with https://")
    if "?" in url or "#" in url or parts.username is not None:
        raise ValueError("must not carry a query string, a fragment or a user")
    try:
        is_public = ipaddress.ip_address(host).is_global
    except ValueError:
        is_public = bool(_HOST_NAME.fullmatch(host)) and not host.endswith(_PRIVATE_SUFFIXES)
    if not is_public:
        raise ValueError("must be reachable from the public internet")
    return url


NotifyUrl = Annotated[str, Field(max_length=255), AfterValidator(_public_https_url)]
OutTradeNo = Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-|*]{6,32}$")]
