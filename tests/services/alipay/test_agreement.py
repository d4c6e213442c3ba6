"""Alipay's real bills agree with its own answers, payments and refunds under one number."""

from datetime import UTC, datetime

from domain.channels import BillKind
from domain.outcomes import Accepted
from domain.reconciliation import day_of
from services.alipay.accounts import Account
from services.alipay.client import Alipay
from tests.agreement import compared, flaws
from tests.sandbox.alipay import AlipayMerchant


async def test_a_day_agrees_and_what_we_never_heard_of_is_found(
    pay: Alipay, account: Account, merchant: AlipayMerchant
) -> None:
    numbers = [merchant.paid(out_trade_no=f"T{number}") for number in range(3)]
    merchant.refund(numbers[0], "4.00", "R1")
    merchant.refund(numbers[0], "6.00", "R2")
    day = day_of(datetime.now(UTC))
    paid, refunds = [], []
    for number in numbers:
        transaction = await pay.query(account, out_trade_no=number)
        assert isinstance(transaction, Accepted)
        paid.append(transaction.value)
    for refund_no in ("R1", "R2"):
        refund = await pay.query_refund(account, out_trade_no=numbers[0], out_refund_no=refund_no)
        assert isinstance(refund, Accepted)
        refunds.append(refund.value)
    trade = await pay.bill(account, kind=BillKind.TRADE, day=day)
    funds = await pay.bill(account, kind=BillKind.FUNDS, day=day)
    assert isinstance(trade, Accepted)
    assert isinstance(funds, Accepted)
    found = compared(trade.value, funds.value, paid, refunds)
    assert (len(found), flaws(found)) == (5, [])
    unheard = compared(trade.value, funds.value, paid[:2], refunds[1:])
    assert flaws(unheard) == [("payment", "missing_payment"), ("refund", "missing_refund")]
