"""Where every order of some sites is, by the rows alone, looked up again and again."""

import asyncio
from collections import Counter
from collections.abc import Collection

from sqlalchemy import text

from services.db import Database
from tests.faults.stage import insist

LOOK_SECONDS = 0.5
ANSWER_SECONDS = 120.0
ENDS = frozenset({"completed", "cancelled"})

_ROWS = text("""
SELECT o.order_id, o.status, o.close_reason, o.payment, coalesce(t.state, '') AS task
FROM orders o LEFT JOIN delivery_tasks t USING (order_id) WHERE o.site_id = ANY(:sites)
""")


class Board:
    """The newest look."""

    def __init__(self, database: Database, sites: Collection[str]) -> None:
        self._database = database
        self._sites = list(sites)
        self.status: dict[str, str] = {}
        self.close_reason: dict[str, str] = {}
        self.payment: dict[str, str] = {}
        self.task: dict[str, str] = {}

    async def look(self) -> None:
        """Look now, as soon as the database answers."""

        async def ask() -> None:
            async with self._database.read() as reader:
                for row in await reader.all(_ROWS, {"sites": self._sites}):
                    self.status[row.order_id] = row.status
                    self.close_reason[row.order_id] = row.close_reason or ""
                    self.payment[row.order_id] = row.payment
                    self.task[row.order_id] = row.task

        await insist(ask, ANSWER_SECONDS)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def counts(self) -> Counter[str]:
        """How many orders there are in each status."""
        return Counter(self.status.values())

    def open(self) -> list[str]:
        """Orders that have not ended."""
        return [order_id for order_id, status in self.status.items() if status not in ENDS]

    async def until(self, order_id: str, statuses: Collection[str], seconds: float) -> str:
        """The order's status once it is one of these, or an end."""
        wanted = ENDS | set(statuses)
        try:
            async with asyncio.timeout(seconds):
                while (status := self.status.get(order_id, "")) not in wanted:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            seen = self.status.get(order_id), self.task.get(order_id), self.payment.get(order_id)
            raise AssertionError(f"{order_id} waits for {sorted(statuses)}: {seen}") from None
        return status
