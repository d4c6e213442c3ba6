"""Splits, payouts and statements of the bank: where every fen of an account went."""

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.sandbox.bank import BankClient
from tests.sandbox.outside import SandboxProcess, wait_for

CHINA = timezone(timedelta(hours=8))


@pytest.fixture
def bank(sandbox: SandboxProcess) -> Iterator[BankClient]:
    made = BankClient(sandbox)
    yield made
    made.http.close()


@pytest.fixture
def other(sandbox: SandboxProcess) -> Iterator[BankClient]:
    made = BankClient(sandbox)
    yield made
    made.http.close()


def _share(account: str, fen: int) -> dict[str, Any]:
    return {"account": account, "amount": {"value": fen, "currency": "CNY"}, "description": "佣金"}


def _ended_split(bank: BankClient, number: str) -> Any:
    def look() -> Any:
        shown = bank.get(f"/v1/splits/{number}")
        return shown if shown["state"] == "FINISHED" else None

    return wait_for(look)


def test_a_payment_is_shared_out_returned_and_unfrozen(
    bank: BankClient, other: BankClient, sandbox: SandboxProcess
) -> None:
    closed = BankClient(sandbox)
    sandbox.call("POST", f"/bank/merchants/{closed.account}/close")
    paid = bank.paid(split=True)
    transaction = {"transaction_id": paid["transaction_id"]}
    assert bank.balance_fen() == 0
    split = {**transaction, "out_order_no": secrets.token_hex(8), "finish": False}
    receivers = [_share(other.account, 100), _share(closed.account, 50)]
    first = bank.post("/v1/splits", **split, receivers=receivers)
    assert {share["state"] for share in first["receivers"]} == {"PENDING"}
    assert bank.post("/v1/splits", **split, receivers=receivers)["receivers"]
    bank.post("/v1/splits", 409, **split, receivers=receivers[:1])
    more = {**split, "out_order_no": secrets.token_hex(8)}
    too_much = bank.post("/v1/splits", 409, **more, receivers=[_share(other.account, 1000)])
    assert too_much["code"] == "SPLIT_TOO_MUCH"
    ended = _ended_split(bank, split["out_order_no"])
    results = [(share["state"], share["reason"]) for share in ended["receivers"]]
    assert results == [("SUCCESS", ""), ("CLOSED", "ACCOUNT_CLOSED")]
    assert other.balance_fen() == 100
    back = {"out_order_no": split["out_order_no"], "receiver": _share(other.account, 40)}
    returned = bank.post("/v1/split-returns", **back, out_return_no="r1")
    assert bank.post("/v1/split-returns", **back, out_return_no="r1") == returned
    assert bank.get("/v1/split-returns/r1") == returned
    too_much = {**back, "receiver": _share(other.account, 61)}
    bank.post("/v1/split-returns", 409, **too_much, out_return_no="r2")
    assert (bank.balance_fen(), other.balance_fen()) == (40, 60)
    refund = bank.refund(paid["out_trade_no"], 200)
    assert bank.balance_fen() == 40, "a refund takes what is frozen first"
    rest = {**transaction, "out_order_no": secrets.token_hex(8)}
    bank.post("/v1/splits/unfreeze", **rest)
    bank.post("/v1/splits/unfreeze", **rest)
    assert bank.balance_fen() == 1000 - 60 - 200
    late = {**split, "out_order_no": secrets.token_hex(8)}
    assert bank.post("/v1/splits", 409, **late, receivers=receivers)["code"] == "PAYMENT_NOT_FROZEN"
    assert bank.oracle()["orders"][0]["split_fen"] == 60
    assert refund["amount"]["value"] == 200
    closed.http.close()


def test_a_return_that_the_receiver_cannot_pay_is_closed(
    bank: BankClient, other: BankClient
) -> None:
    paid = bank.paid(split=True)
    number = secrets.token_hex(8)
    split = {"transaction_id": paid["transaction_id"], "out_order_no": number, "finish": True}
    bank.post("/v1/splits", **split, receivers=[_share(other.account, 100)])
    assert bank.balance_fen() == 900
    _ended_split(bank, number)
    line = {"line_id": secrets.token_hex(8), "payee": "p-1"}
    batch = {"batch_id": secrets.token_hex(8), "lines": [{**line, "amount": _fen(100)}]}
    other.post("/v1/payout-batches", **batch)
    back = {"out_order_no": number, "receiver": _share(other.account, 100)}
    (share,) = bank.post("/v1/split-returns", **back, out_return_no="r")["receivers"]
    assert (share["state"], share["reason"]) == ("CLOSED", "INSUFFICIENT_FUNDS")


def _fen(fen: int) -> dict[str, Any]:
    return {"value": fen, "currency": "CNY"}


