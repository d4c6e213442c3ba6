"""What channels say of whole days: bills, their rows, how they compare and what differs."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    UniqueConstraint,
    text,
)

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    fen_column,
    int_column,
    serial_column,
    site_column,
    text_column,
)
from services.tables.money import payment_attempts, refunds

bills = Table(
    "bills",
    metadata,
    serial_column(),
    site_column(),
    text_column("account_id"),
    text_column("channel"),
    text_column("kind"),
    text_column("day"),
    int_column("version"),
    text_column("sha256"),
    int_column("rows"),
    text_column("state", server_default="current"),
    at_column("imported_at", nullable=False, server_default=NOW),
    CheckConstraint("kind IN ('trade', 'funds')", name="kind"),
    CheckConstraint("state IN ('current', 'replaced')", name="state"),
    UniqueConstraint("account_id", "day", "kind", "version"),
    Index(
        "ix_bills_current",
        *("account_id", "day", "kind"),
        unique=True,
        postgresql_where=text("state = 'current'"),
    ),
)


def _bill_column() -> Column[int]:
    return Column("bill_id", BigInteger, ForeignKey("bills.id"), primary_key=True)


bill_rows = Table(
    "bill_rows",
    metadata,
    _bill_column(),
    int_column("line_no", primary_key=True),
    text_column("kind"),
    text_column("out_trade_no"),
    text_column("transaction_id"),
    text_column("out_refund_no"),
    text_column("refund_id"),
    fen_column("amount_fen"),
    fen_column("fee_fen"),
    text_column("state"),
    at_column("at"),
    Index(None, "out_trade_no"),
    Index(None, "transaction_id"),
    Index(None, "refund_id", postgresql_where=text("refund_id <> ''")),
)
fund_rows = Table(
    "fund_rows",
    metadata,
    _bill_column(),
    int_column("line_no", primary_key=True),
    text_column("flow_id"),
    text_column("business_no"),
    text_column("kind"),
    fen_column("amount_fen"),
    fen_column("balance_fen", nullable=True),
    at_column("at"),
    Index(None, "business_no"),
)
reconciliations = Table(
    "reconciliations",
    metadata,
    text_column("account_id", primary_key=True),
    text_column("day", primary_key=True),
    site_column(),
    text_column("channel"),
    int_column("trade_version"),
    int_column("funds_version", nullable=True),
    int_column("matches"),
    int_column("only_ours"),
    int_column("only_theirs"),
    int_column("differs"),
    at_column("compared_at", nullable=False, server_default=NOW),
    Index(None, "site_id", "day"),
)
differences = Table(
    "differences",
    metadata,
    serial_column(),
    site_column(),
    text_column("account_id"),
    text_column("channel"),
    text_column("day"),
    text_column("verdict"),
    text_column("flaw"),
    text_column("kind"),
    text_column("number"),
    text_column("order_id"),
    fen_column("ours_fen", nullable=True),
    fen_column("theirs_fen", nullable=True),
    text_column("state", server_default="open"),
    text_column("reason_code", server_default=""),
    text_column("closed_by", server_default=""),
    text_column("ticket_key"),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("closed_at"),
    CheckConstraint("state IN ('open', 'closed')", name="state"),
    UniqueConstraint("account_id", "day", "flaw", "kind", "number"),
    Index(None, "site_id", "state", "id"),
)
Index(
    "ix_payment_attempts_account_id_paid_at",
    payment_attempts.c.account_id,
    payment_attempts.c.paid_at,
)
Index("ix_refunds_account_id_ended_at", refunds.c.account_id, refunds.c.ended_at)
