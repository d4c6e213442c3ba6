"""Customers at WeChat's cashier: they pay with what the app was given, or fail to."""

import asyncio
import sqlite3
import time
from dataclasses import dataclass

from sandbox.keys import is_signed
from sandbox.routes import Attempt, Body
from sandbox.wechat.combined import Combined
from sandbox.wechat.merchants import Merchants
from sandbox.wechat.orders import Orders, PaymentRefused
from sandbox.wechat.protocol import signed_lines


class PayParameters(Body):
    """What a mini-program hands to `wx.requestPayment`, with the appId it runs under (§1.10)."""

    appId: str  # noqa: N815 (WeChat's name, as the next ones)
    timeStamp: str  # noqa: N815
    nonceStr: str  # noqa: N815
    package: str
    signType: str  # noqa: N815
    paySign: str  # noqa: N815


class Payment(Attempt):
    """One try to pay, by the first given of `parameters`, a URL, the merchant's number."""

    parameters: PayParameters | None = None
    code_url: str | None = None
    h5_url: str | None = None
    mchid: str | None = None
    out_trade_no: str | None = None
    openid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cashier:
    """WeChat's cashier: checks what it is shown before it takes money."""

    orders: Orders
    combined: Combined
    merchants: Merchants

    async def pay_in_time(self, payment: Payment) -> tuple[str, str | None]:
        """Wait `delay_seconds` at the merchant's speed, then `pay`."""
        habits = self.merchants.habits(self._identify(payment)["mchid"])
        await asyncio.sleep(habits.seconds(payment.delay_seconds))
        return self.pay(payment)

    def pay(self, payment: Payment) -> tuple[str, str | None]:
        """Pay now, or fail to; (trade_state, transaction_id), or `PaymentRefused`."""
        row = self._identify(payment)
        if _is_combined(row):
            return self._pay_combined(row, payment)
        if payment.outcome == "fail":
            self.orders.require_payable(row, payment.openid, time.time())
            return row["state"], None
        return "SUCCESS", self.orders.pay(
            row, payment.openid, payment.amount_fen, cleared_late=payment.cleared_late
        )

    def _pay_combined(self, row: sqlite3.Row, payment: Payment) -> tuple[str, str | None]:
        if payment.outcome == "fail":
            self.combined.require_payable(row, payment.openid)
            return "NOTPAY", None
        return "SUCCESS", self.combined.pay(row, payment.openid)

    def _identify(self, payment: Payment) -> sqlite3.Row:
        if payment.parameters is not None:
            return self._by_parameters(payment.parameters)
        if payment.code_url is not None:
            row = self._by_prepay(payment.code_url)
        elif payment.h5_url is not None:
            # The page may add where the customer goes afterwards, and nothing else.
            row = self._by_prepay(payment.h5_url.partition("&redirect_url=")[0])
        else:
            mchid, number = payment.mchid or "", payment.out_trade_no or ""
            row = self.orders.find(mchid, number) or self.combined.find(mchid, number)
        if row is None:
            raise PaymentRefused("unknown_order")
        return row

    def _by_prepay(self, code: str) -> sqlite3.Row | None:
        return self.orders.find_by_prepay(code) or self.combined.find_by_prepay(code)

    def _by_parameters(self, shown: PayParameters) -> sqlite3.Row:
        row = self._by_prepay(shown.package.removeprefix("prepay_id="))
        if row is None or not shown.package.startswith("prepay_id="):
            raise PaymentRefused("unknown_order")
        message = signed_lines(shown.appId, shown.timeStamp, shown.nonceStr, shown.package)
        key = self.merchants.keeper(row["mchid"]).public_key
        rightly = shown.signType == "RSA" and is_signed(key, message, shown.paySign)
        if not rightly or shown.appId != _payers_appid(row):
            state = None if _is_combined(row) else self.orders.trade_state(row)
            raise PaymentRefused("bad_pay_sign", state)
        return row


def _is_combined(row: sqlite3.Row) -> bool:
    return "charges" not in row.keys()  # noqa: SIM118 (a Row iterates over its values)


def _payers_appid(row: sqlite3.Row) -> str:
    """The application under which the order names its payer."""
    of_sub_merchant = not _is_combined(row) and row["payer_field"] == "sub_openid"
    return str(row["sub_appid"] if of_sub_merchant else row["appid"])
