"""The client against the sandbox: three results, one effect, whatever is lost on the way."""

import dataclasses
import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.channels import BillKind, Create, Opened, RefundSaid, TradeState, Transaction
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.card.accounts import Account, load_account
from services.card.client import CHINA, Cards
from services.channel import AccountUnreadable, Channel
from tests.services.card.conftest import Payee

PORT: type[Channel[Account]] = Cards
"""Held by the type checker: the client fits the port."""


def _order(**changes: Any) -> Create:
    order = Create(
        method="card",
        out_trade_no=secrets.token_hex(13),
        amount_fen=2999,
        description="外卖",
        notify_url="https://unused.example/",
        expires_at=datetime.now(UTC) + timedelta(minutes=15),
    )
    return dataclasses.replace(order, **changes)


def _value(outcome: Outcome[Any]) -> Any:
    assert isinstance(outcome, Accepted), outcome
    return outcome.value


async def _held(cards: Cards, payee: Payee) -> tuple[str, Opened]:
    order = _order()
    opened = _value(await cards.create(payee.account, order))
    assert payee.pay(order.out_trade_no)["status"] == "requires_capture"
    return order.out_trade_no, opened


async def _refund(
    cards: Cards, payee: Payee, out_trade_no: str, out_refund_no: str, fen: int
) -> Outcome[RefundSaid]:
    return await cards.refund(
        payee.account,
        out_trade_no=out_trade_no,
        out_refund_no=out_refund_no,
        refund_fen=fen,
        total_fen=2999,
        reason="",
        notify_url="",
    )


async def test_a_whole_life(cards: Cards, payee: Payee) -> None:
    order = _order()
    opened = _value(await cards.create(payee.account, order))
    assert await cards.create(payee.account, order) == Accepted(value=opened)
    shown = cards.parameters(
        payee.account, method="card", handles=opened.handles, now=datetime.now(UTC)
    )
    assert set(shown) == {"client_secret", "publishable_key", "payment_intent"}
    assert payee.account.secret_key not in repr(payee.account) + json.dumps(shown)

    number = {"out_trade_no": order.out_trade_no}
    states = [
        _value(await cards.query(payee.account, **number, handles=handles)).state
        for handles in (opened.handles, None)
    ]
    assert payee.pay(order.out_trade_no, "3ds", finish=False)["status"] == "requires_action"
    states.append(_value(await cards.query(payee.account, **number)).state)
    payee.control("/challenges", account=payee.account.account, **number)
    held = _value(await cards.query(payee.account, **number, handles=opened.handles))
    assert [*states, held.state] == [
        TradeState.OPEN,
        TradeState.OPEN,
        TradeState.CHECKING,
        TradeState.AUTHORIZED,
    ]
    paid = _value(await cards.capture(payee.account, **number, amount_fen=2000))
    assert paid == Transaction(
        mchid=payee.account.account,
        appid="",
        out_trade_no=order.out_trade_no,
        transaction_id=opened.handles["payment_intent"],
        state=TradeState.PAID,
        amount_fen=2000,
    )
    assert await cards.capture(payee.account, **number, amount_fen=2000) == Accepted(value=paid)
    other = await cards.capture(payee.account, **number, amount_fen=1999)
    never = Rejected(code="payment_intent_unexpected_state", kind=Refusal.NEVER)
    assert (other, await cards.close(payee.account, **number)) == (never, never)

    said = _value(await _refund(cards, payee, order.out_trade_no, "r1", 500))
    assert (said.state, said.refund_fen, said.total_fen) == ("success", 500, 2999)
    assert await cards.query_refund(payee.account, **number, out_refund_no="r1") == Accepted(
        value=said
    )
    (moved,) = payee.moved()["orders"]
    assert (moved["charges"], moved["paid_fen"], moved["refunded_fen"]) == (1, 2000, 500)


async def test_what_was_never_made_is_not_found(cards: Cards, payee: Payee) -> None:
    missing = Rejected(code="resource_missing", kind=Refusal.NOT_FOUND)
    assert await cards.query(payee.account, out_trade_no="nobody") == missing
    assert await cards.close(payee.account, out_trade_no="nobody") == missing
    assert await _refund(cards, payee, "nobody", "r", 1) == missing
    number, _ = await _held(cards, payee)
    found = await cards.query_refund(payee.account, out_trade_no=number, out_refund_no="r")
    assert found == missing
    strange = dataclasses.replace(payee.account, secret_key="sk_test_nobody")
    refused = await cards.query(strange, out_trade_no=number)
    assert isinstance(refused, Rejected)
    assert refused.kind is Refusal.LATER


