"""Callbacks of the bank to its clients: signed, sent and repeated on a table."""

import asyncio
import sqlite3
import time
from collections.abc import Callable

from sandbox.bank.protocol import CHANNEL, NOTICE_COVERS, BankKey, token
from sandbox.faults import BLEMISHES, Blemish, Fault, Faults, FaultScript, Meeting
from sandbox.internet import PublicInternet
from sandbox.store import Store
from sandbox.wechat.merchants import Habits
from sandbox.wechat.protocol import Json, china_time, dump

MINUTE, HOUR = 60, 3600
RETRY_SECONDS = (
    *(15, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 8 * HOUR),
)
"""Waits between the deliveries: 11 retries in a day."""
ANSWER_SECONDS = 5.0
MAX_IN_FLIGHT = 64


class Notices:
    """The callbacks owed; a row stays due until it is answered, so a restart goes on with it."""

    def __init__(
        self,
        *,
        store: Store,
        key: BankKey,
        habits: Callable[[], Habits],
        faults: Faults,
        internet: PublicInternet,
    ) -> None:
        """Send what is owed through the internet; `wake` is set when there is more to do."""
        self._store = store
        self._key = key
        self._habits = habits
        self._faults = faults
        self._internet = internet
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self.wake = asyncio.Event()

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
        self._store.insert(
            "bank_notices",
            {
                "id": notice_id,
                "account": row["account"],
                "out_trade_no": row["out_trade_no"],
                "out_refund_no": data.get("out_refund_no"),
                "notify_url": row["notify_url"],
                "body": dump(body).decode(),
                "create_time": now,
                "due_at": now,
            },
        )
        self.wake.set()

    def send_due(self, now: float) -> float | None:
        """Start sending what is due; when the next one is, if there is one."""
        # At most MAX_IN_FLIGHT of these rows are on their way already, so none is overlooked.
        due = self._store.all(
            "SELECT id, due_at FROM bank_notices WHERE due_at IS NOT NULL"
            " ORDER BY due_at LIMIT :limit",
            limit=MAX_IN_FLIGHT + 1,
        )
        for row in due:
            if row["id"] in self._in_flight:
                continue
            if row["due_at"] > now:
                return float(row["due_at"])
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return None
            self._in_flight[row["id"]] = asyncio.create_task(self._deliver(row["id"]))
        return None

    async def stop(self) -> None:
        """Cancel what is on its way; it stays due."""
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def resend(
        self, *, account: str, number: str, is_refund: bool, count: int, concurrent: bool
    ) -> list[int | None] | None:
        """Send the latest callback of a number again; the answers, None if there is none."""
        column = "out_refund_no = :number" if is_refund else "out_refund_no IS NULL"
        row = self._store.one(
            f"SELECT * FROM bank_notices WHERE account = :account AND {column}"  # noqa: S608
            " AND (out_refund_no IS NOT NULL OR out_trade_no = :number)"
            " ORDER BY create_time DESC LIMIT 1",
            account=account,
            number=number,
        )
        if row is None:
            return None
        if concurrent:
            return await asyncio.gather(*(self._post(row) for _ in range(count)))
        return [await self._post(row) for _ in range(count)]

    async def _deliver(self, notice_id: str) -> None:
        try:
            row = self._store.one("SELECT * FROM bank_notices WHERE id = :id", id=notice_id)
            if row is None:
                raise LookupError("a notice vanished")
            fault = self._faults.draw(
                Meeting(
                    channel=CHANNEL,
                    operation="notify",
                    mchid=row["account"],
                    out_trade_no=row["out_trade_no"],
                    out_refund_no=row["out_refund_no"],
                )
            )
            if fault is not None and fault.fault is Fault.LOST:
                self._book(row, outcome="lost", attempts=row["attempts"], due_at=None)
                return
            self._conclude(row, await self._attempt(row, fault))
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
            wait = self._habits().seconds(RETRY_SECONDS[attempts - 1])
            self._book(row, outcome="pending", attempts=attempts, due_at=time.time() + wait)

    def _book(self, row: sqlite3.Row, *, outcome: str, attempts: int, due_at: float | None) -> None:
        self._store.run(
            "UPDATE bank_notices SET outcome = :outcome, attempts = :attempts, due_at = :due_at"
            " WHERE id = :id",
            outcome=outcome,
            attempts=attempts,
            due_at=due_at,
            id=row["id"],
        )

    async def _post(self, row: sqlite3.Row, blemish: Blemish | None = None) -> int | None:
        body = row["body"].encode()
        signed = self._key.headers(NOTICE_COVERS, {"x-request-id": row["id"]}, body, blemish)
        return await self._internet.post(
            row["notify_url"],
            content=body,
            headers={"Content-Type": "application/json", **signed},
            timeout_seconds=ANSWER_SECONDS,
        )
