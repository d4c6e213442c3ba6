"""Callbacks to merchants: signed forms, sent and repeated on Alipay's retry table (§2.4)."""

import asyncio
import json
import secrets
import sqlite3
import time
from urllib.parse import urlencode

from sandbox.alipay.merchants import Merchants
from sandbox.alipay.protocol import CHANNEL, china_date, china_time, sign, signed_text, yuan
from sandbox.faults import BLEMISHES, Fault, Faults, FaultScript, Meeting
from sandbox.internet import PublicInternet
from sandbox.store import Store

MINUTE, HOUR = 60, 3600
RETRY_SECONDS = (
    *(4 * MINUTE, 10 * MINUTE, 10 * MINUTE),
    *(1 * HOUR, 2 * HOUR, 6 * HOUR, 15 * HOUR),
)
"""Waits between the deliveries: 7 retries in 24 h 24 min."""
ANSWER_SECONDS = 5.0
MAX_IN_FLIGHT = 64
ACCEPTED = b"success"


class Notices:
    """The callbacks owed; a row stays due until it is answered, so a restart goes on with it."""

    def __init__(
        self, *, store: Store, merchants: Merchants, faults: Faults, internet: PublicInternet
    ) -> None:
        """Send what is owed through the internet; `wake` is set when there is more to do."""
        self._store = store
        self._merchants = merchants
        self._faults = faults
        self._internet = internet
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self.wake = asyncio.Event()

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
        self._store.insert(
            "alipay_notices",
            {
                "notify_id": notify_id,
                "seller_id": trade["seller_id"],
                "out_trade_no": trade["out_trade_no"],
                "out_request_no": out_biz_no,
                "notify_url": trade["notify_url"],
                "parameters": json.dumps(parameters),
                "created_at": now,
                "due_at": now,
            },
        )
        self.wake.set()

    def send_due(self, now: float) -> float | None:
        """Start sending what is due; when the next one is, if there is one."""
        # At most MAX_IN_FLIGHT of these rows are on their way already, so none is overlooked.
        due = self._store.all(
            "SELECT notify_id, due_at FROM alipay_notices WHERE due_at IS NOT NULL"
            " ORDER BY due_at LIMIT :limit",
            limit=MAX_IN_FLIGHT + 1,
        )
        for row in due:
            if row["notify_id"] in self._in_flight:
                continue
            if row["due_at"] > now:
                return float(row["due_at"])
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return None
            task = asyncio.create_task(self._deliver(row["notify_id"]))
            self._in_flight[row["notify_id"]] = task
        return None

    async def stop(self) -> None:
        """Cancel what is on its way; it stays due."""
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def resend(
        self,
        *,
        seller_id: str,
        out_trade_no: str,
        out_request_no: str | None,
        count: int,
        concurrent: bool,
    ) -> list[int | None] | None:
        """Send the latest callback of a number again; the answers, None if there is none."""
        row = self._store.one(
            "SELECT * FROM alipay_notices WHERE seller_id = :seller"
            " AND out_trade_no = :number AND out_request_no IS :refund"
            " ORDER BY created_at DESC LIMIT 1",
            seller=seller_id,
            number=out_trade_no,
            refund=out_request_no,
        )
        if row is None:
            return None
        if concurrent:
            answers = await asyncio.gather(*(self._post(row) for _ in range(count)))
        else:
            answers = [await self._post(row) for _ in range(count)]
        return [answer[0] if answer else None for answer in answers]

    async def _deliver(self, notify_id: str) -> None:
        try:
            row = self._store.one(
                "SELECT * FROM alipay_notices WHERE notify_id = :id", id=notify_id
            )
            if row is None:
                raise LookupError("a notice vanished")
            fault = self._faults.draw(
                Meeting(
                    channel=CHANNEL,
                    operation="notify",
                    mchid=row["seller_id"],
                    out_trade_no=row["out_trade_no"],
                    out_refund_no=row["out_request_no"],
                )
            )
            if fault is not None and fault.fault is Fault.LOST:
                self._book(row, outcome="lost", attempts=row["attempts"], due_at=None)
                return
            self._conclude(row, await self._attempt(row, fault))
        finally:
            del self._in_flight[notify_id]
            self.wake.set()

    async def _attempt(
        self, row: sqlite3.Row, fault: FaultScript | None
    ) -> list[tuple[int, bytes] | None]:
        if fault is None:
            return [await self._post(row)]
        await asyncio.sleep(fault.delay_seconds)
        copies = fault.count if fault.fault is Fault.DUPLICATE else 1
        is_spoiled = fault.fault in BLEMISHES
        posts = (self._post(row, is_spoiled=is_spoiled) for _ in range(copies))
        return await asyncio.gather(*posts)

    def _conclude(self, row: sqlite3.Row, answers: list[tuple[int, bytes] | None]) -> None:
        attempts = row["attempts"] + 1
        # Whatever the status: only the word itself ends the repetitions.
        if any(answer is not None and answer[1].strip() == ACCEPTED for answer in answers):
            self._book(row, outcome="delivered", attempts=attempts, due_at=None)
        elif attempts > len(RETRY_SECONDS):
            self._book(row, outcome="given_up", attempts=attempts, due_at=None)
        else:
            wait = self._merchants.habits(row["seller_id"]).seconds(RETRY_SECONDS[attempts - 1])
            self._book(row, outcome="pending", attempts=attempts, due_at=time.time() + wait)

    def _book(self, row: sqlite3.Row, *, outcome: str, attempts: int, due_at: float | None) -> None:
        self._store.run(
            "UPDATE alipay_notices SET outcome = :outcome, attempts = :attempts, due_at = :due_at"
            " WHERE notify_id = :id",
            outcome=outcome,
            attempts=attempts,
            due_at=due_at,
            id=row["notify_id"],
        )

    async def _post(
        self, row: sqlite3.Row, *, is_spoiled: bool = False
    ) -> tuple[int, bytes] | None:
        merchant = self._merchants.get(row["seller_id"])
        parameters = json.loads(row["parameters"]) | {"notify_time": china_time(time.time())}
        text = "other parameters" if is_spoiled else signed_text(parameters)
        parameters |= {"sign_type": "RSA2", "sign": sign(merchant.alipay_key, text)}
        return await self._internet.exchange(
            row["notify_url"],
            content=urlencode(parameters).encode(),
            headers={
                "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
                "User-Agent": "Mozilla/4.0",
            },
            timeout_seconds=ANSWER_SECONDS,
        )
