"""Callbacks to merchants: sealed, signed, sent and repeated on WeChat's retry table (§1.5)."""

import asyncio
import random
import sqlite3
import time
import uuid

from sandbox.faults import BLEMISHES, Blemish, Fault, Faults, FaultScript, Meeting
from sandbox.internet import PublicInternet
from sandbox.store import Store
from sandbox.wechat.keys import PlatformKeys
from sandbox.wechat.merchants import Merchants
from sandbox.wechat.protocol import CHANNEL, Json, china_time, dump, seal

MINUTE, HOUR = 60, 3600
RETRY_SECONDS = (
    *(15, 15, 30, 3 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE),
    *(60 * MINUTE, 3 * HOUR, 3 * HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR),
)
"""Waits between the deliveries: 15 retries in 24 h 4 min."""
ANSWER_SECONDS = 5.0
MAX_IN_FLIGHT = 64

_SUMMARY = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
    "COMPLAINT.CREATE": "产生新投诉",
    "COMPLAINT.STATE_CHANGE": "投诉单状态变化",
    "SECURITY_ECHO.SUCCESS": "回调自检",
}


class Notices:
    """The callbacks owed; a row stays due until it is answered, so a restart goes on with it."""

    def __init__(
        self,
        *,
        store: Store,
        keys: PlatformKeys,
        merchants: Merchants,
        faults: Faults,
        internet: PublicInternet,
    ) -> None:
        """Send what is owed through the internet; `wake` is set when there is more to do."""
        self._store = store
        self._keys = keys
        self._merchants = merchants
        self._faults = faults
        self._internet = internet
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self.wake = asyncio.Event()

    def add(
        self,
        *,
        mchid: str,
        out_trade_no: str,
        out_refund_no: str | None = None,
        notify_url: str,
        event_type: str,
        resource: Json,
    ) -> None:
        """Owe a callback from now on; call it in the transaction of what it tells."""
        now = time.time()
        self._store.insert(
            "notices",
            {
                "id": str(uuid.uuid4()),
                "mchid": mchid,
                "out_trade_no": out_trade_no,
                "out_refund_no": out_refund_no,
                "notify_url": notify_url,
                "event_type": event_type,
                "create_time": now,
                "resource": dump(resource).decode(),
                "due_at": now,
            },
        )
        self.wake.set()

    def send_due(self, now: float) -> float | None:
        """Start sending what is due; when the next one is, if there is one."""
        # At most MAX_IN_FLIGHT of these rows are on their way already, so none is overlooked.
        due = self._store.all(
            "SELECT id, due_at FROM notices WHERE due_at IS NOT NULL ORDER BY due_at LIMIT :limit",
            limit=MAX_IN_FLIGHT + 1,
        )
        for row in due:
            if row["id"] in self._in_flight:
                continue
            if row["due_at"] > now:
                return float(row["due_at"])
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return None
            task = asyncio.create_task(self._deliver(row["id"]))
            self._in_flight[row["id"]] = task
        return None

    async def stop(self) -> None:
        """Cancel what is on its way; it stays due."""
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def resend(
        self, *, mchid: str, number: str, is_refund: bool, count: int, concurrent: bool
    ) -> list[int | None] | None:
        """Send the latest callback of a number again; the answers, None if there is none."""
        column = "out_refund_no = :number" if is_refund else "event_type = 'TRANSACTION.SUCCESS'"
        row = self._store.one(
            f"SELECT * FROM notices WHERE mchid = :mchid AND {column}"  # noqa: S608
            " AND (out_refund_no IS NOT NULL OR out_trade_no = :number)"
            " ORDER BY create_time DESC LIMIT 1",
            mchid=mchid,
            number=number,
        )
        if row is None:
            return None
        if concurrent:
            return await asyncio.gather(*(self._post(row) for _ in range(count)))
        return [await self._post(row) for _ in range(count)]

    async def _deliver(self, notice_id: str) -> None:
        try:
            row = self._store.one("SELECT * FROM notices WHERE id = :id", id=notice_id)
            if row is None:
                raise LookupError("a notice vanished")
            fault = self._faults.draw(
                Meeting(
                    channel=CHANNEL,
                    operation="notify",
                    mchid=row["mchid"],
                    out_trade_no=row["out_trade_no"],
                    out_refund_no=row["out_refund_no"],
                )
            )
            if fault is not None and fault.fault is Fault.LOST:
                self._book(row, outcome="lost", attempts=row["attempts"], due_at=None)
                return
            answers = await self._attempt(row, fault)
            self._conclude(row, answers)
        finally:
            del self._in_flight[notice_id]
            self.wake.set()

    async def _attempt(self, row: sqlite3.Row, fault: FaultScript | None) -> list[int | None]:
        if fault is None:
            return [await self._post(row)]
        await asyncio.sleep(fault.delay_seconds)
        copies = fault.count if fault.fault is Fault.DUPLICATE else 1
        blemish = BLEMISHES.get(fault.fault)
        return await asyncio.gather(*(self._post(row, blemish) for _ in range(copies)))

    def _conclude(self, row: sqlite3.Row, answers: list[int | None]) -> None:
        attempts = row["attempts"] + 1
        if any(status in {200, 204} for status in answers):
            self._book(row, outcome="delivered", attempts=attempts, due_at=None)
        elif attempts > len(RETRY_SECONDS):
            self._book(row, outcome="given_up", attempts=attempts, due_at=None)
        else:
            wait = self._merchants.habits(row["mchid"]).seconds(RETRY_SECONDS[attempts - 1])
            self._book(row, outcome="pending", attempts=attempts, due_at=time.time() + wait)

    def _book(self, row: sqlite3.Row, *, outcome: str, attempts: int, due_at: float | None) -> None:
        self._store.run(
            "UPDATE notices SET outcome = :outcome, attempts = :attempts, due_at = :due_at"
            " WHERE id = :id",
            outcome=outcome,
            attempts=attempts,
            due_at=due_at,
            id=row["id"],
        )

    async def _post(self, row: sqlite3.Row, blemish: Blemish | None = None) -> int | None:
        merchant = self._merchants.keeper(row["mchid"])
        kind = row["event_type"].partition(".")[0].lower()
        sealed = seal(merchant.apiv3_key, row["resource"].encode(), kind)
        body = dump(
            {
                "id": row["id"],
                "create_time": china_time(row["create_time"]),
                "resource_type": "encrypt-resource",
                "event_type": row["event_type"],
                "summary": _SUMMARY[row["event_type"]],
                "resource": {"original_type": kind, **sealed},
            }
        )
        grey = self._merchants.habits().grey
        by_public_key = not merchant.certificates or random.random() < grey  # noqa: S311
        signer = self._keys.public_key if by_public_key else self._keys.certificate
        headers = {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "User-Agent": "Mozilla/4.0",
            **signer.headers(body, blemish),
        }
        return await self._internet.post(
            row["notify_url"], content=body, headers=headers, timeout_seconds=ANSWER_SECONDS
        )
