"""The wire forms of Alipay's open gateway: signatures, refusals, amounts, times; no state."""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime

from sandbox import wire
from sandbox.wire import CHINA_TIME, Json

CHANNEL = "alipay"
GATEWAY_HOST = "openapi.alipay.com"
BILL_HOST = "dwbillcenter.alipay.com"
CLOCK_SKEW_SECONDS = 300
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"

_YUAN = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,2}))?")
_MESSAGES = {
    "10000": "Success",
    "20000": "Service Currently Unavailable",
    "40001": "Missing Required Arguments",
    "40002": "Invalid Arguments",
    "40004": "Business Failed",
    "40005": "Call Limited",
    "40006": "Insufficient Permissions",
}


class AlipayError(Exception):
    """A refusal as the gateway words it: branch on `code` and `sub_code`, never on a message."""

    def __init__(self, code: str, sub_code: str, sub_msg: str) -> None:
        """Make a refusal; it is answered with HTTP 200 like everything else."""
        super().__init__(f"{code} {sub_code}")
        self.code = code
        self.sub_code = sub_code
        self.sub_msg = sub_msg

    @property
    def node(self) -> Json:
        """The refusal as the answer's node."""
        refused = {"code": self.code, "msg": _MESSAGES[self.code]}
        return refused | {"sub_code": self.sub_code, "sub_msg": self.sub_msg}


def business_error(name: str, text: str) -> AlipayError:
    """Return 40004 with a code of the acquiring system."""
    return AlipayError("40004", f"ACQ.{name}", text)


def success(**fields: str | list[Json] | None) -> Json:
    """Return the node of a call that did what was asked; fields that are None are left out."""
    shown = {name: value for name, value in fields.items() if value is not None}
    return {"code": "10000", "msg": _MESSAGES["10000"], **shown}


def signed_text(parameters: Mapping[str, str]) -> bytes:
    """Join what a signature covers: non-empty parameters by name (§2.1)."""
    chosen = sorted((name, value) for name, value in parameters.items() if value)
    text = "&".join(f"{name}={value}" for name, value in chosen)
    # Half a surrogate pair is signed by nobody.
    return text.encode(errors="replace")


def dump(value: object) -> str:
    """Serialise as the gateway does: compact, unescaped Chinese, escaped slashes."""
    return wire.dump(value).decode().replace("/", "\\/")


def yuan(fen: int) -> str:
    """Write an amount as the gateway does: `1234` becomes `12.34`."""
    whole, part = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{whole}.{part:02d}"


def fen(text: str) -> int:
    """Read an amount in yuan with at most two decimals; `ValueError`."""
    match = _YUAN.fullmatch(text)
    if match is None:
        raise ValueError("is not an amount in yuan")
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def china_time(seconds: float) -> str:
    """Write a moment in China's time, to the second, without offset."""
    return datetime.fromtimestamp(seconds, CHINA_TIME).strftime(TIME_FORMAT)


def china_date(seconds: float) -> str:
    """Return China's date of a moment."""
    return china_time(seconds)[:10]


def seconds_of(text: str) -> float:
    """Read a moment in China's time; `ValueError`."""
    return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=CHINA_TIME).timestamp()


def number(now: float, digits: int) -> str:
    """Make a gateway's number: China's date, random digits; `digits` long in all."""
    head = china_date(now).replace("-", "") + "22001"
    width = digits - len(head)
    return head + str(secrets.randbelow(10**width)).zfill(width)