def test_a_batch_is_taken_whole_and_each_line_ends_by_itself(
    bank: BankClient, sandbox: SandboxProcess
) -> None:
    def payee(outcome: str) -> str:
        return str(sandbox.call("POST", "/bank/payees", outcome=outcome)["payee"])

    payees = [payee("SUCCESS"), payee("FAILED"), payee("PROCESSING"), "payee-nobody"]
    lines = [
        {"line_id": secrets.token_hex(8), "payee": name, "amount": _fen(fen)}
        for name, fen in zip(payees, (100, 200, 300, 400), strict=True)
    ]
    batch = {"batch_id": secrets.token_hex(8), "lines": lines}
    assert bank.post("/v1/payout-batches", 402, **batch)["code"] == "INSUFFICIENT_FUNDS"
    bank.get(f"/v1/payout-batches/{batch['batch_id']}", 404)
    sandbox.call("POST", "/bank/fund", account=bank.account, amount_fen=1500)
    taken = bank.post("/v1/payout-batches", **batch)
    assert {line["state"] for line in taken["lines"]} == {"PROCESSING"}
    assert bank.balance_fen() == 500
    bank.post("/v1/payout-batches", **batch)
    assert bank.balance_fen() == 500, "the same batch again is the same batch"
    changed = {**batch, "lines": lines[:1]}
    assert bank.post("/v1/payout-batches", 409, **changed)["code"] == "BATCH_CHANGED"
    reused = {"batch_id": secrets.token_hex(8), "lines": lines[:1]}
    assert bank.post("/v1/payout-batches", 409, **reused)["code"] == "LINE_REUSED"

    def states() -> list[str]:
        shown = bank.get(f"/v1/payout-batches/{batch['batch_id']}")
        return [line["state"] for line in shown["lines"]]

    wait_for(lambda: states() == ["SUCCESS", "FAILED", "PROCESSING", "FAILED"])
    assert bank.balance_fen() == 500 + 200 + 400
    assert bank.balance_fen(payees[0]) == 100
    path = f"/bank/transfers/{lines[2]['line_id']}/resolve"
    sandbox.call("POST", path, account=bank.account, status="FAILED")
    sandbox.call("POST", path, 409, account=bank.account, status="SUCCESS")
    line = bank.get(f"/v1/payout-lines/{lines[2]['line_id']}")
    assert (line["state"], line["reason"]) == ("FAILED", "ACCOUNT_CLOSED")
    assert bank.get(f"/v1/payout-batches/{batch['batch_id']}")["state"] == "FINISHED"
    moved = sandbox.control.get(
        "/control/bank/payouts/oracle", params={"account": bank.account}
    ).json()
    assert moved["paid_fen"] == 100
    assert bank.balance_fen() == 1400


def test_statements_add_up_and_are_ready_when_the_day_is_over(
    bank: BankClient, sandbox: SandboxProcess
) -> None:
    number = bank.paid()["out_trade_no"]
    bank.refund(number, 300)
    sandbox.call("POST", "/bank/fund", account=bank.account, amount_fen=5)
    today = datetime.now(UTC).astimezone(CHINA).date()
    early = bank.get(f"/v1/statements/trade/{today + timedelta(days=1)}", 425)
    assert early["code"] == "STATEMENT_NOT_READY"
    sandbox.call("POST", f"/bank/statements/{today}/ready")
    rows: dict[str, list[Any]] = {}
    for kind in ("trade", "funds"):
        answer = bank.request("GET", f"/v1/statements/{kind}/{today}")
        assert bank.is_signed(answer.headers, answer.content, 200)
        *rows[kind], last = [json.loads(line) for line in answer.content.splitlines()]
        assert last["summary"]["rows"] == len(rows[kind])
        assert last["summary"]["amount"] == sum(row["amount"] for row in rows[kind])
    assert [row["type"] for row in rows["trade"]] == ["payment", "refund"]
    assert [row["amount"] for row in rows["funds"]] == [1000, -300, 5]
    assert rows["funds"][-1]["balance"] == bank.balance_fen() == 705
    yesterday = bank.request("GET", f"/v1/statements/funds/{today - timedelta(days=1)}")
    assert json.loads(yesterday.content)["summary"]["rows"] == 0


def test_a_killed_bank_loses_nothing_it_has_answered(
    bank: BankClient, sandbox: SandboxProcess
) -> None:
    payee = sandbox.call("POST", "/bank/payees")["payee"]
    sandbox.call("POST", "/bank/fund", account=bank.account, amount_fen=100)
    line = {"line_id": secrets.token_hex(8), "payee": payee, "amount": _fen(100)}
    batch = {"batch_id": secrets.token_hex(8), "lines": [line]}
    bank.post("/v1/payout-batches", **batch)
    sandbox.kill()
    sandbox.start()
    path = f"/v1/payout-batches/{batch['batch_id']}"
    bank.http.close()
    survivor = BankClient(sandbox, account=bank.account)
    wait_for(lambda: survivor.get(path)["state"] == "FINISHED")
    assert (survivor.balance_fen(payee), survivor.balance_fen()) == (100, 0)
    survivor.http.close()
