"""Calls to WeChat Pay API v3, one payee at a time; what follows from them is decided elsewhere."""

import asyncio
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal, TypeVar
from urllib.parse import quote

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from domain.outcomes import Accepted, Outcome, Rejected, Unknown
from services.wechat.accounts import PUBLIC_KEY_PREFIX, Account
from services.wechat.answers import (
    CURRENCY,
    Json,
    Prepay,
    RefundState,
    Transaction,
    as_object,
    read_json,
    read_prepay,
    read_refund,
    read_transaction,
    section,
    text,
)
from services.wechat.notices import NoticeRefused, PaymentNotice, RefundNotice, read_notice
from services.wechat.signing import Refusal, authorization, find_fault, open_sealed

HOST = "https://api.mch.weixin.qq.com"
CONNECT_TIMEOUT_SECONDS = 2.0
TOTAL_TIMEOUT_SECONDS = 5.0
MAX_ANSWER_BYTES = 262_144
USER_AGENT = "paotui/1"
CHINA = timezone(timedelta(hours=8))

AMBIGUOUS_CODES = frozenset({"SYSTEM_ERROR", "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED"})
"""Refusals after which it may have happened all the same."""

T = TypeVar("T")
_TIMEOUT = httpx.Timeout(TOTAL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What came back over the wire, not yet believed."""

    status: int
    headers: httpx.Headers
    body: bytes


class WechatPay:
    """WeChat Pay as its merchants see it; holds no state of its own.

    Every call is one request, plus at most one for certificates every ten seconds. `Unknown` is to
    be queried, or a create or refund repeated under the same number with the same parameters.
    `Rejected` holds the gateway's code and, at most, a pointer to the offending field.
    """

    def __init__(
        self, http: httpx.AsyncClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._http = http
        self._now = now

    async def create(
        self,
        account: Account,
        *,
        method: Literal["jsapi", "native"],
        out_trade_no: str,
        amount_fen: int,
        description: str,
        notify_url: str,
        expires_at: datetime,
        openid: str | None,
    ) -> Outcome[Prepay]:
        """Place a channel order; `openid` is the payer of a JSAPI order and unused for Native.

        A repetition that is rejected (OUT_TRADE_NO_USED, ORDERPAID…) tells nothing about the
        first one: query it.
        """
        order: Json = {
            "appid": account.appid,
            "mchid": account.mchid,
            "description": description,
            "out_trade_no": out_trade_no,
            "time_expire": expires_at.astimezone(CHINA).isoformat(timespec="seconds"),
            "notify_url": notify_url,
            "amount": {"total": amount_fen, "currency": CURRENCY},
        }
        if method == "jsapi":
            order["payer"] = {"openid": openid}
        return await self._ask(
            account, "POST", f"/v3/pay/transactions/{method}", order, read=read_prepay
        )

    async def query(self, account: Account, *, out_trade_no: str) -> Outcome[Transaction]:
        """Ask for a payment by our number; `Rejected("ORDER_NOT_EXIST")` if it was never made."""
        return await self._ask(
            account,
            "GET",
            f"{_order_path(out_trade_no)}?mchid={quote(account.mchid, safe='')}",
            read=lambda data: _expect(
                read_transaction(data), mchid=account.mchid, out_trade_no=out_trade_no
            ),
        )

    async def query_by_id(self, account: Account, *, transaction_id: str) -> Outcome[Transaction]:
        """Ask for a payment by WeChat Pay's number."""
        return await self._ask(
            account,
            "GET",
            f"/v3/pay/transactions/id/{quote(transaction_id, safe='')}"
            f"?mchid={quote(account.mchid, safe='')}",
            read=lambda data: _expect(
                read_transaction(data), mchid=account.mchid, transaction_id=transaction_id
            ),
        )

    async def close(self, account: Account, *, out_trade_no: str) -> Outcome[None]:
        """Close an unpaid order; repeatable. Query next: the customer may have been faster."""
        answer = await self._call(
            account, "POST", f"{_order_path(out_trade_no)}/close", {"mchid": account.mchid}
        )
        return Accepted(value=None) if isinstance(answer, Accepted) else answer

    async def refund(
        self,
        account: Account,
        *,
        out_trade_no: str,
        out_refund_no: str,
        refund_fen: int,
        total_fen: int,
        reason: str,
        notify_url: str,
    ) -> Outcome[RefundState]:
        """Ask for a refund; accepted is not refunded: follow its status."""
        request: Json = {
            "out_trade_no": out_trade_no,
            "out_refund_no": out_refund_no,
            "reason": reason,
            "notify_url": notify_url,
            "amount": {"refund": refund_fen, "total": total_fen, "currency": CURRENCY},
        }
        return await self._ask(
            account,
            "POST",
            "/v3/refund/domestic/refunds",
            request,
            read=lambda data: _expect(read_refund(data), out_refund_no=out_refund_no),
        )

    async def query_refund(self, account: Account, *, out_refund_no: str) -> Outcome[RefundState]:
        """Ask for a refund; after `Rejected("RESOURCE_NOT_EXISTS")` repeat it, same number."""
        return await self._ask(
            account,
            "GET",
            f"/v3/refund/domestic/refunds/{quote(out_refund_no, safe='')}",
            read=lambda data: _expect(read_refund(data), out_refund_no=out_refund_no),
        )

    async def certificates(self, account: Account) -> Outcome[None]:
        """Fetch the platform certificates anew; a payee in public-key mode may have none (404)."""
        answer = await self._send(account, "GET", "/v3/certificates")
        if not isinstance(answer, _Answer):
            return answer
        if answer.status != httpx.codes.OK:
            return _read_refusal(answer)
        now = self._now()
        try:
            keys = _open_certificates(account, answer.body, now=now)
        except ValueError:
            return Unknown(reason=Refusal.WRONG_SHAPE)
        fault = find_fault(account, answer.headers, answer.body, now=now, extra_keys=keys)
        if fault is not None:
            return Unknown(reason=fault)
        account.certificates.keep(keys, now=now)
        return Accepted(value=None)

    async def notice(
        self, account: Account, headers: Mapping[str, str], body: bytes
    ) -> PaymentNotice | RefundNotice:
        """`read_notice`, fetching certificates once where the serial is not known yet."""
        try:
            return read_notice(account, headers, body, now=self._now())
        except NoticeRefused as refused:
            if refused.reason is not Refusal.UNKNOWN_SERIAL:
                raise
        await self._learn(account, httpx.Headers(dict(headers)).get("wechatpay-serial", ""))
        return read_notice(account, headers, body, now=self._now())

    async def _ask(
        self,
        account: Account,
        method: str,
        target: str,
        content: Json | None = None,
        *,
        read: Callable[[Json], T],
    ) -> Outcome[T]:
        answer = await self._call(account, method, target, content)
        if not isinstance(answer, Accepted):
            return answer
        try:
            return Accepted(value=read(read_json(answer.value)))
        except ValueError:
            return Unknown(reason=Refusal.WRONG_SHAPE)

    async def _call(
        self, account: Account, method: str, target: str, content: Json | None = None
    ) -> Outcome[bytes]:
        """One request and a body that is verified, or why there is none."""
        answer = await self._send(account, method, target, content)
        if not isinstance(answer, _Answer):
            return answer
        if answer.status not in {httpx.codes.OK, httpx.codes.NO_CONTENT}:
            return _read_refusal(answer)
        fault = find_fault(account, answer.headers, answer.body, now=self._now())
        if fault is Refusal.UNKNOWN_SERIAL:
            await self._learn(account, answer.headers.get("wechatpay-serial", ""))
            fault = find_fault(account, answer.headers, answer.body, now=self._now())
        return Unknown(reason=fault) if fault else Accepted(value=answer.body)

    async def _learn(self, account: Account, serial: str) -> None:
        """Fetch certificates for a serial, unless somebody just did or it can't be one."""
        if serial.startswith(PUBLIC_KEY_PREFIX):
            return
        async with account.certificates.lock:
            now = self._now()
            if account.verifier(serial, now=now) is None and account.certificates.may_ask(now=now):
                await self.certificates(account)

    async def _send(
        self, account: Account, method: str, target: str, content: Json | None = None
    ) -> _Answer | Unknown:
        body = b"" if content is None else orjson.dumps(content)
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if account.public_key_id:
            headers["Wechatpay-Serial"] = account.public_key_id
        request = self._http.build_request(
            method, HOST + target, content=body, headers=headers, timeout=_TIMEOUT
        )
        request.headers["Authorization"] = authorization(
            account,
            method=method,
            target=request.url.raw_path,
            body=body,
            timestamp=int(self._now().timestamp()),
            nonce=secrets.token_hex(16),
        )
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_SECONDS):
                return await self._exchange(request)
        except TimeoutError:
            return Unknown(reason="timeout")
        except httpx.HTTPError as error:
            return Unknown(reason=type(error).__name__)

    async def _exchange(self, request: httpx.Request) -> _Answer | Unknown:
        response = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    return Unknown(reason="answer_too_large")
        finally:
            await response.aclose()
        return _Answer(status=response.status_code, headers=response.headers, body=bytes(body))


