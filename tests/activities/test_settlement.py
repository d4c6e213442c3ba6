"""Orders' money shared out by real channels of the sandbox: booked as it moved, whatever fails."""

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.orders import OrderActs
from activities.refunds import RefundActs
from domain.books import journal
from domain.contracts.orders import Step
from domain.contracts.refunds import RefundOf
from domain.contracts.settlement import SettlementOf
from domain.outcomes import Accepted
from services import laws, ledger
from services.bank.payouts import Batch, Payouts, Transfer
from services.db import Database
from tests.sandbox.outside import PUBLIC_NAME, MerchantServer, SandboxProcess
from tests.sold import DELIVERY_FEN, GOODS_FEN, PACKING_FEN, PAID_FEN
from tests.till import Till, retried

COMMISSION_FEN = (GOODS_FEN + PACKING_FEN) // 10
SHARE_FEN = COMMISSION_FEN + DELIVERY_FEN
MERCHANT_FEN = PAID_FEN - SHARE_FEN
SPLITTING = ("wechat", "alipay", "bank")
RETURNING = ("wechat", "bank")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    server = MerchantServer()
    made = SandboxProcess(tmp_path_factory.mktemp("settling"), server.port)
    made.start()
    tls = made.home / "tls"
    server.serve(tls / f"{PUBLIC_NAME}.pem", tls / f"{PUBLIC_NAME}.key")
    made.call("PUT", "/settings", speed=1_000, refund_seconds=1)
    made.call("PUT", "/alipay/settings", speed=1_000)
    yield made
    made.stop()
    server.close()


@pytest.fixture
async def till(
    request: pytest.FixtureRequest,
    database: Database,
    site_id: str,
    sandbox: SandboxProcess,
    tmp_path: Path,
) -> AsyncIterator[Till]:
    made = await Till.build(database, site_id, sandbox, request.param, tmp_path)
    yield made
    await made.gateways.close()


def let_fail(till: Till, reason: str | None) -> None:
    """Close the platform's shares from now on, or pay them again."""
    if till.channel == "wechat":
        till.sandbox.call("PUT", "/receivers", account=till.platform, fail_reason=reason)
    elif till.channel == "alipay":
        path = f"/alipay/merchants/{till.sales.mchid}/settings"
        till.sandbox.call("PUT", path, royalty_outcome="FAIL" if reason else "SUCCESS")
    else:
        till.sandbox.call("POST", f"/bank/merchants/{till.platform}/close")


async def spend_share(till: Till) -> None:
    """The platform can't give its share back any more."""
    if till.channel != "bank":
        let_fail(till, "ACCOUNT_ABNORMAL")
        return
    payee = till.sandbox.call("POST", "/bank/payees")["payee"]
    line = Transfer(line_id=secrets.token_hex(12), payee=payee, amount_fen=SHARE_FEN)
    account = till.gateways.account("bank", f"keys/bank/{till.platform}")
    batch = Batch(batch_id=secrets.token_hex(12), transfers=(line,))
    assert isinstance(await Payouts(till.gateways.http).submit(account, batch), Accepted)


def earn_share_again(till: Till) -> None:
    if till.channel == "bank":
        till.sandbox.call("POST", "/bank/fund", account=till.platform, amount_fen=SHARE_FEN)
    else:
        let_fail(till, None)


async def left_with_platform(till: Till, order_id: str) -> int:
    """What the channel says of it; the bank's word is less what came back."""
    moved = await till.moved(order_id)
    return int(moved["split_fen"] - moved.get("returned_fen", 0))


async def states(till: Till, order_id: str) -> list[tuple[str, str]]:
    rows = await till.sales.all(
        "SELECT kind, state FROM splits WHERE order_id = :id ORDER BY number", id=order_id
    )
    return [(row.kind, row.state) for row in rows]


async def tickets(till: Till, order_id: str) -> list[str]:
    rows = await till.sales.all("SELECT key FROM tickets WHERE order_id = :id", id=order_id)
    return [row.key for row in rows]


async def booked(till: Till, order_id: str) -> dict[str, int]:
    """Where an order's money is: debits less credits."""
    codes = {
        "clearing": "psp:%",
        "payable": "merchant:%:payable",
        "owed": "merchant:%:owes",
        "receivable": "%:receivable",
        "commission": "%:commission",
        "expense": "%:expense",
    }
    found = {name: await till.of_order(order_id, code) for name, code in codes.items()}
    return {name: fen for name, fen in found.items() if fen}


