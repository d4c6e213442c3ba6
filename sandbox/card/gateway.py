"""The HTTP edge of `api.stripe.com`: who asks, was it asked before, and the answer."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.card.accounts import Account
from sandbox.card.params import Listing, Retrieve, read
from sandbox.card.service import Stripe
from sandbox.card.wire import (
    API_VERSION,
    CHANNEL,
    StripeError,
    dump,
    make_id,
    parse_form,
    request_hash,
    shown,
)
from sandbox.faults import Fault, FaultScript, Meeting, Operation
from sandbox.gateways import cut, read_body
from sandbox.store import Store
from sandbox.wire import Json

MAX_BODY_BYTES = 64 * 1024
MAX_KEY_CHARACTERS = 255
KEY_SECONDS = 24 * 3600
"""How long an idempotency key is remembered, in real time."""

_VERSION = re.compile(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}(\.[a-z]+)?")
_TABLE = """CREATE TABLE IF NOT EXISTS card_keys (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    request_id TEXT NOT NULL,
    created REAL NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (account, key)
) STRICT"""
_BREAKDOWNS: Mapping[Fault, StripeError] = {
    Fault.HTTP_500: StripeError(500, "api_error", "An unknown error occurred"),
    Fault.HTTP_502: StripeError(502, "api_error", "Bad gateway", began=False),
    Fault.HTTP_429: StripeError(
        429, "invalid_request_error", "Too many requests", began=False, code="rate_limit"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    """One authenticated request."""

    account: Account
    method: str
    url: str
    path: Mapping[str, str]
    params: Json
    key: str | None

    @property
    def id(self) -> str:
        """The object's id in the path."""
        return self.path.get("id", "")


_Act = Callable[[_Call], Json]


def create_gateway(stripe: Stripe) -> Starlette:
    """Make the application of `api.stripe.com`."""
    gateway = _Gateway(stripe)

    async def unknown(request: Request, _: Exception) -> Response:
        message = f"Unrecognized request URL ({request.method}: {request.url.path})."
        return _answer(404, StripeError(404, "invalid_request_error", message).body)

    return Starlette(
        routes=[gateway.route(*row) for row in gateway.acts()],
        exception_handlers={404: unknown, 405: unknown},
    )


