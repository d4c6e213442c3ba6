"""What Stripe's balance says of a day agrees with its own answers; disputes stay unexplained."""

from datetime import UTC, datetime, timedelta

import httpx

from domain.channels import BillKind
from domain.reconciliation import day_of
from services.card.client import Cards
from tests.agreement import compared, flaws
from tests.services.card.conftest import Payee
from tests.services.card.test_client import _held, _refund, _value


async def test_a_day_agrees_and_a_dispute_is_found(
    cards: Cards, payee: Payee, http: httpx.AsyncClient
) -> None:
    account, paid = payee.account, []
    for _ in range(2):
        number, _opened = await _held(cards, payee)
        paid.append(_value(await cards.capture(account, out_trade_no=number, amount_fen=2999)))
    number = paid[0].out_trade_no
    for refund_no in ("r1", "r2"):
        _value(await _refund(cards, payee, number, refund_no, 999))
    payee.control("/refunds/r2/resolve", account=account.account, status="failed")
    said = await cards.query_refund(account, out_trade_no=number, out_refund_no="r1")
    today = day_of(datetime.now(UTC))
    tomorrow = Cards(http, lambda: datetime.now(UTC) + timedelta(days=1))

    async def found() -> list[tuple[str, str]]:
        trade = _value(await tomorrow.bill(account, kind=BillKind.TRADE, day=today))
        funds = _value(await tomorrow.bill(account, kind=BillKind.FUNDS, day=today))
        return flaws(compared(trade, funds, paid, [_value(said)]))

    assert await found() == []
    payee.control("/disputes", account=account.account, out_trade_no=paid[1].out_trade_no)
    assert await found() == [("funds", "funds_extra")]
