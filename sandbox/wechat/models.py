"""Bodies that merchants send, with their field rules; a broken rule is a PARAM_ERROR."""

import ipaddress
import json
import re
from datetime import datetime
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sandbox.wechat.protocol import Json, WeChatError, parameter_error

_HOST_NAME = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*")
_PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".lan")


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


def _rfc3339(text: str) -> str:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None and "T" in text
    except ValueError:
        aware = False
    if not aware:
        raise ValueError("is not an RFC 3339 time")
    return text


NotifyUrl = Annotated[str, Field(max_length=255), AfterValidator(_public_https_url)]
OutTradeNo = Annotated[str, Field(pattern=r"^[0-9A-Za-z_\-|*]{6,32}$")]


class _Body(BaseModel):
    # Strict: "1" is no amount. Unknown names are ignored, as the gateway ignores them.
    model_config = ConfigDict(strict=True, extra="ignore")


class OrderAmount(_Body):
    """What is to be paid."""

    total: int = Field(gt=0, le=10**11)
    currency: Literal["CNY"] = "CNY"


class Payer(_Body):
    """Who pays, as the appid knows them."""

    openid: str = Field(min_length=1, max_length=128)


class OrderBody(_Body):
    """`POST /v3/pay/transactions/{jsapi|native}`."""

    appid: str = Field(min_length=1, max_length=32)
    mchid: str = Field(min_length=1, max_length=32)
    description: str = Field(min_length=1, max_length=127)
    out_trade_no: OutTradeNo
    time_expire: Annotated[str, AfterValidator(_rfc3339)] | None = None
    attach: str = Field(default="", max_length=128)
    notify_url: NotifyUrl
    amount: OrderAmount
    payer: Payer | None = None


class CloseBody(_Body):
    """`POST …/out-trade-no/{out_trade_no}/close`."""

    mchid: str


class RefundAmount(_Body):
    """What goes back, and of how much."""

    refund: int = Field(gt=0)
    total: int = Field(gt=0)
    currency: Literal["CNY"]


class RefundBody(_Body):
    """`POST /v3/refund/domestic/refunds`."""

    transaction_id: str | None = Field(default=None, min_length=1, max_length=32)
    out_trade_no: OutTradeNo | None = None
    out_refund_no: str = Field(pattern=r"^[0-9A-Za-z_\-|*@]{1,64}$")
    reason: str | None = Field(default=None, max_length=80)
    notify_url: NotifyUrl | None = None
    amount: RefundAmount


Body = TypeVar("Body", bound=_Body)


def parse(model: type[Body], raw: bytes) -> tuple[Body, Json]:
    """Return the checked body and the JSON it came from; `WeChatError` PARAM_ERROR."""
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WeChatError(400, "PARAM_ERROR", "请求体不是合法的 JSON") from error
    if not isinstance(parsed, dict):
        raise WeChatError(400, "PARAM_ERROR", "请求体不是 JSON 对象")
    try:
        return model.model_validate(parsed), parsed
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        pointer = "/" + "/".join(str(step) for step in first["loc"])
        value = None if first["type"] == "missing" else first["input"]
        raise parameter_error(pointer, value, first["msg"]) from error
