"""The bank's real statements agree with its own answers."""

from datetime import UTC, datetime

from domain.channels import BillKind
from domain.reconciliation import day_of
from services.bank.accounts import Account
from services.bank.client import Bank
from tests.agreement import compared, flaws
from tests.services.bank.conftest import World
from tests.services.bank.test_bank_client import paid, refund_of, until, value_of


async def test_a_day_agrees_and_what_we_never_heard_of_is_found(
    world: World, bank: Bank, account: Account
) -> None:
    payments = [await paid(world, bank, account) for _ in range(3)]
    asked = refund_of(payments[0].out_trade_no)
    value_of(await bank.refund(account, **asked))
    numbers = {name: asked[name] for name in ("out_trade_no", "out_refund_no")}
    refund = await until(
        lambda: bank.query_refund(account, **numbers), lambda said: said.state == "success"
    )
    today = day_of(datetime.now(UTC))
    world.control(f"statements/{today}/ready")
    trade, funds = [value_of(await bank.bill(account, kind=kind, day=today)) for kind in BillKind]
    found = compared(trade, funds, payments, [refund])
    assert (len(found), flaws(found)) == (4, [])
    unheard = compared(trade, funds, payments[1:], [])
    assert flaws(unheard) == [("payment", "missing_payment"), ("refund", "missing_refund")]
