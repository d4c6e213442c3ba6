"""Customers of the bank: they confirm with what their device was shown, or fail to."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.bank.payments import PaymentRefused, Payments
from sandbox.habits import Habits
from sandbox.routes import Attempt


class Payment(Attempt):
    """One try to pay, by the first given of `confirm_url`, `code_url`, the client's number."""

    confirm_url: str | None = None
    code_url: str | None = None
    mchid: str | None = None
    out_trade_no: str | None = None
    wallet: str = ""
    """Whose money; may be left out for e-CNY, and where the payment names its payer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cashier:
    """Where customers confirm payments."""

    payments: Payments
    habits: Callable[[], Habits]

    async def pay_in_time(self, payment: Payment) -> tuple[str, str | None]:
        """Wait `delay_seconds` at the sandbox's speed, then pay or fail to.

        Gives (trade_state, transaction_id), or raises `PaymentRefused`.
        """
        self._identify(payment)
        await asyncio.sleep(self.habits().seconds(payment.delay_seconds))
        row = self._identify(payment)
        if payment.outcome == "fail":
            self.payments.decline(row)
            return "NOTPAY", None
        late = payment.cleared_late
        paid = self.payments.pay(row, payment.wallet, payment.amount_fen, cleared_late=late)
        return "SUCCESS", paid

    def _identify(self, payment: Payment) -> sqlite3.Row:
        url = payment.confirm_url or payment.code_url
        if url is not None:
            row = self.payments.find_by_url(url)
        else:
            row = self.payments.find(payment.mchid or "", payment.out_trade_no or "")
        if row is None:
            raise PaymentRefused("unknown_order")
        return row
