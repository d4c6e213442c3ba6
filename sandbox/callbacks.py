"""Callbacks that a channel owes to merchants: sent, repeated and given up; wire forms are not."""

import asyncio
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

from sandbox.faults import BLEMISHES, Blemish, Fault, Faults, FaultScript, Meeting
from sandbox.habits import Habits
from sandbox.internet import PublicInternet
from sandbox.store import Store

MINUTE, HOUR = 60, 3600
MAX_IN_FLIGHT = 64
MAX_SLEEP_SECONDS = 30.0

Answer = tuple[int, bytes] | None
"""Status and body; None when nothing was answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A callback as it goes over the wire."""

    url: str
    content: bytes
    headers: Mapping[str, str]


class Callbacks(ABC):
    """The callbacks owed; a row stays due until it is answered, so a restart goes on with it."""

    channel: ClassVar[str]
    table: ClassVar[str]
    """It has `attempts`, `due_at`, `outcome`, `out_trade_no` and the three columns named next."""
    key: ClassVar[str] = "id"
    payee: ClassVar[str]
    refund: ClassVar[str] = "out_refund_no"
    of_payment: ClassVar[str]
    """The SQL condition of callbacks that are about a payment itself."""
    retry_seconds: ClassVar[tuple[int, ...]]
    """Waits between the deliveries, before division by `speed`."""
    answer_seconds: ClassVar[float] = 5.0

    def __init__(
        self,
        *,
        store: Store,
        habits: Callable[[str], Habits],
        faults: Faults,
        internet: PublicInternet,
    ) -> None:
        """Send what is owed through the internet; `wake` is set when there is more to do."""
        self._store = store
        self._habits = habits
        self._faults = faults
        self._internet = internet
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self.wake = asyncio.Event()

    @abstractmethod
    def _request(self, row: sqlite3.Row, blemish: Blemish | None) -> Request | None:
        """Make and sign a callback; None when nobody is there to get it."""

    def _accepts(self, status: int, body: bytes) -> bool:  # noqa: ARG002 (Alipay reads it)
        """Tell whether an answer ends the repetitions."""
        return status in {200, 204}

    async def run(self, *clocks: Callable[[float], float | None]) -> None:
        """Send callbacks, and do what else comes due, until cancelled.

        A clock does what is due at a moment and tells when it is needed next.
        """
        try:
            while True:
                self.wake.clear()
                now = time.time()
                moments = [clock(now) for clock in (*clocks, self._send_due)]
                ahead = [moment - time.time() for moment in moments if moment is not None]
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, min([*ahead, MAX_SLEEP_SECONDS]))):
                        await self.wake.wait()
        finally:
            # What is on its way stays due.
            for task in self._in_flight.values():
                task.cancel()
            await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    def latest(
        self, payee: str, *, out_trade_no: str | None, out_refund_no: str | None
    ) -> sqlite3.Row | None:
        """Return the latest callback of a refund, or else of a payment."""
        about = self.of_payment if out_refund_no is None else f"{self.refund} = :refund"
        return self._store.one(
            f"SELECT * FROM {self.table} WHERE {self.payee} = :payee AND {about}"  # noqa: S608
            " AND (:number IS NULL OR out_trade_no = :number) ORDER BY rowid DESC LIMIT 1",
            payee=payee,
            number=out_trade_no,
            refund=out_refund_no,
        )

    async def resend(self, row: sqlite3.Row, *, count: int, concurrent: bool) -> list[int | None]:
        """Send a callback again, whatever became of it; the statuses answered."""
        if concurrent:
            answers = await asyncio.gather(*(self._post(row) for _ in range(count)))
        else:
            answers = [await self._post(row) for _ in range(count)]
        return [answer[0] if answer else None for answer in answers]

    def _owe(self, row: Mapping[str, str | float | None]) -> None:
        """Owe a callback from now on; call it in the transaction of what it tells."""
        self._store.insert(self.table, {**row, "due_at": time.time()})
        self.wake.set()

    def _send_due(self, now: float) -> float | None:
        # At most MAX_IN_FLIGHT of these rows are on their way already, so none is overlooked.
        due = self._store.all(
            f"SELECT {self.key} AS key, due_at FROM {self.table}"  # noqa: S608
            " WHERE due_at IS NOT NULL ORDER BY due_at LIMIT :limit",
            limit=MAX_IN_FLIGHT + 1,
        )
        for row in due:
            if row["key"] in self._in_flight:
                continue
            if row["due_at"] > now:
                return float(row["due_at"])
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return None
            self._in_flight[row["key"]] = asyncio.create_task(self._deliver(row["key"]))
        return None

    async def _deliver(self, key: str) -> None:
        try:
            row = self._store.one(
                f"SELECT * FROM {self.table} WHERE {self.key} = :key",  # noqa: S608
                key=key,
            )
            if row is None:
                raise LookupError("a callback vanished")
            fault = self._faults.draw(
                Meeting(
                    channel=self.channel,
                    operation="notify",
                    mchid=row[self.payee],
                    out_trade_no=row["out_trade_no"],
                    out_refund_no=row[self.refund],
                )
            )
            if fault is not None and fault.fault is Fault.LOST:
                self._book(row, "lost", attempts=row["attempts"])
            else:
                self._conclude(row, await self._attempt(row, fault))
        finally:
            del self._in_flight[key]
            self.wake.set()

    async def _attempt(self, row: sqlite3.Row, fault: FaultScript | None) -> list[Answer]:
        if fault is None:
            return [await self._post(row)]
        await asyncio.sleep(fault.delay_seconds)
        copies = fault.count if fault.fault is Fault.DUPLICATE else 1
        blemish = BLEMISHES.get(fault.fault)
        return await asyncio.gather(*(self._post(row, blemish) for _ in range(copies)))

    async def _post(self, row: sqlite3.Row, blemish: Blemish | None = None) -> Answer:
        request = self._request(row, blemish)
        if request is None:
            return None
        return await self._internet.post(
            request.url,
            content=request.content,
            headers=request.headers,
            timeout_seconds=self.answer_seconds,
        )

    def _conclude(self, row: sqlite3.Row, answers: list[Answer]) -> None:
        attempts = row["attempts"] + 1
        if any(answer is not None and self._accepts(*answer) for answer in answers):
            self._book(row, "delivered", attempts=attempts)
        elif attempts > len(self.retry_seconds):
            self._book(row, "given_up", attempts=attempts)
        else:
            habits = self._habits(row[self.payee])
            wait = habits.seconds(self.retry_seconds[attempts - 1])
            self._book(row, "pending", attempts=attempts, due_at=time.time() + wait)

    def _book(
        self, row: sqlite3.Row, outcome: str, *, attempts: int, due_at: float | None = None
    ) -> None:
        self._store.run(
            f"UPDATE {self.table} SET outcome = :outcome, attempts = :attempts,"  # noqa: S608
            f" due_at = :due_at WHERE {self.key} = :key",
            outcome=outcome,
            attempts=attempts,
            due_at=due_at,
            key=row[self.key],
        )
