"""WeChat Pay's real bills agree with its own answers."""

from domain.channels import BillKind
from domain.outcomes import Accepted
from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from tests.agreement import compared, flaws
from tests.services.wechat.gateway import Gateway, NoticeEar
from tests.services.wechat.steps import ended_refund, new_number, new_refund, paid_order, today


async def test_a_day_agrees_and_what_we_never_heard_of_is_found(
    gateway: Gateway, pay: WechatPay, certificate_account: Account, ear: NoticeEar
) -> None:
    account = certificate_account
    gateway.habits(account, bills_ready=True)
    paid = []
    for _ in range(3):
        number = await paid_order(gateway, pay, account, ear)
        transaction = await pay.query(account, out_trade_no=number)
        assert isinstance(transaction, Accepted)
        paid.append(transaction.value)
    trade_no, refund_no = paid[0].out_trade_no, new_number("R")
    await pay.refund(account, **new_refund(trade_no, refund_no))
    await ended_refund(pay, account, trade_no, refund_no)
    await ear.next()
    refund = await pay.query_refund(account, out_trade_no=trade_no, out_refund_no=refund_no)
    trade = await pay.bill(account, kind=BillKind.TRADE, day=today())
    funds = await pay.bill(account, kind=BillKind.FUNDS, day=today())
    assert isinstance(refund, Accepted)
    assert isinstance(trade, Accepted)
    assert isinstance(funds, Accepted)
    found = compared(trade.value, funds.value, paid, [refund.value])
    assert (len(found), flaws(found)) == (4, [])
    unheard = compared(trade.value, funds.value, paid[1:], [])
    assert flaws(unheard) == [("payment", "missing_payment"), ("refund", "missing_refund")]