SETTLED = {"receivable": SHARE_FEN, "commission": -COMMISSION_FEN}


@pytest.mark.parametrize("till", SPLITTING, indirect=True)
async def test_the_platform_gets_its_share_and_the_merchant_the_rest(till: Till) -> None:
    order_id = await till.sold()
    before = await booked(till, order_id)
    assert (before["payable"], before["commission"]) == (-MERCHANT_FEN, -COMMISSION_FEN)
    await till.settle(order_id)
    await till.settle(order_id)
    assert await states(till, order_id) == [("split", "success"), ("unfreeze", "success")]
    assert await booked(till, order_id) == SETTLED
    assert await tickets(till, order_id) == []
    if till.channel != "alipay":
        assert (await till.moved(order_id))["split_fen"] == SHARE_FEN
    await till.assert_laws()


@pytest.mark.parametrize("till", ["wechat", "alipay"], indirect=True)
async def test_a_closed_share_is_tried_again_under_a_new_number(till: Till) -> None:
    order_id = await till.sold()
    let_fail(till, "ACCOUNT_ABNORMAL")
    await till.settle(order_id, between=lambda: let_fail(till, None))
    assert await states(till, order_id) == [
        ("split", "closed"),
        ("split", "success"),
        ("unfreeze", "success"),
    ]
    assert await booked(till, order_id) == SETTLED
    assert await tickets(till, order_id) == []
    await till.assert_laws()


@pytest.mark.parametrize("till", SPLITTING, indirect=True)
async def test_a_share_that_never_comes_is_owed_and_the_rest_is_free(till: Till) -> None:
    order_id = await till.sold()
    let_fail(till, "ACCOUNT_ABNORMAL")
    await till.settle(order_id)
    assert await states(till, order_id) == [("split", "closed")] * 3 + [("unfreeze", "success")]
    assert await booked(till, order_id) == {"owed": SHARE_FEN, "commission": -COMMISSION_FEN}
    assert await tickets(till, order_id) == ["split_failed"]
    await till.assert_laws()


@pytest.mark.parametrize("till", SPLITTING, indirect=True)
@pytest.mark.parametrize("fault", ["drop_after_commit", "drop_before", "http_500"])
async def test_a_split_in_doubt_happens_once(till: Till, fault: str) -> None:
    order_id = await till.sold()
    for operation in ("split", "unfreeze"):
        till.sandbox.fault(operation, fault, channel=till.channel, mchid=till.sales.mchid, times=1)
    await till.settle(order_id)
    assert await states(till, order_id) == [("split", "success"), ("unfreeze", "success")]
    assert await booked(till, order_id) == SETTLED
    await till.assert_laws()


@pytest.mark.parametrize("till", RETURNING, indirect=True)
@pytest.mark.parametrize("fault", ["", "drop_after_commit"])
async def test_the_platforms_refund_takes_its_share_back_first(till: Till, fault: str) -> None:
    order_id = await till.sold()
    await till.settle(order_id)
    number = await till.open_refund(order_id, PAID_FEN, "platform")
    if fault:
        script = {"channel": till.channel, "mchid": till.sales.mchid, "times": 1}
        till.sandbox.fault("split_return", fault, **script)
    await till.refund(number)
    assert await booked(till, order_id) == {
        "payable": -MERCHANT_FEN,  # the customer got it out of the merchant's money
        "commission": -COMMISSION_FEN,
        "expense": PAID_FEN,
    }
    assert await left_with_platform(till, order_id) == 0
    assert (await till.moved(order_id))["refunded_fen"] == PAID_FEN
    await till.assert_laws()


@pytest.mark.parametrize("till", SPLITTING, indirect=True)
async def test_a_merchants_refund_gives_its_commission_back(till: Till) -> None:
    order_id = await till.sold()
    await till.settle(order_id)
    await till.refund(await till.open_refund(order_id, 1_000, "merchant"))
    back = 100 if till.channel in RETURNING else 0
    commission = {"commission": 100 - COMMISSION_FEN, "receivable": SHARE_FEN - back}
    still_to_pay = {} if back else {"payable": -100}
    assert await booked(till, order_id) == commission | still_to_pay
    await till.refund(await till.open_refund(order_id, GOODS_FEN + PACKING_FEN - 1_000, "merchant"))
    assert "commission" not in await booked(till, order_id)
    await till.assert_laws()


