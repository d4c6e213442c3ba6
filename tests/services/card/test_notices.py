"""Webhooks: the right ones are read, and whatever else comes is refused by name."""

import asyncio
import dataclasses
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.channels import (
    Create,
    DisputeNotice,
    Notice,
    NoticeRefused,
    PaymentNotice,
    RefundNotice,
    TradeState,
)
from domain.outcomes import Accepted, Rejected
from services.card.accounts import Account
from services.card.client import Cards
from services.card.notices import read_notice
from tests.sandbox.outside import wait_for
from tests.services.card.conftest import Payee
from tests.services.card.forgeries import INTENT, event_of, forgeries, signature

DONE = Accepted(value=None)
ACCOUNT = Account(
    account="acct_1",
    publishable_key="pk_test_1",
    secret_key="sk_test_1",
    webhook_secret="whsec_1",
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def _intent(**changes: Any) -> dict[str, Any]:
    return event_of(data={"object": INTENT | changes})


def _read(event: Any, **signed: Any) -> Notice:
    body = json.dumps(event).encode()
    header = signature(body, ACCOUNT.webhook_secret, **signed)
    return read_notice(ACCOUNT, {"stripe-signature": header}, body)


def _refusal(event: Any, **signed: Any) -> str:
    with pytest.raises(NoticeRefused) as caught:
        _read(event, **signed)
    return caught.value.reason


def test_a_payment_is_read() -> None:
    notice = _read(event_of())
    assert isinstance(notice, PaymentNotice)
    paid = notice.transaction
    assert (notice.event_id, paid.state, paid.amount_fen) == ("evt_1", TradeState.PAID, 2000)
    assert (paid.mchid, paid.out_trade_no, paid.transaction_id) == ("acct_1", "n1", "pi_1")
    assert paid.success_time == datetime.fromtimestamp(1_700_000_000, UTC)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (event_of("invoice.paid"), "unknown_event"),
        (event_of(account="acct_2"), "wrong_payee"),
        (event_of(id=""), "wrong_shape"),
        (event_of(created="now"), "wrong_shape"),
        (event_of(created=10**18), "wrong_shape"),
        (event_of(data={"object": []}), "wrong_shape"),
        (event_of("refund.updated"), "wrong_shape"),
        (event_of("charge.refunded"), "wrong_shape"),
        (event_of("charge.dispute.created"), "wrong_shape"),
        (_intent(status="paid"), "wrong_shape"),
        (_intent(status=["succeeded"]), "wrong_shape"),
        (_intent(amount_received=20.0), "wrong_shape"),
        (_intent(amount_received=-1), "wrong_shape"),
        (_intent(amount_received=True), "wrong_shape"),
        (_intent(amount_received=10**12), "wrong_shape"),
        (_intent(metadata={}), "wrong_shape"),
        (_intent(metadata={"out_trade_no": "a\x00b"}), "wrong_shape"),
        (_intent(currency=None), "wrong_shape"),
        ([], "wrong_shape"),
    ],
)
def test_signed_nonsense_is_refused(event: Any, reason: str) -> None:
    assert _refusal(event) == reason


def test_every_forgery_is_refused() -> None:
    seen = {}
    right = json.dumps(event_of()).encode()
    for name, headers, body in forgeries(ACCOUNT.webhook_secret, right):
        with pytest.raises(NoticeRefused) as caught:
            read_notice(ACCOUNT, headers, body)
        seen[name] = caught.value.reason
    assert len(seen) >= 40
    assert set(seen.values()) == {"missing_header", "bad_signature", "stale_timestamp"}
    assert {reason for name, reason in seen.items() if name.startswith("old")} == {
        "stale_timestamp"
    }


@given(header=st.text(max_size=200), body=st.binary(max_size=200))
def test_any_bytes_are_refused(header: str, body: bytes) -> None:
    with pytest.raises(NoticeRefused):
        read_notice(ACCOUNT, {"Stripe-Signature": header}, body)


@given(event=JSON, said=JSON, kind=st.sampled_from(["payment_intent.x", "refund.updated"]))
def test_random_json_is_refused_though_signed(event: Any, said: Any, kind: str) -> None:
    for signed in (event, event_of(kind, data={"object": said})):
        _refusal(signed)


def test_five_minutes_are_allowed() -> None:
    assert isinstance(_read(event_of(), age=290), PaymentNotice)
    assert _refusal(event_of(), age=310) == "stale_timestamp"


async def _heard(cards: Cards, payee: Payee, count: int) -> list[Notice]:
    server, path = payee.server, payee.path
    await asyncio.to_thread(wait_for, lambda: len(server.got(path)) >= count)
    got = server.got(path)
    assert len(got) == count
    return [await cards.notice(payee.account, one.headers, one.body) for one in got]


