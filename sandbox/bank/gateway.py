"""The HTTP edge of the bank: who asks, is the request signed, and the signed answer."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.bank.accounts import Client
from sandbox.bank.protocol import (
    ANSWER_COVERS,
    CHANNEL,
    REQUEST_COVERS,
    BankError,
    digest,
    is_fresh,
    is_rightly_signed,
    message,
    parse_signature,
)
from sandbox.bank.service import Bank
from sandbox.faults import BLEMISHES, Fault, FaultScript, Meeting, Operation
from sandbox.gateways import cut, read_body
from sandbox.store import Value
from sandbox.wire import Json, dump, texts

MAX_BODY_BYTES = 512 * 1024
REQUESTS_KEPT_SECONDS = 24 * 3600

_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
_BREAKDOWNS: Mapping[Fault, tuple[int, str]] = {
    Fault.HTTP_500: (500, "INTERNAL_ERROR"),
    Fault.HTTP_502: (502, "BAD_GATEWAY"),
    Fault.HTTP_429: (429, "TOO_MANY_REQUESTS"),
    Fault.SYSTEM_ERROR: (500, "INTERNAL_ERROR"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One authenticated request."""

    client: Client
    path: Mapping[str, str]
    body: bytes
    request_id: str
    content_hash: str
    """Of what must not change while the request's id stays; empty for a question."""


_Act = Callable[[_Call], Json | bytes]


def create_gateway(bank: Bank) -> Starlette:
    """Make the application of `bank.sandbox`."""
    gateway = _Gateway(bank)
    payments, refunds, splits = bank.payments, bank.refunds, bank.splits
    payouts, statements = bank.payouts, bank.statements
    posts: list[tuple[str, Operation, Callable[[Client, bytes], Json]]] = [
        ("/v1/payments", "create", payments.create),
        ("/v1/refunds", "refund", refunds.create),
        ("/v1/splits", "split", splits.create),
        ("/v1/splits/unfreeze", "unfreeze", splits.unfreeze),
        ("/v1/split-returns", "split_return", splits.give_back),
        ("/v1/payout-batches", "transfer", payouts.create),
    ]
    gets: list[tuple[str, Operation, Callable[[Client, str], Json]]] = [
        ("/v1/payments/{out_trade_no}", "query", payments.query),
        ("/v1/payments/{out_trade_no}/consent", "query", payments.consent),
        ("/v1/refunds/{out_refund_no}", "refund_query", refunds.query),
        ("/v1/splits/{out_order_no}", "split_query", splits.query),
        ("/v1/split-returns/{out_return_no}", "split_return_query", splits.query_return),
        ("/v1/payout-batches/{batch_id}", "transfer_query", payouts.query),
        ("/v1/payout-lines/{line_id}", "transfer_query", payouts.query_line),
    ]
    return Starlette(
        routes=[
            *(gateway.route("POST", path, kind, _posted(act)) for path, kind, act in posts),
            *(gateway.route("GET", path, kind, _asked(act)) for path, kind, act in gets),
            gateway.route(
                "POST", "/v1/payments/{out_trade_no}/close", "close", _asked(payments.close)
            ),
            gateway.route(
                "GET",
                "/v1/statements/{kind}/{day}",
                "bill",
                lambda call: statements.statement(call.client, call.path["kind"], call.path["day"]),
            ),
        ]
    )


def _posted(act: Callable[[Client, bytes], Json]) -> _Act:
    return lambda call: act(call.client, call.body)


def _asked(act: Callable[[Client, str], Json]) -> _Act:
    return lambda call: act(call.client, next(iter(call.path.values())))


