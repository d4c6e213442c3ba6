"""Events and the webhooks that bring them: signed, sent, and repeated for three days."""

import json
import sqlite3
import time

from sandbox.callbacks import HOUR, MINUTE, Callbacks, Request
from sandbox.card.accounts import Accounts
from sandbox.card.objects import Objects
from sandbox.card.wire import API_VERSION, CHANNEL, dump, make_id, shown, signature
from sandbox.faults import Blemish, Faults
from sandbox.internet import PublicInternet
from sandbox.wire import Json

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
STALE_SECONDS = 600
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


class Events(Callbacks):
    """What happened, and what of it is still owed to merchants' webhook endpoints."""

    channel = CHANNEL
    table = "card_notices"
    key = "event"
    payee = "account"
    of_payment = "TRUE"
    """What happens to a payment's refunds and disputes happens to it."""
    retry_seconds = (5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, *(5 * (12 * HOUR,)))
    """Stripe promises exponential back-off for up to three days."""
    answer_seconds = 10.0

    def __init__(
        self, *, objects: Objects, accounts: Accounts, faults: Faults, internet: PublicInternet
    ) -> None:
        """Keep events among the objects; the table of what is owed is made here."""
        store = objects.store
        super().__init__(store=store, habits=accounts.habits, faults=faults, internet=internet)
        self._objects = objects
        self._accounts = accounts
        for statement in _TABLES:
            store.run(statement)

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
        self._objects.add(account, event)
        if kind not in ENABLED or self._accounts.get(account).webhook_url is None:
            return
        self._owe(
            {
                "event": str(event["id"]),
                "account": account,
                "out_trade_no": number,
                "out_refund_no": refund_number,
            }
        )

    def _request(self, row: sqlite3.Row, blemish: Blemish | None) -> Request | None:
        account = self._accounts.get(row["account"])
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
        return Request(url=account.webhook_url, content=body, headers=headers)

    def _accepts(self, status: int, body: bytes) -> bool:  # noqa: ARG002 (nobody reads it)
        """Any 2xx ends the repetitions."""
        return 200 <= status < 300