def _order_path(out_trade_no: str) -> str:
    return f"/v3/pay/transactions/out-trade-no/{quote(out_trade_no, safe='')}"


def _expect(answer: T, **asked: str) -> T:
    """A signed answer may still be the answer to another question."""
    if any(getattr(answer, name) != value for name, value in asked.items()):
        raise ValueError("an answer about something else")
    return answer


def _read_refusal(answer: _Answer) -> Rejected | Unknown:
    """An answer that isn't 200 or 204: certain only if it is a 4xx with an unambiguous code."""
    uncertain = Unknown(reason=f"http_{answer.status}")
    if not httpx.codes.is_client_error(answer.status) or answer.status == 429:
        return uncertain
    try:
        data = read_json(answer.body)
        code = text(data, "code")
    except ValueError:
        return uncertain
    if code in AMBIGUOUS_CODES or not _CODE.fullmatch(code):
        return uncertain
    try:
        # Other parts of a refusal may repeat what we sent.
        return Rejected(code=code, message=text(section(data, "detail"), "field"))
    except ValueError:
        return Rejected(code=code)


def _open_certificates(
    account: Account, body: bytes, *, now: datetime
) -> Mapping[str, RSAPublicKey]:
    """The keys in the answer of `/v3/certificates`, without those that have expired."""
    keys = {}
    listed = read_json(body).get("data")
    if not isinstance(listed, list):
        raise ValueError("no list of certificates")  # noqa: TRY004 - one kind for all bad JSON
    for entry in listed:
        item = as_object(entry)
        sealed = section(item, "encrypt_certificate")
        certificate = load_pem_x509_certificate(
            open_sealed(
                account.apiv3_key,
                nonce=text(sealed, "nonce"),
                associated_data=str(sealed.get("associated_data") or ""),
                ciphertext=str(sealed.get("ciphertext")),
            )
        )
        key = certificate.public_key()
        if isinstance(key, RSAPublicKey) and now < certificate.not_valid_after_utc:
            keys[text(item, "serial_no")] = key
    return keys