class _Gateway:
    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    def route(self, method: str, path: str, operation: Operation, act: _Act) -> Route:
        """Wrap an act into authentication, faults and the signed answer."""

        async def endpoint(request: Request) -> Response:
            try:
                call = await self._authenticated(request)
            except BankError as error:
                return self._refusal(request.headers.get("X-Request-ID", ""), error)
            fault = self._bank.faults.draw(self._meeting(operation, call))
            if fault is None:
                return self._answer(act, call, None)
            return await self._faulty_answer(request, act, call, fault)

        # Starlette adds HEAD to GET by itself; the bank has none.
        route = Route(path, endpoint, methods=[method])
        route.methods = {method}
        return route

    async def _authenticated(self, request: Request) -> _Call:
        """Check a request: its size, its headers, its clock, its client, then the signature."""
        body = await _body(request)
        given = {name: request.headers.get(name, "") for name in REQUEST_COVERS[1:]}
        if not _REQUEST_ID.fullmatch(given["x-request-id"]):
            raise BankError(400, "PARAMETER_WRONG", "X-Request-ID")
        fields = parse_signature(request.headers.get("Signature", ""))
        if not fields or given["digest"] != digest(body):
            raise BankError(401, "SIGNATURE_WRONG")
        if not is_fresh(given["date"]):
            raise BankError(401, "DATE_STALE")
        client = self._bank.accounts.find_by_client_id(fields["keyId"])
        query: bytes = request.scope["query_string"]
        target = (request.scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")
        asked = f"{request.method.lower()} {target}"
        signed = message(REQUEST_COVERS, {**given, "(request-target)": asked})
        if client is None or not is_rightly_signed(client.public_key, fields, signed):
            raise BankError(401, "SIGNATURE_WRONG")
        content = hashlib.sha256(f"{asked}\n{given['digest']}".encode()).hexdigest()
        return _Call(
            client=client,
            path=request.path_params,
            body=body,
            request_id=given["x-request-id"],
            content_hash=content if request.method == "POST" else "",
        )

    def _require_same_content(self, call: _Call) -> None:
        """A request's id belongs to one content for a day: 409 REQUEST_ID_REUSED."""
        if not call.content_hash:
            return
        store, now = self._bank.store, time.time()
        store.run("DELETE FROM bank_requests WHERE at < :old", old=now - REQUESTS_KEPT_SECONDS)
        known = store.one(
            "SELECT content_hash FROM bank_requests WHERE client_id = :client AND request_id = :id",
            client=call.client.client_id,
            id=call.request_id,
        )
        if known is None:
            row: dict[str, Value] = {
                "client_id": call.client.client_id,
                "request_id": call.request_id,
                "content_hash": call.content_hash,
                "at": now,
            }
            store.insert("bank_requests", row)
        elif known["content_hash"] != call.content_hash:
            raise BankError(409, "REQUEST_ID_REUSED", "X-Request-ID")

    def _meeting(self, operation: Operation, call: _Call) -> Meeting:
        numbers = texts(call.body) | dict(call.path)
        out_trade_no = numbers.get("out_trade_no") or numbers.get("batch_id")
        if out_trade_no is None and "transaction_id" in numbers:
            row = self._bank.payments.find_paid(call.client.account, numbers["transaction_id"])
            out_trade_no = row["out_trade_no"] if row else None
        return Meeting(
            channel=CHANNEL,
            operation=operation,
            mchid=call.client.account,
            out_trade_no=out_trade_no,
            out_refund_no=numbers.get("out_refund_no"),
        )

    def _answer(self, act: _Act, call: _Call, fault: FaultScript | None) -> Response:
        try:
            self._require_same_content(call)
            result = act(call)
        except BankError as error:
            return self._refusal(call.request_id, error, fault)
        if isinstance(result, bytes):
            return self._signed(200, call.request_id, result, fault, "application/jsonl")
        return self._signed(200, call.request_id, dump(result), fault)

    async def _faulty_answer(
        self, request: Request, act: _Act, call: _Call, fault: FaultScript
    ) -> Response:
        await asyncio.sleep(fault.delay_seconds)
        answer = self._answer(act, call, fault) if fault.is_effective else Response()
        if fault.fault in {Fault.DROP_BEFORE, Fault.DROP_AFTER_COMMIT}:
            return await cut(request)
        if fault.fault is Fault.HTTP_202:
            return self._signed(202, call.request_id, dump({"code": "ACCEPTED"}), fault)
        if fault.fault in _BREAKDOWNS:
            status, code = _BREAKDOWNS[fault.fault]
            return Response(dump({"code": code}), status, media_type="application/json")
        return answer

    def _refusal(
        self, request_id: str, error: BankError, fault: FaultScript | None = None
    ) -> Response:
        content = {"code": error.code, "field": error.field}
        known = request_id if _REQUEST_ID.fullmatch(request_id) else "unknown"
        return self._signed(error.status, known, dump(content), fault)

    def _signed(
        self,
        status: int,
        request_id: str,
        body: bytes,
        fault: FaultScript | None,
        media_type: str = "application/json",
    ) -> Response:
        blemish = BLEMISHES.get(fault.fault) if fault is not None else None
        values = {"(status)": str(status), "x-request-id": request_id}
        headers = self._bank.key.headers(ANSWER_COVERS, values, body, blemish)
        return Response(body, status, headers, media_type)


async def _body(request: Request) -> bytes:
    refusal = BankError(400, "BODY_TOO_LARGE")
    return await read_body(request, max_bytes=MAX_BODY_BYTES, too_large=refusal)
