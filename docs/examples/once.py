"""What both example consumers share: each event handled once, in a SQLite file, come what may.

An event's effect and the `seq` it had are committed together; only then is the stream told. So a
consumer that is killed anywhere sees events again, and knows them.
"""

import json
import sqlite3
from pathlib import Path
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS heads (order_id TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS handled (order_id TEXT, seq INTEGER, type TEXT, at TEXT);
"""
SCHEMA, VERSION = "paotui.order-event", 2


class EventsLost(Exception):
    """Events are missing before this one: the stream no longer had them.

    `GET /v1/orders/{id}/events?since=` still has every one of them. An order that was never seen
    may begin anywhere: the consumer came later.
    """


class Once:
    """The consumer's own store."""

    def __init__(self, path: Path) -> None:
        """`path`: the SQLite file, made where there is none."""
        self._store = sqlite3.connect(path)
        self._store.executescript(TABLES)

    def handle(self, text: bytes) -> bool:
        """Handle one envelope; False: it was a repeat. Raises EventsLost at a gap."""
        event = json.loads(text)
        if event["schema"] != SCHEMA or event["v"] > VERSION:
            raise ValueError(f"this consumer knows {SCHEMA} up to v{VERSION}")
        with self._store as store:
            row = store.execute("SELECT seq FROM heads WHERE order_id = ?", [event["order_id"]])
            head = (row.fetchone() or [0])[0]
            if event["seq"] <= head:
                return False
            if head and event["seq"] > head + 1:
                raise EventsLost(event["order_id"], head, event["seq"])
            store.execute(
                "INSERT INTO heads VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq",
                [event["order_id"], event["seq"]],
            )
            self._effect(store, event)
        return True

    @staticmethod
    def _effect(store: sqlite3.Connection, event: dict[str, Any]) -> None:
        """Yours goes here, in the same transaction."""
        known = [event[name] for name in ("order_id", "seq", "type", "at")]
        store.execute("INSERT INTO handled VALUES (?, ?, ?, ?)", known)
