"""Scripted misbehaviour of requests, and what truly happened behind it (§3.1)."""

import time

import httpx
import pytest

from tests.sandbox.outside import SandboxProcess, TestMerchant


def _orders(sandbox: SandboxProcess, merchant: TestMerchant) -> int:
    return len(sandbox.oracle(mchid=merchant.mchid)["orders"])


@pytest.mark.parametrize(("fault", "happened"), [("drop_before", 0), ("drop_after_commit", 1)])
def test_a_dropped_connection(
    merchant: TestMerchant, sandbox: SandboxProcess, fault: str, happened: int
) -> None:
    order = merchant.order()
    sandbox.fault("create", fault, mchid=merchant.mchid)
    with pytest.raises(httpx.TransportError):
        merchant.create(order)
    assert _orders(sandbox, merchant) == happened
    assert merchant.create(order).status_code == 200
    assert _orders(sandbox, merchant) == 1


@pytest.mark.parametrize(
    ("fault", "status", "code", "happened"),
    [
        ("http_500", 500, "SYSTEM_ERROR", 0),
        ("http_502", 502, "SERVICE_UNAVAILABLE", 0),
        ("http_429", 429, "FREQUENCY_LIMITED", 0),
        ("http_202", 202, "ACCEPTED", 1),
        ("system_error", 500, "SYSTEM_ERROR", 1),
    ],
)
def test_breakdowns(
    merchant: TestMerchant,
    sandbox: SandboxProcess,
    *,
    fault: str,
    status: int,
    code: str,
    happened: int,
) -> None:
    sandbox.fault("*", fault, mchid=merchant.mchid)
    answer = merchant.create(merchant.order())
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("Wechatpay-Signature" in answer.headers) is (status == 202)
    assert _orders(sandbox, merchant) == happened
    sandbox.fault("create", fault, mchid=merchant.mchid, after_commit=not happened)
    assert merchant.create(merchant.order()).status_code == status
    assert _orders(sandbox, merchant) == 1


def test_a_slow_answer(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    sandbox.fault("create", "delay", mchid=merchant.mchid, delay_seconds=0.5)
    began = time.monotonic()
    assert merchant.create(merchant.order()).status_code == 200
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize("fault", ["bad_signature", "wrong_serial", "signtest", "stale_timestamp"])
def test_spoiled_answers(merchant: TestMerchant, sandbox: SandboxProcess, fault: str) -> None:
    number = merchant.paid_order()
    sandbox.fault("query", fault, out_trade_no=number)
    path = f"/v3/pay/transactions/out-trade-no/{number}?mchid={merchant.mchid}"
    headers = {
        "User-Agent": "x",
        "Accept": "application/json",
        "Wechatpay-Serial": merchant.keys["public_key_id"],
    }
    spoiled, right = (merchant.request("GET", path, headers=headers) for _ in range(2))
    assert spoiled.json() == right.json()
    assert merchant.is_signed_by_public_key(right.headers, right.content)
    is_valid = merchant.is_signed_by_public_key(spoiled.headers, spoiled.content)
    assert is_valid is (fault == "stale_timestamp")
    age_seconds = time.time() - int(spoiled.headers["Wechatpay-Timestamp"])
    assert (age_seconds > 300) is (fault == "stale_timestamp")


def test_faults_meet_only_whom_they_name(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    number = merchant.paid_order()
    found = merchant.query(number).json()
    sandbox.fault("query", "http_500", out_trade_no="another", times=None)
    sandbox.fault("query", "http_500", out_trade_no=number, probability=0, times=None)
    sandbox.fault("refund", "http_500", out_refund_no="r-2", times=None)
    assert merchant.query(number).status_code == 200
    assert merchant.refund(number, "r-1", 1).status_code == 200
    assert merchant.refund(number, "r-2", 1).status_code == 500
    sandbox.fault("query", "http_502", out_trade_no=number, times=2)
    by_id = f"/v3/pay/transactions/id/{found['transaction_id']}?mchid={merchant.mchid}"
    assert merchant.request("GET", by_id).status_code == 502
    assert [armed["times_left"] for armed in sandbox.call("GET", "/faults")] == [None] * 3 + [1]
    assert merchant.query(number).status_code == 502
    assert merchant.query(number).status_code == 200
    first = sandbox.call("GET", "/faults")[0]["id"]
    assert sandbox.call("DELETE", f"/faults/{first}") == {"disarmed": 1}
    sandbox.call("DELETE", f"/faults/{first}", 404)
    assert sandbox.call("DELETE", "/faults") == {"disarmed": 2}


@pytest.mark.parametrize(
    "script",
    [
        {"operation": "create", "fault": "lost"},
        {"operation": "notify", "fault": "http_500"},
        {"operation": "create", "fault": "delay"},
        {"operation": "create", "fault": "drop_before", "delay_seconds": 1},
        {"operation": "elsewhere", "fault": "delay", "delay_seconds": 1},
        {"operation": "create", "fault": "http_500", "unknown": 1},
    ],
)
def test_scripts_that_make_no_sense_are_refused(
    sandbox: SandboxProcess, script: dict[str, object]
) -> None:
    assert sandbox.control.post("/control/faults", json=script).status_code == 422
