"""One signed request to the bank and its verified answer, in three results; no meaning of either.

Raises nothing that the network or the bank causes.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import httpx
import orjson

from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.bank import signing
from services.bank.accounts import Account
from services.bank.signing import request_headers
from services.channel_http import TIMEOUT, USER_AGENT, Answer, exchange
from services.channel_json import Json, read_json, text

HOST = "https://bank.sandbox"
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""A day's statement is the longest."""

KINDS = {
    400: Refusal.NEVER,
    401: Refusal.LATER,
    402: Refusal.LATER,
    404: Refusal.NOT_FOUND,
    409: Refusal.NEVER,
    425: Refusal.LATER,
}
"""What the status of a refusal means; any other one is no refusal."""
SAYS_NOTHING = frozenset(
    {
        "SIGNATURE_WRONG",
        "DATE_STALE",
        "REQUEST_ID_REUSED",
        "PAYMENT_CHANGED",
        "REFUND_CHANGED",
        "SPLIT_CHANGED",
        "RETURN_CHANGED",
        "BATCH_CHANGED",
    }
)
"""Refusals of a repetition after which what came before may stand all the same."""

T = TypeVar("T")


class Wire:
    """Signs, sends and verifies; holds no state of its own."""

    def __init__(
        self, http: httpx.AsyncClient, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._http = http
        self.now = now

    async def ask(
        self,
        account: Account,
        method: str,
        path: str,
        content: Json | None = None,
        *,
        read: Callable[[Json], T],
    ) -> Outcome[T]:
        """One request, and what `read` makes of the answer; its ValueError is `Unknown`."""
        answer = await self.fetch(account, method, path, content)
        if not isinstance(answer, Accepted):
            return answer
        try:
            return Accepted(value=read(read_json(answer.value)))
        except ValueError:
            return Unknown(reason=signing.Refusal.WRONG_SHAPE)

    async def fetch(
        self, account: Account, method: str, path: str, content: Json | None = None
    ) -> Outcome[bytes]:
        """One request, and the bytes of its verified answer."""
        body = b"" if content is None else orjson.dumps(content)
        request_id = _request_id(account, method, path, body)
        answer = await self._send(account, method, path, body, request_id)
        if isinstance(answer, Unknown):
            return answer
        fault = signing.find_fault(
            account, answer.headers, answer.body, now=self.now(), status=answer.status
        )
        if fault is not None:
            # A breakdown says so by its status better than by the signature that it lacks.
            broken = answer.status not in {*KINDS, httpx.codes.OK}
            return Unknown(reason=f"http_{answer.status}" if broken else fault)
        if answer.headers["x-request-id"] != request_id:
            return Unknown(reason=signing.Refusal.OTHER_REQUEST)
        if answer.status == httpx.codes.OK:
            return Accepted(value=answer.body)
        return _read_refusal(answer, is_question=method == "GET")

    async def _send(
        self, account: Account, method: str, path: str, body: bytes, request_id: str
    ) -> Answer | Unknown:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if body:
            headers["Content-Type"] = "application/json"
        request = self._http.build_request(
            method, HOST + path, content=body, headers=headers, timeout=TIMEOUT
        )
        signed = request_headers(
            account,
            method=method,
            target=request.url.raw_path.decode("ascii"),
            body=body,
            request_id=request_id,
            now=self.now(),
        )
        request.headers.update(signed)
        return await exchange(self._http, request, max_bytes=MAX_ANSWER_BYTES)


def _request_id(account: Account, method: str, path: str, body: bytes) -> str:
    """The same for the same command, so that the bank knows a repetition; fresh for a question."""
    if method == "GET":
        return str(uuid.uuid4())
    named = f"{account.account} {path} {signing.digest(body)}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, named))


def _read_refusal(answer: Answer, *, is_question: bool) -> Rejected | Unknown:
    kind = KINDS.get(answer.status)
    if kind is None:
        return Unknown(reason=f"http_{answer.status}")
    try:
        data = read_json(answer.body)
        code, field = text(data, "code"), data.get("field")
    except ValueError:
        return Unknown(reason=f"http_{answer.status}")
    if code in SAYS_NOTHING and not is_question:
        return Unknown(reason=code)
    return Rejected(code=code, message=field if isinstance(field, str) else "", kind=kind)