async def test_closing_and_voiding_are_repeatable(cards: Cards, payee: Payee) -> None:
    unpaid = _order()
    opened = _value(await cards.create(payee.account, unpaid))
    held, _ = await _held(cards, payee)
    for _ in range(2):
        assert await cards.close(payee.account, out_trade_no=held) == Accepted(value=None)
        closed = await cards.close(
            payee.account, out_trade_no=unpaid.out_trade_no, handles=opened.handles
        )
        assert closed == Accepted(value=None)
    state = _value(await cards.query(payee.account, out_trade_no=held)).state
    assert state is TradeState.CLOSED
    late = await cards.capture(payee.account, out_trade_no=held, amount_fen=2999)
    assert isinstance(late, Rejected)
    assert late.kind is Refusal.NEVER
    assert payee.moved()["paid_fen"] == 0


async def test_a_capture_too_early_may_come_later(cards: Cards, payee: Payee) -> None:
    order = _order()
    await cards.create(payee.account, order)
    early = await cards.capture(payee.account, out_trade_no=order.out_trade_no, amount_fen=1)
    assert early == Rejected(code="payment_intent_unexpected_state", kind=Refusal.LATER)


@pytest.mark.parametrize(
    ("operation", "fault", "reason"),
    [
        ("create", "drop_before", "RemoteProtocolError"),
        ("create", "drop_after_commit", "RemoteProtocolError"),
        ("create", "http_500", "http_500"),
        ("create", "http_502", "http_502"),
        ("create", "http_429", "http_429"),
        ("create", "http_202", "wrong_shape"),
    ],
)
async def test_a_create_without_an_answer_is_repeated(
    cards: Cards, payee: Payee, *, operation: str, fault: str, reason: str
) -> None:
    order = _order()
    payee.spoil(operation, fault)
    assert await cards.create(payee.account, order) == Unknown(reason=reason)
    opened = _value(await cards.create(payee.account, order))
    (moved,) = payee.moved()["orders"]
    assert moved["transaction_id"] == opened.handles["payment_intent"]


async def test_an_intent_behind_a_remembered_error_is_found(cards: Cards, payee: Payee) -> None:
    order = _order()
    payee.spoil("create", "http_500", after_commit=True)
    assert await cards.create(payee.account, order) == Unknown(reason="http_500")
    opened = _value(await cards.create(payee.account, order))
    (moved,) = payee.moved()["orders"]
    assert moved["transaction_id"] == opened.handles["payment_intent"]
    other = await cards.create(payee.account, dataclasses.replace(order, amount_fen=1))
    assert other == Unknown(reason="idempotency_error")


async def test_a_slow_answer_is_unknown_and_its_key_in_use(
    cards: Cards, payee: Payee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.channel_http.TOTAL_TIMEOUT_SECONDS", 0.3)
    order = _order()
    payee.spoil("create", "delay", delay_seconds=1.5)
    assert await cards.create(payee.account, order) == Unknown(reason="timeout")
    assert await cards.create(payee.account, order) == Unknown(reason="http_409")


@pytest.mark.parametrize("fault", ["drop_before", "drop_after_commit", "http_502", "http_500"])
async def test_money_moves_once_behind_lost_answers(cards: Cards, payee: Payee, fault: str) -> None:
    number, opened = await _held(cards, payee)
    after = {"after_commit": True} if fault.startswith("http") else {}
    payee.spoil("capture", fault, **after)
    lost = await cards.capture(payee.account, out_trade_no=number, amount_fen=2999)
    assert isinstance(lost, Unknown)
    _value(await cards.capture(payee.account, out_trade_no=number, amount_fen=2999))
    payee.spoil("refund", fault, **after)
    assert isinstance(await _refund(cards, payee, number, "r1", 999), Unknown)
    said = _value(await _refund(cards, payee, number, "r1", 999))
    assert _value(await _refund(cards, payee, number, "r1", 999)) == said
    (moved,) = payee.moved()["orders"]
    assert moved["transaction_id"] == opened.handles["payment_intent"]
    assert (moved["paid_fen"], moved["charges"], moved["refunded_fen"]) == (2999, 1, 999)
    assert len(moved["refunds"]) == 1


async def test_a_search_is_behind_and_nothing_is_missed(
    cards: Cards, payee: Payee, http: httpx.AsyncClient
) -> None:
    number, _ = await _held(cards, payee)
    # Two hours on the list no longer looks back so far, and the search has caught up.
    later = Cards(http, lambda: datetime.now(UTC) + timedelta(hours=2))
    hidden = await later.query(payee.account, out_trade_no=number)
    assert hidden == Rejected(code="resource_missing", kind=Refusal.NOT_FOUND)
    assert _value(await cards.query(payee.account, out_trade_no=number))
    payee.sandbox.call("PUT", "/card/settings", speed=1e6)
    assert _value(await later.query(payee.account, out_trade_no=number))


async def test_one_tap_with_a_saved_card(cards: Cards, payee: Payee) -> None:
    customer = _value(await cards.make_customer(payee.account, reference="c-1"))
    assert _value(await cards.make_customer(payee.account, reference="c-1")) == customer
    first = _order(payer=customer, save=True)
    await cards.create(payee.account, first)
    payee.pay(first.out_trade_no)
    (saved,) = _value(await cards.saved_methods(payee.account, payer=customer))
    assert (saved.brand, saved.last4, saved.expires) == ("visa", "4242", "2034-12")
    tap = _order(payer=customer, saved_method=saved.token)
    opened = _value(await cards.create(payee.account, tap))
    paid = await cards.query(payee.account, out_trade_no=tap.out_trade_no, handles=opened.handles)
    assert _value(paid).state is TradeState.AUTHORIZED
    assert await cards.forget_method(payee.account, token=saved.token) == Accepted(value=None)
    assert _value(await cards.saved_methods(payee.account, payer=customer)) == []


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("declined:insufficient_funds", "insufficient_funds"),
        ("expired_card", "expired_card"),
        ("3ds_fail", "payment_intent_authentication_failure"),
    ],
)
async def test_a_decline_is_told_and_the_payment_stays_open(
    cards: Cards, payee: Payee, card: str, code: str
) -> None:
    order = _order()
    await cards.create(payee.account, order)
    payee.pay(order.out_trade_no, card)
    seen = _value(await cards.query(payee.account, out_trade_no=order.out_trade_no))
    assert (seen.state, seen.failure_code) == (TradeState.OPEN, code)


