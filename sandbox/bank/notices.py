"""Callbacks of the bank to its clients: signed, sent and repeated on a table."""

import sqlite3
import time
from collections.abc import Callable

from sandbox.bank.protocol import CHANNEL, NOTICE_COVERS, BankKey, token
from sandbox.callbacks import HOUR, MINUTE, Callbacks, Request
from sandbox.faults import Blemish, Faults
from sandbox.habits import Habits
from sandbox.internet import PublicInternet
from sandbox.store import Store
from sandbox.wire import Json, china_time, dump


class Notices(Callbacks):
    """The bank's callbacks."""

    channel = CHANNEL
    table = "bank_notices"
    payee = "account"
    of_payment = "out_refund_no IS NULL"
    retry_seconds = (
        *(15, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE),
        *(HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR),
    )
    """11 retries in a day."""

    def __init__(
        self,
        *,
        store: Store,
        key: BankKey,
        habits: Callable[[str], Habits],
        faults: Faults,
        internet: PublicInternet,
    ) -> None:
        """Sign with the bank's key."""
        super().__init__(store=store, habits=habits, faults=faults, internet=internet)
        self._key = key

    def add(self, *, row: sqlite3.Row, event: str, data: Json) -> None:
        """Owe a callback about a payment's or refund's row; in the transaction of what it tells."""
        now = time.time()
        notice_id = token("evt-")
        body = {
            "id": notice_id,
            "type": event,
            "account": row["account"],
            "created_at": china_time(now),
            "data": data,
        }
        self._owe(
            {
                "id": notice_id,
                "account": row["account"],
                "out_trade_no": row["out_trade_no"],
                "out_refund_no": data.get("out_refund_no"),
                "notify_url": row["notify_url"],
                "body": dump(body).decode(),
                "create_time": now,
            }
        )

    def _request(self, row: sqlite3.Row, blemish: Blemish | None) -> Request:
        body = row["body"].encode()
        signed = self._key.headers(NOTICE_COVERS, {"x-request-id": row["id"]}, body, blemish)
        headers = {"Content-Type": "application/json", **signed}
        return Request(url=row["notify_url"], content=body, headers=headers)
