"""Refund rules and their ends (payments.md §1.6, §1.7)."""

import time

import httpx
import pytest

from tests.sandbox.outside import MerchantServer, SandboxProcess, TestMerchant, wait_for


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_refund_is_processed_then_succeeds(
    merchant: TestMerchant, sandbox: SandboxProcess, server: MerchantServer
) -> None:
    number = merchant.paid_order()
    first = merchant.refund(number, "r-1", 400)
    assert first.json()["status"] == "PROCESSING"
    assert merchant.query(number).json()["trade_state"] == "REFUND"
    assert sandbox.oracle(mchid=merchant.mchid)["orders"][0]["refunding_fen"] == 400
    wait_for(lambda: merchant.refund_status("r-1") == "SUCCESS")
    again = merchant.refund(number, "r-1", 400).json()
    assert again["refund_id"] == first.json()["refund_id"]
    assert again["status"] == "SUCCESS"
    assert again["success_time"].endswith("+08:00")
    moved = sandbox.oracle(mchid=merchant.mchid)
    assert (moved["paid_fen"], moved["refunded_fen"]) == (1000, 400)
    assert moved["orders"][0]["refunds"] == [
        {
            "out_refund_no": "r-1",
            "refund_id": again["refund_id"],
            "status": "SUCCESS",
            "amount_fen": 400,
            "fee_fen": 2,
        }
    ]
    # The payment's own notice may come before it or after.
    wait_for(lambda: server.got(merchant.notify_path)[1:])
    [received] = [
        one
        for one in server.got(merchant.notify_path)
        if one.event["event_type"] == "REFUND.SUCCESS"
    ]
    resource = merchant.open_resource(received)
    assert resource["refund_status"] == "SUCCESS"
    assert resource["amount"] == {
        "total": 1000,
        "refund": 400,
        "payer_total": 1000,
        "payer_refund": 400,
    }
    assert "status" not in resource
    assert "channel" not in resource


def test_refunds_never_exceed_what_was_paid(
    merchant: TestMerchant, sandbox: SandboxProcess
) -> None:
    # Fast enough that the minute between two refunds has passed when the next one comes.
    sandbox.call("PUT", f"/merchants/{merchant.mchid}/settings", speed=1e6)
    number = merchant.paid_order()
    assert merchant.refund(number, "r-1", 600).status_code == 200
    assert _code(merchant.refund(number, "r-2", 401)) == (400, "INVALID_REQUEST")
    assert merchant.refund(number, "r-2", 400).status_code == 200
    assert _code(merchant.refund(number, "r-3", 1)) == (400, "INVALID_REQUEST")


def test_refunds_are_a_minute_apart_at_life_speed(
    merchant: TestMerchant, sandbox: SandboxProcess
) -> None:
    habits = sandbox.call("PUT", f"/merchants/{merchant.mchid}/settings", speed=60)
    assert (habits["speed"], habits["refund_seconds"]) == (60, 6)
    habits = sandbox.call("PUT", f"/merchants/{merchant.mchid}/settings", refund_seconds=1)
    assert (habits["speed"], habits["refund_seconds"]) == (60, 1)
    habits = sandbox.call("PUT", f"/merchants/{merchant.mchid}/settings", refund_seconds=None)
    assert (habits["speed"], habits["refund_seconds"]) == (60, 6)
    sandbox.call("PUT", "/merchants/1999999999/settings", 404, speed=2)
    number = merchant.paid_order()
    assert merchant.refund(number, "r-1", 10).status_code == 200
    assert _code(merchant.refund(number, "r-2", 10)) == (429, "FREQUENCY_LIMITED")
    time.sleep(1.05)
    assert merchant.refund(number, "r-2", 10).status_code == 200


def test_fifty_refunds_are_the_most(merchant: TestMerchant, sandbox: SandboxProcess) -> None:
    sandbox.call("PUT", f"/merchants/{merchant.mchid}/settings", speed=1e6)
    number = merchant.paid_order()
    for attempt in range(50):
        assert merchant.refund(number, f"r-{attempt}", 1).status_code == 200
    assert _code(merchant.refund(number, "r-50", 1)) == (403, "RULE_LIMIT")


def test_what_is_refused(merchant: TestMerchant) -> None:
    unpaid = merchant.order()
    assert merchant.create(unpaid).status_code == 200
    refused = merchant.refund(unpaid["out_trade_no"], "r-1", 1)
    assert _code(refused) == (400, "INVALID_REQUEST")
    assert _code(merchant.refund("none-such", "r-1", 1)) == (404, "RESOURCE_NOT_EXISTS")
    answer = merchant.request("GET", "/v3/refund/domestic/refunds/r-1")
    assert _code(answer) == (404, "RESOURCE_NOT_EXISTS")
    number = merchant.paid_order()
    wrong_total = {"refund": 1, "total": 999, "currency": "CNY"}
    answer = merchant.refund(number, "r-1", 1, amount=wrong_total)
    assert _code(answer) == (400, "INVALID_REQUEST")
    no_currency = merchant.refund(number, "r-1", 1, amount={"refund": 1, "total": 1000})
    assert no_currency.json()["detail"]["field"] == "/amount/currency"
    loopback = merchant.refund(number, "r-1", 1, notify_url="https://127.0.0.1/n")
    assert loopback.json()["detail"]["field"] == "/notify_url"
    assert merchant.refund(number, "r-1", 1).status_code == 200
    assert _code(merchant.refund(number, "r-1", 2)) == (400, "REFUND_FEE_MISMATCH")


@pytest.mark.parametrize("outcome", ["ABNORMAL", "CLOSED", "PROCESSING"])
def test_other_ends(
    merchant: TestMerchant, sandbox: SandboxProcess, server: MerchantServer, outcome: str
) -> None:
    path = f"/merchants/{merchant.mchid}/settings"
    sandbox.call("PUT", path, refund_outcome=outcome, refund_seconds=0)
    number = merchant.paid_order()
    assert merchant.refund(number, "r-1", 1000).status_code == 200
    wait_for(lambda: merchant.refund_status("r-1") == outcome)
    if outcome != "PROCESSING":
        # The payment's own notice may come before it or after.
        ended = f"REFUND.{outcome}"
        wait_for(
            lambda: ended in {one.event["event_type"] for one in server.got(merchant.notify_path)}
        )
    resolve = "/refunds/r-1/resolve"
    wish = {"mchid": merchant.mchid, "status": "SUCCESS"}
    if outcome == "CLOSED":
        sandbox.call("POST", resolve, 409, **wish)
        assert merchant.query(number).json()["trade_state"] == "SUCCESS"
        assert merchant.refund(number, "r-2", 1000).status_code == 200
    else:
        assert sandbox.oracle(mchid=merchant.mchid)["refunded_fen"] == 0
        assert sandbox.call("POST", resolve, **wish)["status"] == "SUCCESS"
        assert sandbox.oracle(mchid=merchant.mchid)["refunded_fen"] == 1000
    sandbox.call("POST", "/refunds/none-such/resolve", 404, **wish)