async def test_a_bill_is_what_moved_that_day(cards: Cards, payee: Payee) -> None:
    number, opened = await _held(cards, payee)
    _value(await cards.capture(payee.account, out_trade_no=number, amount_fen=2999))
    _value(await _refund(cards, payee, number, "r1", 999))
    payee.control("/refunds/r1/resolve", account=payee.account.account, status="failed")
    payee.control("/disputes", account=payee.account.account, out_trade_no=number)
    today = datetime.now(CHINA).date()
    trade = _value(await cards.bill(payee.account, kind=BillKind.TRADE, day=today))
    assert [
        (row.kind, row.amount_fen, row.fee_fen, row.state, row.out_refund_no)
        for row in trade.trades
    ] == [("refund", 999, 0, "failed", "r1"), ("payment", 2999, 302, "success", "")]
    assert {(row.out_trade_no, row.transaction_id) for row in trade.trades} == {
        (number, opened.handles["payment_intent"])
    }
    funds = _value(await cards.bill(payee.account, kind=BillKind.FUNDS, day=today))
    assert [(row.kind, row.amount_fen) for row in funds.funds] == [
        ("dispute", -2999),
        ("fee", -10_000),
        ("refund_failure", 999),
        ("refund", -999),
        ("charge", 2999),
        ("fee", -302),
    ]
    assert funds.sha256 == trade.sha256
    yesterday = today - timedelta(days=1)
    empty = _value(await cards.bill(payee.account, kind=BillKind.FUNDS, day=yesterday))
    assert empty.funds == ()


async def test_a_bill_is_read_page_by_page(
    cards: Cards, payee: Payee, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.card.client.PAGE_ITEMS", 2)
    number, _ = await _held(cards, payee)
    _value(await cards.capture(payee.account, out_trade_no=number, amount_fen=2999))
    for refund in range(4):
        _value(await _refund(cards, payee, number, f"r{refund}", 100))
    day = datetime.now(CHINA).date()
    bill = _value(await cards.bill(payee.account, kind=BillKind.TRADE, day=day))
    assert [row.out_refund_no for row in bill.trades] == ["r3", "r2", "r1", "r0", ""]
    monkeypatch.setattr("services.card.client.MAX_BILL_PAGES", 2)
    cut = await cards.bill(payee.account, kind=BillKind.TRADE, day=day)
    assert cut == Unknown(reason="bill_too_long")


async def test_cards_are_not_split(cards: Cards, payee: Payee) -> None:
    with pytest.raises(NotImplementedError):
        await cards.unfreeze(payee.account, transaction_id="pi_1", out_order_no="s")


@pytest.mark.parametrize(
    "changes", [{"secret_key": "pk_test_1"}, {"webhook_secret": "sk_test_1"}, {"account": None}]
)
def test_keys_in_anothers_place_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    keys = {
        "account": "acct_1",
        "publishable_key": "pk_test_1",
        "secret_key": "sk_test_1",
        "webhook_secret": "whsec_1",
    }
    (tmp_path / "account.json").write_text(json.dumps(keys | changes))
    with pytest.raises(AccountUnreadable) as refused:
        load_account(tmp_path)
    assert "test_1" not in str(refused.value).replace(str(tmp_path), "")
