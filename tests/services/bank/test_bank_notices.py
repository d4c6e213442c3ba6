"""Callbacks are believed only when every signed thing is right; hundreds of forgeries are not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.channels import NoticeRefused, PaymentNotice, RefundNotice
from services.bank.accounts import Account
from services.bank.client import Bank
from services.bank.signing import Refusal
from tests.services.bank.conftest import World
from tests.services.bank.forgeries import (
    FORGERIES,
    INSTEAD,
    NEEDED,
    OURS,
    PAYMENT,
    REFUND,
    envelope,
    signed,
    without,
)
from tests.services.bank.test_bank_client import paid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


RIGHT = envelope("payment.paid", PAYMENT)


async def read(bank: Bank, headers: dict[str, str], body: bytes) -> Any:
    try:
        return await bank.notice(OURS, headers, body)
    except NoticeRefused as refused:
        return refused.reason


async def test_what_the_bank_signs_is_believed(bank: Bank) -> None:
    body = envelope("payment.paid", PAYMENT)
    assert isinstance(await read(bank, signed(body), body), PaymentNotice)
    body = envelope("refund.success", REFUND)
    assert isinstance(await read(bank, signed(body), body), RefundNotice)


@pytest.mark.parametrize("kind", FORGERIES)
async def test_forgeries_are_refused(bank: Bank, kind: str) -> None:
    reason, forge = FORGERIES[kind]
    body, headers = forge(signed, RIGHT)
    assert await read(bank, headers, body) is reason


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("instead", INSTEAD)
async def test_headers_are_all_needed(bank: Bank, name: str, instead: str | None) -> None:
    headers = without(signed(RIGHT), name, instead)
    assert isinstance(await read(bank, headers, RIGHT), Refusal)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (envelope("payment.paid", PAYMENT, account="622"), Refusal.WRONG_PAYEE),
        (envelope("payment.paid", PAYMENT | {"account": "622"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"state": "OPEN"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"state": "GIVEN"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"transaction_id": None}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"paid_at": "2026-01-01"}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", PAYMENT | {"amount": 2999}), Refusal.WRONG_SHAPE),
        (envelope("payment.paid", REFUND), Refusal.WRONG_SHAPE),
        (envelope("refund.success", PAYMENT), Refusal.WRONG_SHAPE),
        (envelope("refund.closed", REFUND), Refusal.WRONG_SHAPE),
        (envelope("payout.ended", PAYMENT), Refusal.UNKNOWN_EVENT),
        (envelope("payment.paid", None), Refusal.WRONG_SHAPE),
        (b"", Refusal.WRONG_SHAPE),
        (b"[]", Refusal.WRONG_SHAPE),
        (b"[" * 5000, Refusal.WRONG_SHAPE),
    ],
)
async def test_signed_nonsense_is_refused(bank: Bank, body: bytes, reason: Refusal) -> None:
    assert await read(bank, signed(body), body) is reason


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(RIGHT) - 1), bit=st.integers(0, 7))
async def test_one_changed_bit_is_seen(bank: Bank, place: int, bit: int) -> None:
    damaged = bytearray(RIGHT)
    damaged[place] ^= 1 << bit
    assert await read(bank, signed(RIGHT), bytes(damaged)) is Refusal.BAD_SIGNATURE


@settings(max_examples=100, deadline=None)
@given(
    base=st.sampled_from([("payment.paid", PAYMENT), ("refund.success", REFUND)]),
    changes=st.dictionaries(st.sampled_from(sorted({*PAYMENT, *REFUND})), JSON, max_size=3),
    outer=st.dictionaries(st.sampled_from(["id", "type", "account", "data"]), JSON, max_size=2),
)
async def test_signed_json_never_raises_anything_else(
    bank: Bank,
    base: tuple[str, dict[str, Any]],
    changes: dict[str, Any],
    outer: dict[str, Any],
) -> None:
    body = json.dumps(json.loads(envelope(base[0], base[1] | changes)) | outer).encode()
    assert isinstance(await read(bank, signed(body), body), PaymentNotice | RefundNotice | Refusal)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("bad_signature", Refusal.BAD_SIGNATURE),
        ("stale_timestamp", Refusal.STALE_TIMESTAMP),
        ("wrong_serial", Refusal.UNKNOWN_KEY),
        ("signtest", Refusal.BAD_SIGNATURE),
    ],
)
async def test_spoiled_callbacks_are_refused(
    world: World, bank: Bank, account: Account, fault: str, reason: Refusal
) -> None:
    world.spoil(account, "notify", fault)
    await paid(world, bank, account)
    (heard,) = await world.heard(account)
    with pytest.raises(NoticeRefused, match=reason):
        await bank.notice(account, heard.headers, heard.body)


async def test_anothers_callback_is_not_ours(world: World, bank: Bank, account: Account) -> None:
    await paid(world, bank, account)
    (heard,) = await world.heard(account)
    with pytest.raises(NoticeRefused, match=Refusal.WRONG_PAYEE):
        await bank.notice(world.account(), heard.headers, heard.body)
