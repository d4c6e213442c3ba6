"""The sandbox's own SQLite database: its schema and its transactions, no rules."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Value = str | int | float | None

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS merchants (
    mchid TEXT PRIMARY KEY,
    appid TEXT NOT NULL,
    name TEXT NOT NULL,
    serial_no TEXT NOT NULL,
    private_key_pem TEXT NOT NULL,
    apiv3_key TEXT NOT NULL,
    certificates INTEGER NOT NULL,
    settings TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE IF NOT EXISTS orders (
    mchid TEXT NOT NULL REFERENCES merchants,
    out_trade_no TEXT NOT NULL,
    appid TEXT NOT NULL,
    trade_type TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    attach TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    openid TEXT,
    time_expire REAL NOT NULL,
    prepay_code TEXT NOT NULL UNIQUE,
    prepay_until REAL NOT NULL,
    state TEXT NOT NULL,
    transaction_id TEXT UNIQUE,
    paid_fen INTEGER NOT NULL DEFAULT 0,
    charges INTEGER NOT NULL DEFAULT 0,
    success_time REAL,
    PRIMARY KEY (mchid, out_trade_no)
) STRICT;
CREATE TABLE IF NOT EXISTS refunds (
    mchid TEXT NOT NULL,
    out_refund_no TEXT NOT NULL,
    refund_id TEXT NOT NULL UNIQUE,
    out_trade_no TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    notify_url TEXT,
    status TEXT NOT NULL,
    create_time REAL NOT NULL,
    success_time REAL,
    due_at REAL,
    PRIMARY KEY (mchid, out_refund_no),
    FOREIGN KEY (mchid, out_trade_no) REFERENCES orders
) STRICT;
CREATE INDEX IF NOT EXISTS refunds_of_order ON refunds (mchid, out_trade_no);
CREATE INDEX IF NOT EXISTS refunds_due ON refunds (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS notices (
    id TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    out_refund_no TEXT,
    notify_url TEXT NOT NULL,
    event_type TEXT NOT NULL,
    create_time REAL NOT NULL,
    resource TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL,
    outcome TEXT NOT NULL DEFAULT 'pending'
) STRICT;
CREATE INDEX IF NOT EXISTS notices_of_order ON notices (mchid, out_trade_no);
CREATE INDEX IF NOT EXISTS notices_due ON notices (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    script TEXT NOT NULL,
    times_left INTEGER
) STRICT;
"""


class Store:
    """One connection, used by one event loop; a transaction never spans an `await`."""

    def __init__(self, path: Path) -> None:
        """Open or create the database. A killed process loses nothing it has answered."""
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_SCHEMA)

    def extend(self, schema: str, columns: Iterable[tuple[str, str, str]] = ()) -> None:
        """Make a part's own tables where they are missing, and (table, name, type) columns."""
        self._connection.executescript(schema)
        for table, name, kind in columns:
            known = {row["name"] for row in self.all(f"PRAGMA table_info({table})")}
            if name not in known:
                self._connection.execute(f"ALTER TABLE {table} ADD {name} {kind}")

    def close(self) -> None:
        """Close the file; the store is of no use afterwards."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside, or nothing of it when an exception leaves."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def run(self, sql: str, **values: Value) -> int:
        """Execute one statement; the number of rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def one(self, sql: str, **values: Value) -> sqlite3.Row | None:
        """Return the first row, if any."""
        row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, **values: Value) -> list[sqlite3.Row]:
        """Return all rows."""
        return self._connection.execute(sql, values).fetchall()

    def insert(self, table: str, row: Mapping[str, Value]) -> int:
        """Insert a row of a table named in this package's code; its rowid."""
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 (no input in it)
        return int(self._connection.execute(sql, dict(row)).lastrowid or 0)
