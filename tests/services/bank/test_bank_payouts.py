"""Paying out in batches, against the real sandbox process."""

import asyncio
import secrets
from dataclasses import replace

import pytest

from domain.outcomes import Accepted, Refusal, Rejected, Unknown
from services.bank.accounts import Account
from services.bank.payouts import Batch, BatchSaid, Payouts, Transfer, TransferState
from tests.services.bank.conftest import World

POLLS = 200
POLL_SECONDS = 0.02


def batch_of(world: World, *outcomes: str) -> Batch:
    return Batch(
        batch_id=secrets.token_hex(12),
        transfers=tuple(
            Transfer(
                line_id=secrets.token_hex(12),
                payee=world.control("payees", outcome=outcome)["payee"],
                amount_fen=100,
            )
            for outcome in outcomes
        ),
    )


async def ended(payouts: Payouts, account: Account, batch: Batch) -> BatchSaid:
    for _ in range(POLLS):
        outcome = await payouts.query(account, batch)
        assert isinstance(outcome, Accepted)
        if outcome.value.finished:
            return outcome.value
        await asyncio.sleep(POLL_SECONDS)
    raise TimeoutError("the batch never ends")


async def test_a_batch_ends_line_by_line(world: World, payouts: Payouts, account: Account) -> None:
    batch = batch_of(world, "SUCCESS", "FAILED")
    poor = await payouts.submit(account, batch)
    assert poor == Rejected(code="INSUFFICIENT_FUNDS", kind=Refusal.LATER)
    never = await payouts.query(account, batch)
    assert never == Rejected(code="BATCH_NOT_FOUND", kind=Refusal.NOT_FOUND)
    world.control("fund", account=account.account, amount_fen=1000)
    for _ in range(2):
        assert isinstance(await payouts.submit(account, batch), Accepted)
    said = await ended(payouts, account, batch)
    assert [(line.state, line.reason) for line in said.transfers] == [
        (TransferState.SUCCESS, ""),
        (TransferState.FAILED, "ACCOUNT_CLOSED"),
    ]
    line = await payouts.query_transfer(account, batch.transfers[1])
    assert line == Accepted(value=said.transfers[1])
    balance = world.sandbox.call("GET", f"/bank/balances/{account.account}")
    assert balance == {"balance_fen": 900}


@pytest.mark.parametrize("fault", ["drop_after_commit", "http_202", "http_500", "bad_signature"])
async def test_a_batch_in_doubt_is_found_or_submitted_again_and_pays_once(
    world: World, payouts: Payouts, account: Account, fault: str
) -> None:
    world.control("fund", account=account.account, amount_fen=100)
    batch = batch_of(world, "SUCCESS")
    world.spoil(account, "transfer", fault)
    assert isinstance(await payouts.submit(account, batch), Unknown)
    found = await payouts.query(account, batch)
    if fault == "http_500":
        assert isinstance(found, Rejected)
        assert found.kind is Refusal.NOT_FOUND
    assert isinstance(await payouts.submit(account, batch), Accepted)
    await ended(payouts, account, batch)
    balance = world.sandbox.call("GET", f"/bank/balances/{batch.transfers[0].payee}")
    assert balance == {"balance_fen": 100}


async def test_other_lines_under_the_same_id_are_never_taken_for_ours(
    world: World, payouts: Payouts, account: Account
) -> None:
    world.control("fund", account=account.account, amount_fen=1000)
    batch = batch_of(world, "SUCCESS")
    assert isinstance(await payouts.submit(account, batch), Accepted)
    other = replace(batch, transfers=(replace(batch.transfers[0], amount_fen=200),))
    assert await payouts.submit(account, other) == Unknown(reason="BATCH_CHANGED")
    assert await payouts.query(account, other) == Unknown(reason="wrong_shape")
    reused = replace(batch, batch_id=secrets.token_hex(12))
    refused = await payouts.submit(account, reused)
    assert refused == Rejected(code="LINE_REUSED", message="/lines/0/line_id", kind=Refusal.NEVER)
