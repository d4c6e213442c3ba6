"""An order's money shared out: each receiver's result counts, and what is taken back or left."""

import pytest

from domain.channels import Share, ShareState
from domain.outcomes import Accepted, Refusal, Rejected, Unknown
from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from tests.services.wechat.gateway import Gateway, NoticeEar
from tests.services.wechat.steps import (
    ended_refund,
    new_number,
    new_order,
    new_refund,
    paid_to_share,
    until,
)


@pytest.fixture
async def shop(gateway: Gateway, pay: WechatPay, account: Account) -> Account:
    """A merchant that may be given shares of this test's account's payments."""
    other = gateway.merchant(certificates=True)
    added = await pay.ensure_receiver(account, receiver=other.mchid, name="一家店")
    assert added == Accepted(value=None)
    return other


def _share(shop: Account, amount_fen: int = 500) -> Share:
    return Share(receiver=shop.mchid, amount_fen=amount_fen, description="货款")


async def test_a_share_is_paid_taken_back_and_the_rest_given(
    *, gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar, shop: Account
) -> None:
    out_trade_no, transaction_id = await paid_to_share(gateway, pay, account, ear)
    numbers = {"transaction_id": transaction_id, "out_order_no": new_number("S")}
    asked = await pay.split(account, **numbers, shares=[_share(shop)], finish=False)
    assert isinstance(asked, Accepted)
    assert not asked.value.finished
    assert asked.value.results[0].state is ShareState.PENDING
    said = await until(lambda: pay.query_split(account, **numbers))
    (result,) = said.results
    assert (result.receiver, result.amount_fen, result.state) == (
        shop.mchid,
        500,
        ShareState.SUCCESS,
    )
    again = await pay.split(account, **numbers, shares=[_share(shop)], finish=False)
    assert again == Accepted(value=said)

    whole = new_refund(out_trade_no, new_number("R"), refund_fen=2999)
    assert await pay.refund(account, **whole) == Rejected(code="NOT_ENOUGH")
    back = {"out_order_no": numbers["out_order_no"], "out_return_no": new_number("B")}
    assert isinstance(await pay.return_split(account, **back, share=_share(shop)), Accepted)
    returned = await until(lambda: pay.query_return(account, **back))
    assert returned.results[0].state is ShareState.SUCCESS
    refunded = await pay.refund(account, **whole)
    assert isinstance(refunded, Accepted)
    assert (await ended_refund(pay, account, out_trade_no, whole["out_refund_no"])).state == (
        "success"
    )
    await ear.next()
    moved = gateway.oracle(account, out_trade_no)
    assert (moved["split_fen"], moved["returned_fen"], moved["refunded_fen"]) == (500, 500, 2999)

    rest = {"transaction_id": transaction_id, "out_order_no": new_number("U")}
    assert isinstance(await pay.unfreeze(account, **rest), Accepted)
    assert (await until(lambda: pay.query_split(account, **rest))).results == ()
    late = rest | {"out_order_no": new_number("S")}
    refused = await pay.split(account, **late, shares=[_share(shop, 1)], finish=False)
    assert refused == Rejected(code="NOT_ENOUGH")


async def test_a_finished_split_may_have_paid_nobody(
    *, gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar, shop: Account
) -> None:
    gateway.control(
        "receivers", {"account": shop.mchid, "fail_reason": "ACCOUNT_ABNORMAL"}, method="PUT"
    )
    out_trade_no, transaction_id = await paid_to_share(gateway, pay, account, ear)
    numbers = {"transaction_id": transaction_id, "out_order_no": new_number("S")}
    stranger = Share(receiver="o-stranger", amount_fen=100, description="配送费")
    shares = [_share(shop), stranger]
    assert isinstance(await pay.split(account, **numbers, shares=shares, finish=True), Accepted)
    said = await until(lambda: pay.query_split(account, **numbers))
    assert [(r.state, r.reason) for r in said.results] == [
        (ShareState.CLOSED, "ACCOUNT_ABNORMAL"),
        (ShareState.CLOSED, "NO_RELATION"),
    ]
    assert gateway.oracle(account, out_trade_no)["split_fen"] == 0


async def test_what_may_not_be_shared_is_refused(
    *, gateway: Gateway, pay: WechatPay, certificate_account: Account, ear: NoticeEar
) -> None:
    account = certificate_account
    out_trade_no = new_number()
    await pay.create(account, new_order(out_trade_no, split=True))
    gateway.habits(account, speed=1)
    gateway.pay(account, out_trade_no)
    await ear.next()
    paid = await pay.query(account, out_trade_no=out_trade_no)
    assert isinstance(paid, Accepted)
    numbers = {
        "transaction_id": paid.value.transaction_id or "",
        "out_order_no": new_number("S"),
    }
    shares = [Share(receiver="o-rider", amount_fen=900, description="配送费")]
    young = await pay.split(account, **numbers, shares=shares, finish=False)
    assert young == Rejected(code="INVALID_REQUEST", kind=Refusal.LATER)
    gateway.habits(account, speed=10_000)
    most = [Share(receiver="o-rider", amount_fen=899, description="配送费")]
    too_much = await pay.split(account, **numbers, shares=shares, finish=False)
    assert too_much == Rejected(code="RULE_LIMIT")
    assert isinstance(await pay.split(account, **numbers, shares=most, finish=False), Accepted)
    never = numbers | {"out_order_no": new_number("S")}
    unknown = await pay.query_split(account, **never)
    assert unknown == Rejected(code="RESOURCE_NOT_EXISTS", kind=Refusal.NOT_FOUND)


@pytest.mark.parametrize("fault", ["drop_after_commit", "http_500", "http_202", "bad_signature"])
async def test_a_split_in_doubt_is_asked_for_again_and_happens_once(
    *,
    gateway: Gateway,
    pay: WechatPay,
    account: Account,
    ear: NoticeEar,
    shop: Account,
    fault: str,
) -> None:
    out_trade_no, transaction_id = await paid_to_share(gateway, pay, account, ear)
    numbers = {"transaction_id": transaction_id, "out_order_no": new_number("S")}
    gateway.spoil(account, "split", fault)
    doubtful = await pay.split(account, **numbers, shares=[_share(shop)], finish=True)
    assert isinstance(doubtful, Unknown)
    assert isinstance(
        await pay.split(account, **numbers, shares=[_share(shop)], finish=True), Accepted
    )
    said = await until(lambda: pay.query_split(account, **numbers))
    assert [result.receiver for result in said.results] == [shop.mchid]
    assert gateway.oracle(account, out_trade_no)["split_fen"] == 500
