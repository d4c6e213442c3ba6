"""Callbacks: sealed, signed, repeated on the real table, and alive after a crash (§1.5)."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.wechat.notices import Notices
from tests.sandbox.outside import (
    MerchantServer,
    Outside,
    Received,
    SandboxProcess,
    TestMerchant,
    running,
    wait_for,
)


def _got(server: MerchantServer, merchant: TestMerchant, count: int = 1) -> list[Received]:
    wait_for(lambda: len(server.got(merchant.notify_path)) >= count)
    return server.got(merchant.notify_path)


def test_the_retry_table_is_the_published_one() -> None:
    assert len(Notices.retry_seconds) == 15
    assert sum(Notices.retry_seconds) == (24 * 60 + 4) * 60


def test_a_payment_is_told_once_when_answered(
    merchant: TestMerchant, server: MerchantServer
) -> None:
    number = merchant.paid_order()
    (received,) = _got(server, merchant)
    event = received.event
    assert len(event["id"]) == 36
    assert event["resource_type"] == "encrypt-resource"
    assert event["resource"]["original_type"] == "transaction"
    assert merchant.open_resource(received) == merchant.query(number).json()
    time.sleep(0.6)
    assert len(server.got(merchant.notify_path)) == 1


def test_an_unanswered_callback_comes_again(merchant: TestMerchant, server: MerchantServer) -> None:
    server.status = 500
    merchant.paid_order()
    first, second = _got(server, merchant, 2)[:2]
    server.status = 200
    wait_for(lambda: len(server.got(merchant.notify_path)) >= 3)
    assert first.event["id"] == second.event["id"]
    nonces = {event.event["resource"]["nonce"] for event in (first, second)}
    assert len(nonces) == 2
    settled = len(server.got(merchant.notify_path))
    time.sleep(0.8)
    assert len(server.got(merchant.notify_path)) == settled


def test_grey_release_signs_with_the_public_key(
    merchant: TestMerchant, sandbox: SandboxProcess, server: MerchantServer
) -> None:
    assert sandbox.call("PUT", "/settings", grey=1)["grey"] == 1
    merchant.paid_order()
    (received,) = _got(server, merchant)
    assert merchant.is_signed_by_public_key(received.headers, received.body)
    sandbox.call("PUT", "/settings", grey=0)
    number = merchant.paid_order()
    certified = _got(server, merchant, 2)[1]
    assert merchant.open_resource(certified)["out_trade_no"] == number
    assert len(certified.headers["Wechatpay-Serial"]) == 40


def test_lost_duplicated_and_sent_again(
    merchant: TestMerchant, sandbox: SandboxProcess, server: MerchantServer
) -> None:
    sandbox.fault("notify", "lost", mchid=merchant.mchid)
    lost = merchant.paid_order()
    time.sleep(0.6)
    assert server.got(merchant.notify_path) == []
    wish = {"mchid": merchant.mchid, "out_trade_no": lost, "count": 5, "concurrent": True}
    assert sandbox.call("POST", "/notifications/resend", **wish) == [204] * 5
    ids = {received.event["id"] for received in _got(server, merchant, 5)}
    assert len(ids) == 1
    server.received.clear()
    sandbox.fault("notify", "duplicate", mchid=merchant.mchid, count=7)
    merchant.paid_order()
    assert len({received.event["id"] for received in _got(server, merchant, 7)}) == 1
    sandbox.call("POST", "/notifications/resend", 404, **wish | {"out_trade_no": "none-such"})


@pytest.mark.parametrize("fault", ["bad_signature", "stale_timestamp", "wrong_serial", "signtest"])
def test_callbacks_that_must_be_refused(
    merchant: TestMerchant, sandbox: SandboxProcess, server: MerchantServer, fault: str
) -> None:
    sandbox.call("PUT", "/settings", grey=1)
    sandbox.fault("notify", fault, mchid=merchant.mchid)
    server.status = 401
    merchant.paid_order()
    spoiled = _got(server, merchant)[0]
    is_valid = merchant.is_signed_by_public_key(spoiled.headers, spoiled.body)
    age_seconds = time.time() - int(spoiled.headers["Wechatpay-Timestamp"])
    assert is_valid is (fault == "stale_timestamp")
    assert (age_seconds > 300) is (fault == "stale_timestamp")
    assert spoiled.headers["Wechatpay-Signature"].startswith("WECHATPAY/SIGNTEST/") is (
        fault == "signtest"
    )
    right = _got(server, merchant, 2)[1]
    assert merchant.is_signed_by_public_key(right.headers, right.body)


@pytest.fixture
def own_outside(tmp_path: Path) -> Iterator[Outside]:
    """A sandbox of this test's own, to be killed."""
    with running(tmp_path, status=500) as outside:
        yield outside


def test_a_killed_sandbox_goes_on_with_what_it_owed(
    own_outside: Outside,
) -> None:
    sandbox, server = own_outside
    sandbox.call("PUT", "/settings", speed=30, refund_seconds=60)
    merchant = TestMerchant(sandbox, certificates=False)
    number = merchant.paid_order()
    assert merchant.refund(number, "r-1", 300).json()["status"] == "PROCESSING"
    fault = sandbox.fault("query", "http_500", times=2)
    assert merchant.query(number).status_code == 500
    before = _got(server, merchant)[0]
    sandbox.kill()
    merchant.http.close()

    server.status = 204
    server.received.clear()
    sandbox.start()
    after = TestMerchant(sandbox, mchid=merchant.mchid)
    assert after.keys == merchant.keys
    assert sandbox.call("GET", "/settings")["speed"] == 30
    assert [armed["id"] for armed in sandbox.call("GET", "/faults")] == [fault]
    events = [received.event for received in _got(server, merchant, 2)]
    assert {event["event_type"] for event in events} == {"TRANSACTION.SUCCESS", "REFUND.SUCCESS"}
    assert before.event["id"] in {event["id"] for event in events}
    moved = sandbox.oracle(mchid=merchant.mchid)
    assert (moved["paid_fen"], moved["refunded_fen"]) == (1000, 300)
    after.http.close()