@dataclass(frozen=True, slots=True)
class _Gateway:
    stripe: Stripe
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    """Keys of requests that are being held up."""

    def __post_init__(self) -> None:
        self.stripe.store.run(_TABLE)

    def acts(self) -> list[tuple[str, str, Operation, _Act]]:
        """Say what is answered where, and what faults call it."""
        stripe, intents = self.stripe, "/v1/payment_intents"
        intent = f"{intents}/{{id}}"
        return [
            ("POST", intents, "create", lambda c: stripe.intents.create(c.account.id, c.params)),
            ("GET", intents, "query", self._listed("payment_intent")),
            (
                "GET",
                f"{intents}/search",
                "query",
                lambda c: stripe.intents.search(c.account.id, c.params),
            ),
            ("GET", intent, "query", self._retrieved("payment_intent")),
            (
                "POST",
                f"{intent}/confirm",
                "create",
                lambda c: stripe.intents.confirm(c.account.id, c.id, c.params),
            ),
            (
                "POST",
                f"{intent}/capture",
                "capture",
                lambda c: stripe.intents.capture(c.account.id, c.id, c.params),
            ),
            (
                "POST",
                f"{intent}/cancel",
                "close",
                lambda c: stripe.intents.cancel(c.account.id, c.id, c.params),
            ),
            *self._money_back(),
            *self._customers(),
        ]

    def _money_back(self) -> list[tuple[str, str, Operation, _Act]]:
        stripe, dispute = self.stripe, "/v1/disputes/{id}"
        return [
            ("GET", "/v1/charges/{id}", "query", self._retrieved("charge")),
            (
                "POST",
                "/v1/refunds",
                "refund",
                lambda c: stripe.refunds.create(c.account.id, c.params),
            ),
            (
                "GET",
                "/v1/refunds",
                "refund_query",
                lambda c: stripe.refunds.listed(c.account.id, c.params),
            ),
            ("GET", "/v1/refunds/{id}", "refund_query", self._retrieved("refund")),
            ("GET", dispute, "disputes", self._retrieved("dispute")),
            (
                "POST",
                dispute,
                "disputes",
                lambda c: stripe.disputes.update(c.account.id, c.id, c.params),
            ),
            (
                "POST",
                f"{dispute}/close",
                "disputes",
                lambda c: stripe.disputes.close(c.account.id, c.id, c.params),
            ),
            ("GET", "/v1/balance_transactions", "bill", self._listed("balance_transaction")),
            ("GET", "/v1/events/{id}", "query", self._retrieved("event")),
        ]

    def _customers(self) -> list[tuple[str, str, Operation, _Act]]:
        stripe = self.stripe
        return [
            (
                "POST",
                "/v1/customers",
                "receivers",
                lambda c: stripe.methods.create_customer(c.account.id, c.params),
            ),
            ("GET", "/v1/customers/{id}", "receivers", self._retrieved("customer")),
            (
                "GET",
                "/v1/customers/{id}/payment_methods",
                "receivers",
                lambda c: stripe.methods.listed(c.account.id, c.id, c.params),
            ),
            ("GET", "/v1/payment_methods/{id}", "receivers", self._retrieved("payment_method")),
            (
                "POST",
                "/v1/payment_methods/{id}/detach",
                "receivers",
                lambda c: stripe.methods.detach(c.account.id, c.id, c.params),
            ),
        ]

    def route(self, method: str, path: str, operation: Operation, act: _Act) -> Route:
        """Wrap an act into authentication, idempotency, faults and the answer."""

        async def endpoint(request: Request) -> Response:
            try:
                call = await self._authenticated(request)
                self._require_free(call)
            except StripeError as error:
                return _answer(error.status, error.body)
            fault = self.stripe.faults.draw(self._meeting(operation, call))
            if fault is None:
                return self._perform(act, call)
            return await self._faulty(request, act, call, fault)

        # Starlette adds HEAD to GET by itself; Stripe has none.
        route = Route(path, endpoint, methods=[method])
        route.methods = {method}
        return route

    async def _authenticated(self, request: Request) -> _Call:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        account = self.stripe.accounts.by_secret(token) if scheme == "Bearer" else None
        if account is None:
            message = f"Invalid API Key provided: {token[:8]}****"
            raise StripeError(401, "invalid_request_error", message)
        version = request.headers.get("Stripe-Version", API_VERSION)
        if not _VERSION.fullmatch(version):
            raise StripeError(
                400, "invalid_request_error", f"Invalid Stripe API version: {version}"
            )
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is not None and not 0 < len(key) <= MAX_KEY_CHARACTERS:
            raise StripeError(400, "idempotency_error", "Keys have 1 to 255 characters.")
        body: bytes = request.scope["query_string"]
        if request.method == "POST":
            refusal = StripeError(413, "invalid_request_error", "Request body is too large")
            body = await read_body(request, max_bytes=MAX_BODY_BYTES, too_large=refusal)
        return _Call(
            account=account,
            method=request.method,
            url=request.url.path,
            path=request.path_params,
            params=parse_form(body),
            key=key,
        )

    def _require_free(self, call: _Call) -> None:
        if call.key is not None and (call.account.id, call.key) in self.in_flight:
            raise StripeError(
                409,
                "invalid_request_error",
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {call.key}. Please try again later.",
                code="idempotency_key_in_use",
            )

    def _perform(self, act: _Act, call: _Call, breakdown: StripeError | None = None) -> Response:
        """Act once per key; `breakdown` is what is answered instead, after the effect."""
        store = self.stripe.store
        request_id = make_id("req", 14)
        asked = request_hash(call.method, call.url, call.params)
        with store.transaction():
            known = _known(store, call) if call.key is not None else None
            if known is not None and known["request_hash"] != asked:
                message = (
                    "Keys for idempotent requests can only be used with the same parameters they"
                    f" were first used with. Try using a key other than '{call.key}' if you meant"
                    " to execute a different request."
                )
                return _answer(400, StripeError(400, "idempotency_error", message).body)
            if known is not None:
                replay = {"Idempotent-Replayed": "true", "Original-Request": known["request_id"]}
                body = json.loads(known["body"])
                return _answer(known["status"], body, request_id, call.key, replay)
            status, body, began = self._tried(act, call)
            if breakdown is not None:
                status, body = breakdown.status, breakdown.body
            if call.key is not None and began:
                store.insert(
                    "card_keys",
                    {
                        "account": call.account.id,
                        "key": call.key,
                        "request_hash": asked,
                        "request_id": request_id,
                        "created": time.time(),
                        "status": status,
                        "body": json.dumps(body),
                    },
                )
        return _answer(status, body, request_id, call.key)

    async def _faulty(
        self, request: Request, act: _Act, call: _Call, fault: FaultScript
    ) -> Response:
        held = {(call.account.id, call.key)} if call.key is not None else set()
        self.in_flight.update(held)
        try:
            await asyncio.sleep(fault.delay_seconds)
        finally:
            self.in_flight.difference_update(held)
        breakdown = _BREAKDOWNS.get(fault.fault)
        # What broke after it began is remembered under the key; a proxy's 502 never is.
        remembered = breakdown if breakdown is not None and breakdown.began else None
        answer = self._perform(act, call, remembered) if fault.is_effective else Response()
        if fault.fault in {Fault.DROP_BEFORE, Fault.DROP_AFTER_COMMIT}:
            return await cut(request)
        if fault.fault is Fault.HTTP_202:
            return _answer(202, {})
        return answer if breakdown is None else _answer(breakdown.status, breakdown.body)

    def _tried(self, act: _Act, call: _Call) -> tuple[int, Json, bool]:
        """Act; a refusal that left its mark (a declined charge) is an answer like another."""
        try:
            body = act(call)
        except StripeError as error:
            return error.status, error.body, error.began
        expand = call.params.get("expand", [])
        return 200, self.stripe.objects.expand(call.account.id, body, expand), True

    def _listed(self, kind: str) -> _Act:
        objects = self.stripe.objects
        return lambda call: objects.page(
            call.account.id, kind, call.url, read(Listing, call.params)
        )

    def _retrieved(self, kind: str) -> _Act:
        objects = self.stripe.objects

        def act(call: _Call) -> Json:
            read(Retrieve, call.params)
            return shown(objects.get(call.account.id, kind, call.id))

        return act

    def _meeting(self, operation: Operation, call: _Call) -> Meeting:
        metadata = call.params.get("metadata")
        numbers: Json = metadata if isinstance(metadata, dict) else {}
        number = numbers.get("out_trade_no")
        named = call.id or call.params.get("payment_intent")
        if number is None and isinstance(named, str) and named.startswith("pi_"):
            number = self.stripe.number_of(call.account.id, named)
        return Meeting(
            channel=CHANNEL,
            operation=operation,
            mchid=call.account.id,
            out_trade_no=number,
            out_refund_no=numbers.get("out_refund_no"),
        )


def _known(store: Store, call: _Call) -> Any:  # noqa: ANN401 (a row, or None)
    store.run("DELETE FROM card_keys WHERE created < :until", until=time.time() - KEY_SECONDS)
    return store.one(
        "SELECT * FROM card_keys WHERE account = :account AND key = :key",
        account=call.account.id,
        key=call.key,
    )


def _answer(
    status: int,
    body: Json,
    request_id: str | None = None,
    key: str | None = None,
    more: Mapping[str, str] | None = None,
) -> Response:
    headers = {
        "Request-Id": request_id or make_id("req", 14),
        "Stripe-Version": API_VERSION,
        **({"Idempotency-Key": key} if key is not None and key.isascii() else {}),
        **(more or {}),
    }
    return Response(dump(shown(body)), status, headers, "application/json")
