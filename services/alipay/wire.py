"""One request to the gateway and a verified answer, or why there is none; no meaning of fields."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
import orjson

from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.alipay.accounts import Account
from services.alipay.answers import china_time
from services.alipay.signing import is_signed, raw_members, read_node, sign, signed_text
from services.channel_http import TIMEOUT, USER_AGENT, exchange
from services.channel_json import text

GATEWAY = "https://openapi.alipay.com/gateway.do"
MAX_ANSWER_BYTES = 262_144

SUCCESS = "10000"
BUSINESS_FAILED = "40004"
REFUSED_AT_THE_DOOR = frozenset({"20001", "40001", "40002", "40006"})
"""Nothing was looked at behind the gateway, which then doesn't always sign."""
AMBIGUOUS = frozenset({"ACQ.SYSTEM_ERROR", "AOP.ACQ.SYSTEM_ERROR"})
"""Refusals after which it may have happened all the same."""
KINDS = {
    "ACQ.TRADE_NOT_EXIST": Refusal.NOT_FOUND,
    "ACQ.TRADE_SETTLE_NOT_EXIST": Refusal.NOT_FOUND,
    "ACQ.INVALID_PARAMETER": Refusal.NEVER,
    "ACQ.TRADE_STATUS_ERROR": Refusal.NEVER,
    "ACQ.TRADE_HAS_CLOSE": Refusal.NEVER,
    "ACQ.TRADE_HAS_FINISHED": Refusal.NEVER,
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": Refusal.NEVER,
    "ACQ.DISCORDANT_REPEAT_REQUEST": Refusal.NEVER,
    "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR": Refusal.NEVER,
    "ACQ.TRADE_SETTLE_ERROR": Refusal.NEVER,
}
"""What is not listed may be mended: no balance, no permission, a receiver not bound."""

Fields = dict[str, Any]
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def signed_request(
    account: Account, method: str, parameters: Mapping[str, str], *, now: datetime
) -> dict[str, str]:
    """The parameters of a request, `biz_content` among them, with its time and signature."""
    request = {
        "app_id": account.app_id,
        "method": method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": china_time(now),
        "version": "1.0",
        **parameters,
    }
    return request | {"sign": sign(account.private_key, signed_text(request))}


async def call(
    http: httpx.AsyncClient,
    account: Account,
    method: str,
    content: Mapping[str, Any],
    public: Mapping[str, str],
    *,
    now: datetime,
) -> Outcome[Fields]:
    """Ask once; `public` are parameters beside `biz_content`, none of them empty."""
    parameters = {"biz_content": orjson.dumps(content).decode(), **public}
    request = http.build_request(
        "POST",
        GATEWAY,
        data=signed_request(account, method, parameters, now=now),
        headers={"Accept": "application/json", "User-Agent": USER_AGENT},
        timeout=TIMEOUT,
    )
    body = await fetch(http, request, max_bytes=MAX_ANSWER_BYTES)
    if isinstance(body, Unknown):
        return body
    return read_answer(account, method, body)


async def fetch(
    http: httpx.AsyncClient,
    request: httpx.Request,
    *,
    max_bytes: int,
    timeout_seconds: float | None = None,
) -> bytes | Unknown:
    """Send a request; the body of a 200, or why there is none."""
    answer = await exchange(http, request, max_bytes=max_bytes, timeout_seconds=timeout_seconds)
    if isinstance(answer, Unknown):
        return answer
    if answer.status != httpx.codes.OK:
        return Unknown(reason=f"http_{answer.status}")
    return answer.body


def read_answer(account: Account, method: str, body: bytes) -> Outcome[Fields]:
    """Which of the three results an answer is; only a signed one tells what happened inside."""
    try:
        members = raw_members(body.decode())
        name = method.replace(".", "_") + "_response"
        raw = members.get(name) or members["error_response"]
        node = read_node(raw)
        code, reason = text(node, "code"), _reason(node)
        signature = orjson.loads(members.get("sign", '""'))
    except (ValueError, KeyError):
        return Unknown(reason="wrong_shape")
    if code in REFUSED_AT_THE_DOOR:
        return Rejected(code=reason)
    if name not in members or not is_signed(account.alipay_public_key, raw, str(signature)):
        return Unknown(reason="bad_signature")
    if code == SUCCESS:
        return Accepted(value=node)
    if code == BUSINESS_FAILED and reason not in AMBIGUOUS:
        return Rejected(code=reason, kind=KINDS.get(reason, Refusal.LATER))
    return Unknown(reason=reason)


def _reason(node: Fields) -> str:
    """The sub_code, or the code where there is none."""
    reason = text(node, "sub_code") if node.get("sub_code") else text(node, "code")
    if not _CODE.fullmatch(reason):
        raise ValueError("not a code")
    return reason
