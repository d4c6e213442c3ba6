"""Habits of a channel: how it behaves, for everybody and for one payee; settable, and kept."""

import json
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from sandbox.store import Store

RefundOutcome = Literal["SUCCESS", "ABNORMAL", "CLOSED", "PROCESSING"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a channel behaves; durations are divided by `speed`, signed times never."""

    speed: float

    def seconds(self, seconds: float) -> float:
        """Return a duration at this speed."""
        return seconds / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralHabits(Habits):
    """The sandbox's own: all of them are WeChat Pay's, the speed and refunds the bank's too."""

    refund_seconds: float = 5.0
    """How long a refund stays PROCESSING, before division by `speed`."""
    refund_outcome: RefundOutcome = "SUCCESS"
    grey: float = 0.0
    """Share of callbacks signed with the public key, 0 to 1; never overridden per merchant."""
    fee_per_10000: int = 60
    """费率: the channel's fee of each payment, in ten thousandths."""
    split_percent: int = 30
    """最大分账比例: how much of a payment may be shared out."""
    split_seconds: float = 2.0
    """How long a split or its return is PROCESSING, before division by `speed`."""
    has_balance: bool = True
    """False: what merchants have been paid is elsewhere, and refunds are NOT_ENOUGH."""
    bills_ready: bool = False
    """Whether every day's bill is there at once; else from 10:00 on the next day."""


H = TypeVar("H", bound=Habits)


@dataclass(frozen=True, slots=True, kw_only=True)
class HabitBook(Generic[H]):
    """Habits as they were changed; call it for those in force."""

    store: Store
    initial: H
    name: str
    """Of the row of `settings` with everybody's changes."""
    table: str = ""
    """Where payees' own changes lie; empty: nobody has any."""
    key: str = ""
    column: str = ""

    def __call__(self, payee: str | None = None) -> H:
        """Return the habits in force, for everybody or for one payee."""
        habits = replace(self.initial, **self._changed())
        return replace(habits, **self._overrides(payee)) if payee and self.table else habits

    def change(self, changes: dict[str, Any]) -> None:
        """Change the habits of everybody, by the names of the fields."""
        self.store.run(
            "INSERT INTO settings VALUES (:name, :value)"
            " ON CONFLICT (name) DO UPDATE SET value = :value",
            name=self.name,
            value=json.dumps(self._changed() | changes),
        )

    def override(self, payee: str, changes: dict[str, Any]) -> None:
        """Change one payee's overrides; None gives a habit back to everybody's."""
        merged = self._overrides(payee) | changes
        self.store.run(
            f"UPDATE {self.table} SET {self.column} = :value WHERE {self.key} = :payee",  # noqa: S608
            value=json.dumps({k: v for k, v in merged.items() if v is not None}),
            payee=payee,
        )

    def _changed(self) -> dict[str, Any]:
        row = self.store.one("SELECT value FROM settings WHERE name = :name", name=self.name)
        return dict(json.loads(row["value"])) if row else {}

    def _overrides(self, payee: str) -> dict[str, Any]:
        row = self.store.one(
            f"SELECT {self.column} AS value FROM {self.table} WHERE {self.key} = :payee",  # noqa: S608
            payee=payee,
        )
        return dict(json.loads(row["value"])) if row else {}
