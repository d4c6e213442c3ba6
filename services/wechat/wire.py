"""One signed request to WeChat Pay and its verified answer; what is asked is said elsewhere."""

import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

import httpx
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services import metrics
from services.channel_http import TIMEOUT, USER_AGENT, Answer, exchange
from services.channel_json import Json, read_json, section, sections, text
from services.wechat.accounts import PUBLIC_KEY_PREFIX, Account
from services.wechat.signing import Fault, authorization, find_fault, open_sealed

HOST = "https://api.mch.weixin.qq.com"
DOWNLOAD_TIMEOUT_SECONDS = 60.0
MAX_ANSWER_BYTES = 262_144
MAX_DOWNLOAD_BYTES = 64 * 1024 * 1024

AMBIGUOUS_CODES = frozenset({"SYSTEM_ERROR", "FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED"})
"""Refusals after which it may have happened all the same."""
NOT_FOUND_CODES = frozenset({"ORDER_NOT_EXIST", "RESOURCE_NOT_EXISTS", "NO_STATEMENT_EXIST"})
NEVER_CODES = frozenset(
    {
        "PARAM_ERROR",
        "INVALID_REQUEST",
        "MCH_NOT_EXISTS",
        "APPID_MCHID_NOT_MATCH",
        "REFUND_FEE_MISMATCH",
        "TRADE_OVERDUE",
        "USER_ACCOUNT_ABNORMAL",
    }
)
"""Refusals that no time mends."""

T = TypeVar("T")
_CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")