async def test_a_life_as_it_is_told(cards: Cards, payee: Payee) -> None:
    order = Create(
        method="card",
        out_trade_no=secrets.token_hex(13),
        amount_fen=2999,
        description="外卖",
        notify_url="",
        expires_at=datetime.now(UTC) + timedelta(minutes=15),
    )
    number = order.out_trade_no
    await cards.create(payee.account, order)
    payee.pay(number, "declined:insufficient_funds")
    payee.pay(number)
    await cards.capture(payee.account, out_trade_no=number, amount_fen=2999)
    await cards.refund(
        payee.account,
        out_trade_no=number,
        out_refund_no="r1",
        refund_fen=999,
        total_fen=2999,
        reason="",
        notify_url="",
    )
    dispute = payee.control("/disputes", account=payee.account.account, out_trade_no=number)
    payee.control(f"/disputes/{dispute['id']}/lose", account=payee.account.account)
    notices = await _heard(cards, payee, 7)
    payments = {n.transaction.state: n for n in notices if isinstance(n, PaymentNotice)}
    assert set(payments) == {TradeState.OPEN, TradeState.AUTHORIZED, TradeState.PAID}
    assert payments[TradeState.OPEN].transaction.failure_code == "insufficient_funds"
    assert {n.transaction.out_trade_no for n in payments.values()} == {number}
    (refunded,) = [n.refund for n in notices if isinstance(n, RefundNotice)]
    assert (refunded.out_refund_no, refunded.state) == ("r1", "success")
    assert (refunded.refund_fen, refunded.total_fen) == (999, 2999)
    disputes = [n for n in notices if isinstance(n, DisputeNotice)]
    assert {n.state for n in disputes} == {"open", "lost"}
    assert {(n.kind, n.amount_fen, n.taken_fen, n.dispute_id) for n in disputes} == {
        ("chargeback", 2000, 2000, dispute["id"])
    }
    assert {n.transaction_id for n in disputes} == {
        payments[TradeState.PAID].transaction.transaction_id
    }
    assert all(n.due_at is not None and n.data == {"reason": "fraudulent"} for n in disputes)


async def test_a_dispute_is_answered_once_and_may_be_given_up(cards: Cards, payee: Payee) -> None:
    at = datetime.now(UTC) + timedelta(minutes=15)
    common = {"method": "card", "description": "外卖", "notify_url": "", "expires_at": at}
    found = []
    for _ in range(2):
        order = Create(out_trade_no=secrets.token_hex(13), amount_fen=2999, **common)
        await cards.create(payee.account, order)
        payee.pay(order.out_trade_no)
        number = {"out_trade_no": order.out_trade_no}
        await cards.capture(payee.account, amount_fen=2999, **number)
        found.append(payee.control("/disputes", account=payee.account.account, **number)["id"])
    answered, given_up = found
    said = "delivered at 12:40, the hand-over code was given"
    assert await cards.respond_dispute(payee.account, dispute_id=answered, content=said) == DONE
    assert await cards.complete_dispute(payee.account, dispute_id=given_up) == DONE
    again = await cards.complete_dispute(payee.account, dispute_id=given_up)
    assert isinstance(again, Rejected)
    nowhere = await cards.respond_dispute(payee.account, dispute_id="dp_none", content=said)
    assert isinstance(nowhere, Rejected)
    heard = [one for one in await _heard(cards, payee, 8) if isinstance(one, DisputeNotice)]
    states = {key: {one.state for one in heard if one.dispute_id == key} for key in found}
    assert states == {answered: {"open", "under_review"}, given_up: {"open", "lost"}}


async def test_a_webhook_for_another_is_refused(cards: Cards, payee: Payee) -> None:
    order = Create(
        method="card",
        out_trade_no=secrets.token_hex(13),
        amount_fen=1,
        description="外卖",
        notify_url="",
        expires_at=datetime.now(UTC),
    )
    await cards.create(payee.account, order)
    payee.spoil("notify", "stale_timestamp")
    payee.pay(order.out_trade_no)
    await asyncio.to_thread(wait_for, lambda: payee.server.got(payee.path) or None)
    (stale,) = payee.server.got(payee.path)
    with pytest.raises(NoticeRefused, match="stale_timestamp"):
        await cards.notice(payee.account, stale.headers, stale.body)
    other = dataclasses.replace(payee.account, webhook_secret="whsec_2")
    with pytest.raises(NoticeRefused, match="bad_signature"):
        await cards.notice(other, stale.headers, stale.body)
