"""Alipay's callbacks: repeated until the word, on the real table, and what can go wrong."""

import pytest

from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import MerchantServer, SandboxProcess, wait_for

WAITS_SECONDS = (240, 600, 600, 3600, 7200, 21600, 54000)


@pytest.mark.parametrize("answer", [(500, b"success "), (200, b"success\n")])
def test_only_the_word_ends_the_repetitions(
    alipay: AlipayMerchant, server: MerchantServer, answer: tuple[int, bytes]
) -> None:
    server.status, server.body = answer
    alipay.habits(speed=1e5)
    alipay.paid()
    wait_for(lambda: server.got(alipay.notify_path))
    alipay.paid()
    wait_for(lambda: len(server.got(alipay.notify_path)) >= 2)
    assert len(server.got(alipay.notify_path)) == 2


def test_eight_deliveries_of_one_notice(alipay: AlipayMerchant, server: MerchantServer) -> None:
    server.body = b"fail"
    alipay.habits(speed=sum(WAITS_SECONDS) / 1.5)
    alipay.paid()
    wait_for(lambda: len(server.got(alipay.notify_path)) == 8)
    told = [alipay.opened(received.body) for received in server.got(alipay.notify_path)]
    assert len({notice["notify_id"] for notice in told}) == 1
    assert {notice["trade_status"] for notice in told} == {"TRADE_SUCCESS"}
    server.body = b"success"
    resent = {"seller_id": alipay.seller_id, "out_trade_no": told[0]["out_trade_no"]}
    assert (
        alipay.sandbox.call("POST", "/alipay/notifications/resend", **resent, count=2) == [200] * 2
    )
    assert len(server.got(alipay.notify_path)) == 10


@pytest.mark.parametrize(("fault", "copies"), [("lost", 0), ("duplicate", 3)])
def test_lost_and_doubled(
    alipay: AlipayMerchant, server: MerchantServer, sandbox: SandboxProcess, fault: str, copies: int
) -> None:
    sandbox.fault("notify", fault, channel="alipay", mchid=alipay.seller_id, count=3)
    first, second = alipay.paid(), alipay.made()
    alipay.pay(out_trade_no=second)
    wait_for(lambda: len(server.got(alipay.notify_path)) == copies + 1)
    told = [alipay.opened(r.body)["out_trade_no"] for r in server.got(alipay.notify_path)]
    assert (told.count(first), told.count(second)) == (copies, 1)


def test_a_spoiled_callback(
    alipay: AlipayMerchant, server: MerchantServer, sandbox: SandboxProcess
) -> None:
    sandbox.fault("notify", "bad_signature", mchid=alipay.seller_id)
    alipay.paid()
    (received,) = wait_for(lambda: server.got(alipay.notify_path))
    with pytest.raises(AssertionError):
        alipay.opened(received.body)