@pytest.mark.parametrize("till", RETURNING, indirect=True)
async def test_a_return_that_is_refused_waits_for_a_person(till: Till) -> None:
    order_id = await till.sold()
    await till.settle(order_id)
    number = await till.open_refund(order_id, 1_000, "platform")
    await spend_share(till)
    acts, asked = RefundActs(till.database, till.gateways), RefundOf(out_refund_no=number)
    for _ in range(100):
        with pytest.raises(Exception, match="share"):
            await ActivityEnvironment().run(acts.request, asked)
        if waiting := await tickets(till, order_id):
            break
    assert waiting == [f"split_return:{order_id}b01"]
    with pytest.raises(Exception, match="share"):
        await ActivityEnvironment().run(acts.request, asked)
    assert (await till.moved(order_id))["refunded_fen"] == 0
    await till.assert_laws()
    earn_share_again(till)
    async with till.database.write() as writer:
        await writer.run(
            text("UPDATE tickets SET state = 'resolved' WHERE order_id = :id"), {"id": order_id}
        )
    await till.refund(number)
    assert await left_with_platform(till, order_id) == 0
    assert "receivable" not in await booked(till, order_id)
    await till.assert_laws()


@pytest.mark.parametrize("till", ["wechat"], indirect=True)
async def test_a_refund_that_overtakes_the_split_leaves_nothing_unexplained(till: Till) -> None:
    first = await till.sold()
    await till.refund(await till.open_refund(first, PAID_FEN - 100, "platform"))
    await till.settle(first)
    assert await states(till, first) == [("unfreeze", "success")]
    assert (await booked(till, first))["payable"] == 100 - MERCHANT_FEN
    second = await till.sold()
    now = await retried(till.acts.split, SettlementOf(order_id=second))
    assert now.state == "asked"
    await till.open_refund(second, PAID_FEN, "platform")
    await till.settle(second)
    assert (await booked(till, second))["receivable"] == SHARE_FEN
    await till.assert_laws()


@pytest.mark.parametrize("till", ["wechat"], indirect=True)
async def test_what_no_channel_splits_is_the_merchants_who_owes_the_platform(till: Till) -> None:
    order_id = await till.sales.order()
    await OrderActs(till.database).complete(Step(order_id=order_id, key="completed"))
    await till.settle(order_id)
    assert await states(till, order_id) == []
    assert await booked(till, order_id) == {"owed": SHARE_FEN, "commission": -COMMISSION_FEN}
    await till.assert_laws()


@pytest.mark.parametrize("till", ["wechat"], indirect=True)
async def test_a_share_above_the_channels_cap_is_capped_and_owed(till: Till) -> None:
    discount = {"code": "c", "name": "n", "bearer": "merchant", "amount_fen": 2_500}
    paid_fen = PAID_FEN - 2_500
    order_id = await till.sold(paid_fen=paid_fen, discounts=[discount])
    await till.settle(order_id)
    share_fen = paid_fen * 30 // 100
    commission_fen = (GOODS_FEN + PACKING_FEN - 2_500) // 10
    assert await booked(till, order_id) == {
        "receivable": share_fen,
        "owed": commission_fen + DELIVERY_FEN - share_fen,
        "commission": -commission_fen,
    }
    await till.assert_laws()


@pytest.mark.parametrize("till", ["bank"], indirect=True)
async def test_the_laws_see_money_that_is_missing_or_came_back_twice(till: Till) -> None:
    order_id = await till.sold()
    await till.settle(order_id)
    names = {"site_id": till.sales.site_id, "order_id": order_id, "mchid": till.sales.mchid}
    twice = {"channel": till.channel, "out_return_no": "twice", "amount_fen": SHARE_FEN + 1}
    async with till.database.write() as writer:
        await ledger.post(writer, journal("platform_share_returned", **names, **twice))
    async with till.database.snapshot() as reader:
        found = {one.law for one in await laws.check(reader, till.sales.site_id) if one.broken}
    assert {
        "1 split, received and refunded add up to what came for a settled order",
        "1 no more comes back of a share than came",
    } <= found
