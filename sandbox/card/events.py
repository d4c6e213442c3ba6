"""Events and the webhooks that bring them: signed, sent, and repeated for three days."""

import asyncio
import json
import sqlite3
import time
from dataclasses import dataclass, field

from sandbox.card.accounts import Accounts
from sandbox.card.objects import Objects
from sandbox.card.wire import API_VERSION, CHANNEL, Json, dump, make_id, shown, signature
from sandbox.faults import BLEMISHES, Blemish, Fault, Faults, FaultScript, Meeting
from sandbox.internet import PublicInternet

MINUTE, HOUR = 60, 3600
RETRY_SECONDS = (5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, *(5 * (12 * HOUR,)))
"""Waits between the deliveries: Stripe promises exponential back-off for up to three days."""
ENABLED = frozenset(
    {
        "payment_intent.amount_capturable_updated",
        "payment_intent.succeeded",
        "payment_intent.canceled",
        "payment_intent.payment_failed",
        "charge.refunded",
        "refund.updated",
        "refund.failed",
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
    }
)
"""What the merchants' endpoints are subscribed to; the other events are only kept."""
ANSWER_SECONDS = 10.0
STALE_SECONDS = 600
MAX_IN_FLIGHT = 64
_TABLES = (
    """CREATE TABLE IF NOT EXISTS card_notices (
        event TEXT PRIMARY KEY,
        account TEXT NOT NULL,
        out_trade_no TEXT NOT NULL,
        out_refund_no TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at REAL,
        outcome TEXT NOT NULL DEFAULT 'pending'
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS card_notices_due ON card_notices (due_at) WHERE due_at IS NOT NULL",
)


@dataclass(kw_only=True)
class Events:
    """What happened, and what of it is still owed to merchants' webhook endpoints."""

    objects: Objects
    accounts: Accounts
    faults: Faults
    internet: PublicInternet
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    _in_flight: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the table of what is owed."""
        self._store = self.objects.store
        for statement in _TABLES:
            self._store.run(statement)

    def emit(
        self, account: str, kind: str, body: Json, number: str, refund_number: str | None = None
    ) -> None:
        """Record an event and owe its webhook; call it in the transaction of what it tells."""
        event = {
            "id": make_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "data": {"object": shown(body)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self.objects.add(account, event)
        if kind not in ENABLED or self.accounts.get(account).webhook_url is None:
            return
        self._store.insert(
            "card_notices",
            {
                "event": str(event["id"]),
                "account": account,
                "out_trade_no": number,
                "out_refund_no": refund_number,
                "due_at": time.time(),
            },
        )
        self.wake.set()

    def send_due(self, now: float) -> float | None:
        """Start sending what is due; when the next one is, if there is one."""
        # At most MAX_IN_FLIGHT of these rows are on their way already, so none is overlooked.
        for row in self._store.all(
            "SELECT event, due_at FROM card_notices WHERE due_at IS NOT NULL ORDER BY due_at"
            " LIMIT :limit",
            limit=MAX_IN_FLIGHT + 1,
        ):
            if row["event"] in self._in_flight:
                continue
            if row["due_at"] > now:
                return float(row["due_at"])
            if len(self._in_flight) >= MAX_IN_FLIGHT:
                return None
            task = asyncio.create_task(self._deliver(row["event"]))
            self._in_flight[row["event"]] = task
        return None

    async def stop(self) -> None:
        """Cancel what is on its way; it stays due."""
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)

    async def resend(
        self, *, account: str, number: str, is_refund: bool, count: int, concurrent: bool
    ) -> list[int | None] | None:
        """Send the latest event of a number again; the answers, None if there is none."""
        column = "out_refund_no" if is_refund else "out_trade_no"
        row = self._store.one(
            f"SELECT * FROM card_notices WHERE account = :account AND {column} = :number"  # noqa: S608
            " ORDER BY rowid DESC LIMIT 1",
            account=account,
            number=number,
        )
        if row is None:
            return None
        if concurrent:
            return await asyncio.gather(*(self._post(row) for _ in range(count)))
        return [await self._post(row) for _ in range(count)]

    async def _deliver(self, event: str) -> None:
        try:
            row = self._store.one("SELECT * FROM card_notices WHERE event = :event", event=event)
            if row is None:
                raise LookupError("a notice vanished")
            fault = self.faults.draw(
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
            del self._in_flight[event]
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
        if any(status is not None and 200 <= status < 300 for status in answers):
            self._book(row, outcome="delivered", attempts=attempts, due_at=None)
        elif attempts > len(RETRY_SECONDS):
            self._book(row, outcome="given_up", attempts=attempts, due_at=None)
        else:
            wait = self.accounts.habits().seconds(RETRY_SECONDS[attempts - 1])
            self._book(row, outcome="pending", attempts=attempts, due_at=time.time() + wait)

    def _book(self, row: sqlite3.Row, *, outcome: str, attempts: int, due_at: float | None) -> None:
        self._store.run(
            "UPDATE card_notices SET outcome = :outcome, attempts = :attempts, due_at = :due_at"
            " WHERE event = :event",
            outcome=outcome,
            attempts=attempts,
            due_at=due_at,
            event=row["event"],
        )

    async def _post(self, row: sqlite3.Row, blemish: Blemish | None = None) -> int | None:
        account = self.accounts.get(row["account"])
        found = self._store.one("SELECT body FROM card_objects WHERE id = :id", id=row["event"])
        if found is None or account.webhook_url is None:
            return None
        body = dump(json.loads(found["body"]))
        stale = blemish is Blemish.STALE_TIMESTAMP
        # Stripe names no keys: every other blemish is a signature by a secret nobody shares.
        secret = account.webhook_secret if blemish is None or stale else make_id("whsec", 32)
        signed_at = int(time.time()) - (STALE_SECONDS if stale else 0)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(secret, signed_at, body),
        }
        return await self.internet.post(
            account.webhook_url, content=body, headers=headers, timeout_seconds=ANSWER_SECONDS
        )
