"""Money at the gateway: attempts, refunds, notices, and what was refused."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    fen_column,
    flag_column,
    int_column,
    json_column,
    serial_column,
    site_column,
    text_column,
)

payment_attempts = Table(
    "payment_attempts",
    metadata,
    text_column("out_trade_no", primary_key=True),
    site_column(),
    text_column("order_id"),
    text_column("purpose", server_default="order"),
    int_column("attempt"),
    text_column("account_id"),
    text_column("channel"),
    text_column("method"),
    json_column("wishes"),
    fen_column("amount_fen"),
    text_column("state"),
    text_column("transaction_id", server_default=""),
    text_column("failure_code", server_default=""),
    at_column("expires_at", nullable=False),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("paid_at"),
    json_column("handles"),
    flag_column("split"),
    UniqueConstraint("order_id", "purpose", "attempt"),
    Index(
        "ix_payment_attempts_waiting",
        "channel",
        postgresql_where=text("state IN ('unknown', 'authorized')"),
    ),
    Index(
        "ix_payment_attempts_tips",
        "created_at",
        postgresql_where=text(
            "purpose = 'tip' AND state IN ('created', 'unknown', 'opened', 'watched')"
        ),
    ),
)
refunds = Table(
    "refunds",
    metadata,
    text_column("out_refund_no", primary_key=True),
    site_column(),
    text_column("order_id"),
    text_column("out_trade_no"),
    text_column("account_id"),
    text_column("cause"),
    text_column("source"),
    text_column("reason"),
    fen_column("amount_fen"),
    fen_column("credit_fen", server_default="0"),
    fen_column("total_fen"),
    text_column("state"),
    text_column("refund_id", server_default=""),
    int_column("retries", server_default="0"),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("ended_at"),
    UniqueConstraint("order_id", "cause"),
    CheckConstraint(
        "amount_fen BETWEEN 0 AND total_fen AND credit_fen >= 0 AND amount_fen + credit_fen > 0",
        name="amount",
    ),
    Index("ix_refunds_open", "created_at", postgresql_where=text("ended_at IS NULL")),
)
inbox = Table(
    "inbox",
    metadata,
    serial_column(),
    text_column("channel"),
    text_column("account_id"),
    text_column("event_id"),
    text_column("site_id"),
    text_column("order_id"),
    text_column("kind"),
    json_column("fact"),
    Column("body", LargeBinary, nullable=False),
    at_column("received_at", nullable=False, server_default=NOW),
    at_column("applied_at"),
    text_column("outcome", server_default=""),
    UniqueConstraint("channel", "account_id", "event_id"),
    Index("ix_inbox_unapplied", "received_at", postgresql_where=text("applied_at IS NULL")),
)
quarantine = Table(
    "quarantine",
    metadata,
    serial_column(),
    text_column("channel"),
    text_column("account_id"),
    text_column("reason"),
    Column("body", LargeBinary, nullable=False),
    at_column("received_at", nullable=False, server_default=NOW),
)
