"""Stripe's objects as documents of the store: kept, found, listed, expanded; no rules of money."""

import json
import sqlite3
import time

from sandbox.card.params import Listing
from sandbox.card.wire import missing, shown
from sandbox.store import Store
from sandbox.wire import Json

MAX_DUE = 500
_TABLES = (
    """CREATE TABLE IF NOT EXISTS card_objects (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        object TEXT NOT NULL,
        parent TEXT NOT NULL,
        number TEXT NOT NULL,
        created INTEGER NOT NULL,
        due_at REAL,
        body TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS card_objects_of ON card_objects (account, object, seq)",
    "CREATE INDEX IF NOT EXISTS card_objects_in ON card_objects (parent) WHERE parent <> ''",
    "CREATE INDEX IF NOT EXISTS card_objects_named ON card_objects (number) WHERE number <> ''",
    "CREATE INDEX IF NOT EXISTS card_objects_due ON card_objects (due_at) WHERE due_at IS NOT NULL",
)


class Objects:
    """Every object of every account; `parent` and `number` are what it is looked up by."""

    def __init__(self, store: Store) -> None:
        """Keep the objects in the store; its tables are made here."""
        self.store = store
        for statement in _TABLES:
            store.run(statement)

    def add(self, account: str, body: Json, *, parent: str = "", number: str = "") -> Json:
        """Keep a new object; its `created` is now."""
        body["created"] = int(time.time())
        self.store.insert(
            "card_objects",
            {
                "id": body["id"],
                "account": account,
                "object": body["object"],
                "parent": parent,
                "number": number,
                "created": body["created"],
                "body": json.dumps(body),
            },
        )
        return body

    def save(self, body: Json, *, parent: str | None = None) -> None:
        """Keep what has changed of an object."""
        self.store.run(
            "UPDATE card_objects SET body = :body, parent = coalesce(:parent, parent)"
            " WHERE id = :id",
            id=body["id"],
            body=json.dumps(body),
            parent=parent,
        )

    def schedule(self, body: Json, due_at: float | None) -> None:
        """Let the clockwork look at an object at a moment, or no more."""
        self.store.run(
            "UPDATE card_objects SET due_at = :due_at WHERE id = :id", id=body["id"], due_at=due_at
        )

    def due(self, now: float) -> list[tuple[str, Json]]:
        """Return (account, object) of what has come due, oldest first."""
        rows = self.store.all(
            "SELECT account, body FROM card_objects WHERE due_at <= :now ORDER BY due_at"
            " LIMIT :limit",
            now=now,
            limit=MAX_DUE,
        )
        return [(row["account"], _read(row)) for row in rows]

    def next_due(self) -> float | None:
        """Return when the clockwork is needed next."""
        row = self.store.one(
            "SELECT min(due_at) AS due_at FROM card_objects WHERE due_at IS NOT NULL"
        )
        return row["due_at"] if row else None

    def get(self, account: str, kind: str, key: str, param: str = "id") -> Json:
        """Return an object of the account; 404 resource_missing."""
        row = self.store.one(
            "SELECT body FROM card_objects"
            " WHERE id = :id AND account = :account AND object = :kind",
            id=key,
            account=account,
            kind=kind,
        )
        if row is None:
            raise missing(kind, key, param)
        return _read(row)

    def all(
        self, account: str, kind: str, *, parent: str | None = None, number: str | None = None
    ) -> list[Json]:
        """Return the chosen objects, newest first."""
        rows = self.store.all(
            "SELECT body FROM card_objects WHERE account = :account AND object = :kind"
            " AND (:parent IS NULL OR parent = :parent) AND (:number IS NULL OR number = :number)"
            " ORDER BY seq DESC",
            account=account,
            kind=kind,
            parent=parent,
            number=number,
        )
        return [_read(row) for row in rows]

    def page(
        self, account: str, kind: str, url: str, listing: Listing, *, parent: str | None = None
    ) -> Json:
        """Return a page of a list, newest first, after the object `starting_after`."""
        after = None
        if listing.starting_after is not None:
            self.get(account, kind, listing.starting_after, "starting_after")
            after = listing.starting_after
        rows = self.store.all(
            "SELECT body FROM card_objects WHERE account = :account AND object = :kind"
            " AND (:parent IS NULL OR parent = :parent)"
            " AND (:after IS NULL OR seq < (SELECT seq FROM card_objects WHERE id = :after))"
            " AND created >= :from AND created < :to ORDER BY seq DESC LIMIT :limit",
            account=account,
            kind=kind,
            parent=parent,
            after=after,
            limit=listing.limit + 1,
            **listing.created.bounds(),
        )
        data = [shown(_read(row)) for row in rows[: listing.limit]]
        return {
            "object": "list",
            "url": url,
            "has_more": len(rows) > listing.limit,
            "data": [self.expand(account, body, _inner(listing.expand)) for body in data],
        }

    def expand(self, account: str, body: Json, paths: list[str]) -> Json:
        """Put objects in the place of their ids, by dotted paths (`latest_charge`)."""
        expanded = dict(body)
        for path in paths:
            head, _, rest = path.partition(".")
            value = expanded.get(head)
            if isinstance(value, str):
                row = self.store.one(
                    "SELECT body FROM card_objects WHERE id = :id AND account = :account",
                    id=value,
                    account=account,
                )
                value = shown(_read(row)) if row else value
            if isinstance(value, dict):
                expanded[head] = self.expand(account, value, [rest] if rest else [])
        return expanded


def _inner(paths: list[str]) -> list[str]:
    return [path.removeprefix("data.") for path in paths]


def _read(row: sqlite3.Row) -> Json:
    body: Json = json.loads(row["body"])
    return body