class Wire:
    """Signs, sends and verifies; holds no state of its own.

    Every call is one request, plus at most one for certificates every ten seconds. `Rejected`
    holds the gateway's code and, at most, a pointer to the offending field.
    """

    def __init__(
        self, http: httpx.AsyncClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._http = http
        self._now = now

    async def certificates(self, account: Account) -> Outcome[None]:
        """Fetch the platform certificates anew; a payee in public-key mode may have none (404)."""
        answer = await self._send(account, "GET", "/v3/certificates")
        if not isinstance(answer, Answer):
            return answer
        if answer.status != httpx.codes.OK:
            return _read_refusal(answer)
        now = self._now()
        try:
            keys, expires_at = _open_certificates(account, answer.body, now=now)
        except ValueError:
            return Unknown(reason=Fault.WRONG_SHAPE)
        fault = find_fault(account, answer.headers, answer.body, now=now, extra_keys=keys)
        if fault is not None:
            return Unknown(reason=fault)
        account.certificates.keep(keys, now=now)
        if expires_at is not None:
            metrics.certificate("wechat", account.mchid, "channel", expires_at)
        return Accepted(value=None)

    async def _ask(
        self,
        account: Account,
        method: str,
        target: str,
        content: Json | None = None,
        *,
        read: Callable[[Json], T],
        serial: str = "",
    ) -> Outcome[T]:
        """One request and what is read of its answer; a ValueError of `read` is no answer."""
        answer = await self._call(account, method, target, content, serial=serial)
        if not isinstance(answer, Accepted):
            return answer
        try:
            return Accepted(value=read(read_json(answer.value)))
        except ValueError:
            return Unknown(reason=Fault.WRONG_SHAPE)

    async def _do(
        self,
        account: Account,
        method: str,
        target: str,
        content: Json,
        *,
        serial: str = "",
    ) -> Outcome[None]:
        """One request whose answer says nothing but yes."""
        answer = await self._call(account, method, target, content, serial=serial)
        return Accepted(value=None) if isinstance(answer, Accepted) else answer

    async def _call(
        self,
        account: Account,
        method: str,
        target: str,
        content: Json | None = None,
        *,
        serial: str = "",
    ) -> Outcome[bytes]:
        """One request and a body that is verified, or why there is none.

        `serial` names the key that fields of the request are encrypted with.
        """
        answer = await self._send(account, method, target, content, serial=serial)
        if not isinstance(answer, Answer):
            return answer
        if answer.status not in {httpx.codes.OK, httpx.codes.NO_CONTENT}:
            return _read_refusal(answer)
        fault = find_fault(account, answer.headers, answer.body, now=self._now())
        if fault is Fault.UNKNOWN_SERIAL:
            await self._learn(account, answer.headers.get("wechatpay-serial", ""))
            fault = find_fault(account, answer.headers, answer.body, now=self._now())
        return Unknown(reason=fault) if fault else Accepted(value=answer.body)

    async def _download(self, account: Account, target: str) -> Outcome[bytes]:
        """A file, whose answer WeChat Pay does not sign: hold it against a hash that it did."""
        answer = await self._send(
            account,
            "GET",
            target,
            timeout_seconds=DOWNLOAD_TIMEOUT_SECONDS,
            max_bytes=MAX_DOWNLOAD_BYTES,
        )
        if not isinstance(answer, Answer):
            return answer
        if answer.status != httpx.codes.OK:
            return _read_refusal(answer)
        return Accepted(value=answer.body)

    async def _learn(self, account: Account, serial: str) -> None:
        """Fetch certificates for a serial, unless somebody just did or it can't be one."""
        if serial.startswith(PUBLIC_KEY_PREFIX):
            return
        async with account.certificates.lock:
            now = self._now()
            if account.verifier(serial, now=now) is None and account.certificates.may_ask(now=now):
                await self.certificates(account)

    async def _send(
        self,
        account: Account,
        method: str,
        target: str,
        content: Json | None = None,
        *,
        serial: str = "",
        timeout_seconds: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer | Unknown:
        body = b"" if content is None else orjson.dumps(content)
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if content is not None:
            headers["Content-Type"] = "application/json"
        if serial or account.public_key_id:
            headers["Wechatpay-Serial"] = serial or account.public_key_id
        request = self._http.build_request(
            method, HOST + target, content=body, headers=headers, timeout=TIMEOUT
        )
        request.headers["Authorization"] = authorization(
            account,
            method=method,
            target=request.url.raw_path,
            body=body,
            timestamp=int(self._now().timestamp()),
            nonce=secrets.token_hex(16),
        )
        return await exchange(
            self._http, request, max_bytes=max_bytes, timeout_seconds=timeout_seconds
        )

    async def _plain(self, url: str, content: Json) -> Outcome[Json]:
        """One request to a host of WeChat's where nothing is signed."""
        request = self._http.build_request("POST", url, json=content, timeout=TIMEOUT)
        answer = await exchange(self._http, request, max_bytes=MAX_ANSWER_BYTES)
        if not isinstance(answer, Answer):
            return answer
        if answer.status != httpx.codes.OK:
            return Unknown(reason=f"http_{answer.status}")
        try:
            return Accepted(value=read_json(answer.body))
        except ValueError:
            return Unknown(reason=Fault.WRONG_SHAPE)

    async def _sealing_key(self, account: Account) -> tuple[str, RSAPublicKey] | None:
        """The serial and key that personal fields are encrypted with."""
        if account.public_key is not None:
            return account.public_key_id, account.public_key
        if account.certificates.newest(now=self._now()) is None:
            await self.certificates(account)
        return account.certificates.newest(now=self._now())


def expect(answer: T, **asked: object) -> T:
    """A signed answer may still be the answer to another question: ValueError."""
    if any(getattr(answer, name) != value for name, value in asked.items()):
        raise ValueError("an answer about something else")
    return answer


def _read_refusal(answer: Answer) -> Rejected | Unknown:
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
        field = text(section(data, "detail"), "field")
    except ValueError:
        field = ""
    return Rejected(code=code, message=field, kind=_kind(code))


def _kind(code: str) -> Refusal:
    if code in NOT_FOUND_CODES:
        return Refusal.NOT_FOUND
    return Refusal.NEVER if code in NEVER_CODES else Refusal.LATER


def _open_certificates(
    account: Account, body: bytes, *, now: datetime
) -> tuple[Mapping[str, RSAPublicKey], datetime | None]:
    """The unexpired keys in the answer of `/v3/certificates`, and when the last of them expires."""
    keys, ends = {}, []
    for item in sections(read_json(body), "data"):
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
            ends.append(certificate.not_valid_after_utc)
    return keys, max(ends, default=None)
