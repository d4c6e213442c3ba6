"""What is kept of the books: statements of days, closed periods, and payouts in batches."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
    text,
)

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    fen_column,
    int_column,
    site_column,
    text_column,
)


def _site_key() -> Column[str]:
    return text_column("site_id", primary_key=True)


statements = Table(
    "statements",
    metadata,
    _site_key(),
    text_column("party", primary_key=True),
    text_column("party_id", primary_key=True),
    text_column("day", primary_key=True),
    fen_column("opening_fen"),
    fen_column("in_fen"),
    fen_column("out_fen"),
    fen_column("closing_fen"),
    int_column("lines"),
    text_column("sha256"),
    at_column("kept_at", nullable=False, server_default=NOW),
    CheckConstraint("opening_fen + in_fen - out_fen = closing_fen", name="closing"),
)
ledger_periods = Table(
    "ledger_periods",
    metadata,
    _site_key(),
    at_column("until", primary_key=True, nullable=False),
    text_column("closed_by"),
    at_column("closed_at", nullable=False, server_default=NOW),
)
ledger_period_totals = Table(
    "ledger_period_totals",
    metadata,
    _site_key(),
    text_column("account", primary_key=True),
    text_column("currency", primary_key=True),
    at_column("until", primary_key=True, nullable=False),
    fen_column("debit_fen"),
    fen_column("credit_fen"),
    fen_column("balance_fen"),
    ForeignKeyConstraint(["site_id", "until"], ["ledger_periods.site_id", "ledger_periods.until"]),
)
payout_batches = Table(
    "payout_batches",
    metadata,
    text_column("batch_id", primary_key=True),
    site_column(),
    text_column("account_id"),
    text_column("state", server_default="proposed"),
    text_column("proposed_by"),
    text_column("decided_by", server_default=""),
    at_column("proposed_at", nullable=False, server_default=NOW),
    at_column("decided_at"),
    at_column("ended_at"),
    CheckConstraint("decided_by <> proposed_by", name="two_persons"),
    CheckConstraint(
        "state IN ('proposed', 'declined', 'approved', 'sent', 'finished')", name="state"
    ),
    Index(None, "site_id", "proposed_at"),
    Index(
        "ix_payout_batches_open",
        "decided_at",
        postgresql_where=text("state IN ('approved', 'sent')"),
    ),
)
payout_lines = Table(
    "payout_lines",
    metadata,
    text_column("line_id", primary_key=True),
    site_column(),
    Column("batch_id", Text, ForeignKey("payout_batches.batch_id"), nullable=False),
    text_column("rider_id", server_default=""),
    text_column("merchant_id", server_default=""),
    text_column("payee"),
    fen_column("amount_fen"),
    fen_column("set_off_fen", server_default="0"),
    text_column("state", server_default="proposed"),
    text_column("transfer_id", server_default=""),
    text_column("reason", server_default=""),
    at_column("ended_at"),
    CheckConstraint("(rider_id = '') <> (merchant_id = '')", name="one_party"),
    CheckConstraint("amount_fen > 0 AND set_off_fen >= 0", name="amount"),
    CheckConstraint("state IN ('proposed', 'dropped', 'sent', 'success', 'failed')", name="state"),
    Index(None, "batch_id"),
    Index(
        "ix_payout_lines_open",
        *("site_id", "rider_id", "merchant_id"),
        unique=True,
        postgresql_where=text("state IN ('proposed', 'sent')"),
    ),
)
