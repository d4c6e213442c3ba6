"""The ledger's rows: posting, balances and their invariants; what to book is `domain.ledger`'s."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import orjson
import psycopg
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.exc import DBAPIError

from domain.ledger import Journal, JournalKeyReused
from services.db import Reader, Writer, metadata

KEY_REUSED = "ZL001"
"""SQLSTATE by which `ledger_post` says that a key came with another body."""
VIOLATIONS_MAX = 20
"""Broken rows named per invariant."""

accounts = Table(
    "ledger_accounts",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("normal_side", Text, nullable=False),
    Column("keeping", Text, nullable=False),
    Column("may_go_negative", Boolean, nullable=False),
    Column("balance_fen", BigInteger),
    CheckConstraint("normal_side IN ('D', 'C')", name="normal_side"),
    CheckConstraint("keeping IN ('locked', 'derived')", name="keeping"),
    CheckConstraint("(keeping = 'locked') = (balance_fen IS NOT NULL)", name="balance_if_locked"),
    CheckConstraint("may_go_negative OR balance_fen IS NULL OR balance_fen >= 0", name="overdraft"),
)

journals = Table(
    "ledger_journals",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("body_hash", LargeBinary, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("event", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("site_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("posted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("outcome IN ('applied', 'declined')", name="outcome"),
    CheckConstraint("(outcome = 'declined') = (reason IS NOT NULL)", name="reason_if_declined"),
    Index(None, "site_id", "order_id"),
)

entries = Table(
    "ledger_entries",
    metadata,
    Column("journal_id", ForeignKey(journals.c.id), primary_key=True),
    Column("line", SmallInteger, primary_key=True),
    Column("site_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("amount_fen", BigInteger, nullable=False),
    # Its journal's.
    Column("posted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    ForeignKeyConstraint(
        ["site_id", "account", "currency"],
        ["ledger_accounts.site_id", "ledger_accounts.code", "ledger_accounts.currency"],
    ),
    CheckConstraint("side IN ('D', 'C')", name="side"),
    CheckConstraint("amount_fen > 0", name="amount"),
    Index(None, "site_id", "account", "currency", "posted_at"),
)

POST = text(
    "SELECT journal_id, status, reason FROM ledger_post(:key, :site_id, :order_id, :event,"
    " :currency, CAST(:accounts AS jsonb), CAST(:entries AS jsonb))"
)

TRIAL_BALANCE = text("""
    SELECT currency, sum(CASE side WHEN 'D' THEN amount_fen ELSE -amount_fen END)::bigint AS fen
      FROM ledger_entries
     WHERE CAST(:site_id AS text) IS NULL OR site_id = :site_id
     GROUP BY currency ORDER BY currency
""")

BALANCES = text("""
    SELECT a.site_id, a.code, a.currency, coalesce(a.balance_fen, (
               SELECT sum(CASE e.side WHEN a.normal_side THEN e.amount_fen ELSE -e.amount_fen END)
                 FROM ledger_entries e
                WHERE (e.site_id, e.account, e.currency) = (a.site_id, a.code, a.currency)
           ), 0)::bigint AS balance_fen
      FROM ledger_accounts a
     WHERE CAST(:site_id AS text) IS NULL OR a.site_id = :site_id
     ORDER BY a.site_id, a.code, a.currency
