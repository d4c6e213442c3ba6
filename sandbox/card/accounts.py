"""Stripe accounts of merchants: their keys, their webhook endpoint, and the habits of everybody."""

import secrets
from dataclasses import dataclass
from typing import Literal

from sandbox.card.wire import make_id
from sandbox.habits import HabitBook, Habits
from sandbox.store import Store

RefundOutcome = Literal["succeeded", "failed", "pending"]
_TABLE = """CREATE TABLE IF NOT EXISTS card_accounts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    secret_key TEXT NOT NULL UNIQUE,
    publishable_key TEXT NOT NULL,
    webhook_secret TEXT NOT NULL,
    webhook_url TEXT
) STRICT"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeHabits(Habits):
    """How Stripe behaves."""

    refund_seconds: float = 5.0
    """How long a refund stays pending; 0 answers its end at once."""
    refund_outcome: RefundOutcome = "succeeded"
    dispute_seconds: float = 24 * 3600.0
    """How long after a payment the card `dispute_later` disputes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One merchant's account; keys look like Stripe's test keys."""

    id: str
    name: str
    secret_key: str
    publishable_key: str
    webhook_secret: str
    webhook_url: str | None


class Accounts:
    """The register of accounts."""

    def __init__(self, store: Store, initial_speed: float) -> None:
        """Serve accounts of the store; `initial_speed` holds until another is set."""
        self._store = store
        initial = StripeHabits(speed=initial_speed)
        self.habits = HabitBook(store=store, initial=initial, name="card_habits")
        store.run(_TABLE)

    def ensure(
        self, *, account: str | None = None, name: str = "", webhook_url: str | None = None
    ) -> Account:
        """Return the account, made first if there is none; a given webhook_url replaces its own."""
        key = account or make_id("acct", 16)
        self._store.run(
            "INSERT INTO card_accounts VALUES"
            " (:id, :name, :secret_key, :publishable_key, :webhook_secret, NULL)"
            " ON CONFLICT (id) DO NOTHING",
            id=key,
            name=name,
            secret_key=f"sk_test_{secrets.token_hex(24)}",
            publishable_key=f"pk_test_{secrets.token_hex(24)}",
            webhook_secret=f"whsec_{secrets.token_hex(16)}",
        )
        if webhook_url is not None:
            self._store.run(
                "UPDATE card_accounts SET webhook_url = :url WHERE id = :id",
                id=key,
                url=webhook_url,
            )
        return self.get(key)

    def get(self, key: str) -> Account:
        """Return an account that is known to exist; LookupError."""
        row = self._store.one("SELECT * FROM card_accounts WHERE id = :id", id=key)
        if row is None:
            raise LookupError("no such account")
        return Account(**dict(row))

    def by_secret(self, secret_key: str) -> Account | None:
        """Return whose secret key it is."""
        row = self._store.one("SELECT * FROM card_accounts WHERE secret_key = :key", key=secret_key)
        return Account(**dict(row)) if row else None
