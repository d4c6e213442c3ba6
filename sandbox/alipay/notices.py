"""Callbacks to merchants: signed forms, sent and repeated on Alipay's retry table (§2.4)."""

import json
import secrets
import sqlite3
import time
from urllib.parse import urlencode

from sandbox.alipay.merchants import Merchants
from sandbox.alipay.protocol import CHANNEL, china_date, china_time, signed_text, yuan
from sandbox.callbacks import HOUR, MINUTE, Callbacks, Request
from sandbox.faults import Blemish, Faults
from sandbox.internet import PublicInternet
from sandbox.keys import sign
from sandbox.store import Store

ACCEPTED = b"success"


class Notices(Callbacks):
    """Alipay's callbacks."""

    channel = CHANNEL
    table = "alipay_notices"
    key = "notify_id"
    payee = "seller_id"
    refund = "out_request_no"
    of_payment = "out_request_no IS NULL"
    retry_seconds = (
        *(4 * MINUTE, 10 * MINUTE, 10 * MINUTE),
        *(1 * HOUR, 2 * HOUR, 6 * HOUR, 15 * HOUR),
    )
    """7 retries in 24 h 24 min."""

    def __init__(
        self, *, store: Store, merchants: Merchants, faults: Faults, internet: PublicInternet
    ) -> None:
        """Sign with the key that each merchant knows Alipay by."""
        super().__init__(store=store, habits=merchants.habits, faults=faults, internet=internet)
        self._merchants = merchants

    def add(self, trade: sqlite3.Row, *, out_biz_no: str | None = None, **times: str) -> None:
        """Owe a callback about a trade as it is now; call it in the transaction of the change.

        `times` are its `gmt_…`, and `refund_fee` where it is about a refund.
        """
        if not trade["notify_url"]:
            return
        now = time.time()
        notify_id = china_date(now).replace("-", "") + "00222" + secrets.token_hex(10)
        merchant = self._merchants.get(trade["seller_id"])
        paid = yuan(trade["paid_fen"] or trade["amount_fen"])
        parameters = {
            "notify_type": "trade_status_sync",
            "notify_id": notify_id,
            "app_id": merchant.app_id,
            "auth_app_id": merchant.app_id,
            "charset": "utf-8",
            "version": "1.0",
            "trade_no": trade["trade_no"],
            "out_trade_no": trade["out_trade_no"],
            "seller_id": trade["seller_id"],
            "trade_status": trade["state"],
            "subject": trade["subject"],
            "total_amount": paid,
            "gmt_create": china_time(trade["created_at"]),
            **times,
        }
        if trade["paid_at"] is not None:
            parameters |= {
                "gmt_payment": china_time(trade["paid_at"]),
                "buyer_id": trade["buyer_id"],
                "buyer_logon_id": "159****0000",
                "receipt_amount": paid,
                "buyer_pay_amount": paid,
                "invoice_amount": paid,
                "point_amount": "0.00",
                "fund_bill_list": json.dumps([{"amount": paid, "fundChannel": "ALIPAYACCOUNT"}]),
            }
        if out_biz_no is not None:
            parameters["out_biz_no"] = out_biz_no
        self._owe(
            {
                "notify_id": notify_id,
                "seller_id": trade["seller_id"],
                "out_trade_no": trade["out_trade_no"],
                "out_request_no": out_biz_no,
                "notify_url": trade["notify_url"],
                "parameters": json.dumps(parameters),
                "created_at": now,
            }
        )

    def _request(self, row: sqlite3.Row, blemish: Blemish | None) -> Request:
        merchant = self._merchants.get(row["seller_id"])
        parameters = json.loads(row["parameters"]) | {"notify_time": china_time(time.time())}
        text = b"other parameters" if blemish else signed_text(parameters)
        parameters |= {"sign_type": "RSA2", "sign": sign(merchant.alipay_key, text)}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "User-Agent": "Mozilla/4.0",
        }
        content = urlencode(parameters).encode()
        return Request(url=row["notify_url"], content=content, headers=headers)

    def _accepts(self, status: int, body: bytes) -> bool:  # noqa: ARG002 (whatever it is)
        """Only the word itself ends the repetitions."""
        return body.strip() == ACCEPTED