""")

INVARIANTS = {
    "an applied journal has balanced legs, a declined one has none": """
        SELECT j.key FROM ledger_journals j LEFT JOIN ledger_entries e ON e.journal_id = j.id
         GROUP BY j.id
        HAVING CASE j.outcome
               WHEN 'declined' THEN count(e.side) > 0
               ELSE count(*) FILTER (WHERE e.side = 'D') = 0
                 OR count(*) FILTER (WHERE e.side = 'C') = 0
                 OR sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END) <> 0
                 OR NOT bool_and((e.site_id, e.currency, e.posted_at)
                      = (j.site_id, j.currency, j.posted_at)) END
    """,
    "debits equal credits in every site": """
        SELECT site_id || ' ' || currency FROM ledger_entries GROUP BY site_id, currency
        HAVING sum(CASE side WHEN 'D' THEN amount_fen ELSE -amount_fen END) <> 0
    """,
    "a running balance is the sum of its entries": """
        SELECT a.site_id || ' ' || a.code FROM ledger_accounts a
          LEFT JOIN ledger_entries e
            ON (e.site_id, e.account, e.currency) = (a.site_id, a.code, a.currency)
         WHERE a.keeping = 'locked'
         GROUP BY a.site_id, a.code, a.currency
        HAVING a.balance_fen <> coalesce(
            sum(CASE e.side WHEN a.normal_side THEN e.amount_fen ELSE -e.amount_fen END), 0)
    """,
    "an order never takes more than it put in": """
        SELECT j.order_id || ' ' || a.code FROM ledger_accounts a
          JOIN ledger_entries e
            ON (e.site_id, e.account, e.currency) = (a.site_id, a.code, a.currency)
          JOIN ledger_journals j ON j.id = e.journal_id
         WHERE a.keeping = 'derived' AND NOT a.may_go_negative
         GROUP BY j.site_id, j.order_id, a.code, a.currency
        HAVING sum(CASE e.side WHEN a.normal_side THEN e.amount_fen ELSE -e.amount_fen END) < 0
    """,
}
"""Each sentence with a query for what breaks it: held, suspense and in-flight money per order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of a journal; `already` and a repeated `declined` changed nothing."""

    journal_id: int
    status: Literal["applied", "declined", "already"]
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """An account's balance on its normal side."""

    site_id: str
    code: str
    currency: str
    balance_fen: int


async def post(writer: Writer, journal: Journal) -> Posted:
    """Book a journal once; a declined key stays declined (`reason` says why: `overdraft`).

    Raises JournalKeyReused, which spoils the transaction, when the key is known with another body.
    """
    try:
        row = await writer.first(POST, _parameters(journal))
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error) and error.orig.sqlstate == KEY_REUSED:
            raise JournalKeyReused(key=journal.key) from error
        raise
    if row is None:
        raise RuntimeError("ledger_post always answers")
    return Posted(journal_id=row.journal_id, status=row.status, reason=row.reason)


async def trial_balance(reader: Reader, site_id: str | None = None) -> dict[str, int]:
    """Debits minus credits per currency, fen: zero everywhere, or the books are wrong."""
    rows = await reader.all(TRIAL_BALANCE, {"site_id": site_id})
    return {row.currency: row.fen for row in rows}


async def balances(reader: Reader, site_id: str | None = None) -> Sequence[Balance]:
    """Every account, of one site or of all, by code."""
    rows = await reader.all(BALANCES, {"site_id": site_id})
    return [Balance(**row._mapping) for row in rows]  # noqa: SLF001


async def check(reader: Reader) -> list[str]:
    """Broken invariants, one line each, at most VIOLATIONS_MAX of each kind; empty is good."""
    broken = []
    for sentence, query in INVARIANTS.items():
        rows = await reader.all(text(f"{query} LIMIT {VIOLATIONS_MAX}"))
        broken += [f"ledger: {sentence}: {row[0]}" for row in rows]
    return broken


def _parameters(journal: Journal) -> dict[str, str]:
    unique = {posting.account.code: posting.account for posting in journal.postings}
    return {
        "key": journal.key,
        "site_id": journal.site_id,
        "order_id": journal.order_id,
        "event": journal.event,
        "currency": journal.currency,
        "accounts": orjson.dumps(
            [
                {
                    "code": account.code,
                    "normal_side": account.normal,
                    "keeping": account.keeping,
                    "may_go_negative": account.may_go_negative,
                }
                for account in unique.values()
            ]
        ).decode(),
        "entries": orjson.dumps(
            [
                {
                    "account": posting.account.code,
                    "side": posting.side,
                    "amount_fen": posting.amount_fen,
                }
                for posting in journal.postings
            ]
        ).decode(),
    }
