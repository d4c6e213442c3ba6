"""What is signed rightly and is wrong all the same: old answers, statements that don't add up."""

import hashlib
import json
from datetime import date
from typing import Any

import httpx
import pytest

from domain.channels import BillKind
from domain.outcomes import Rejected, Unknown
from services.bank.accounts import Account
from services.bank.answers import read_statement
from services.bank.client import Bank
from services.bank.signing import Refusal
from tests.services.bank.conftest import World

DAY = date(2026, 3, 1)
FLOW = {
    "flow_id": "1",
    "business_no": "62",
    "type": "payment",
    "amount": -5,
    "balance": 7,
    "at": "2026-03-01T12:00:00+08:00",
}
SUMMARY = {
    "account": "622",
    "kind": "funds",
    "day": "2026-03-01",
    "rows": 1,
    "amount": -5,
    "currency": "CNY",
}


class Replay(httpx.AsyncBaseTransport):
    """Somebody on the way who repeats the first answer to whatever is asked next."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._first: httpx.Response | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._first is None:
            self._first = await self._inner.handle_async_request(request)
            await self._first.aread()
        first = self._first
        return httpx.Response(first.status_code, headers=first.headers, content=first.content)


async def test_an_answer_to_another_request_is_not_believed(world: World, account: Account) -> None:
    real = httpx.AsyncHTTPTransport(proxy=world.sandbox.proxy, verify=world.sandbox.trust)
    async with real, httpx.AsyncClient(transport=Replay(real), trust_env=False) as http:
        bank = Bank(http)
        first = await bank.query(account, out_trade_no="x")
        second = await bank.query(account, out_trade_no="x")
    assert isinstance(first, Rejected)
    assert second == Unknown(reason=Refusal.OTHER_REQUEST)


def statement(*rows: dict[str, Any], **changes: Any) -> bytes:
    return b"".join(
        json.dumps(line).encode() + b"\n" for line in [*rows, {"summary": SUMMARY | changes}]
    )


def test_a_statement_that_adds_up_is_read() -> None:
    body = statement(FLOW)
    bill = read_statement(body, account="622", kind=BillKind.FUNDS, day=DAY)
    assert bill.sha256 == hashlib.sha256(body).hexdigest()
    assert [(row.amount_fen, row.balance_fen) for row in bill.funds] == [(-5, 7)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        statement(FLOW).splitlines()[0],
        statement(),
        statement(FLOW, FLOW),
        statement(FLOW | {"amount": -4}),
        statement(FLOW | {"amount": "-5"}),
        statement(FLOW, account="623"),
        statement(FLOW, kind="trade"),
        statement(FLOW, day="2026-03-02"),
        statement(FLOW, currency="USD"),
        statement(FLOW | {"at": "2026-03-01T12:00:00"}),
        statement(FLOW) + statement(FLOW),
    ],
)
def test_a_statement_that_does_not_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_statement(body, account="622", kind=BillKind.FUNDS, day=DAY)
