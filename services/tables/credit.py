"""Platform credit: what was granted, what is held or spent of it, and what went back."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Table, text

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    fen_column,
    int_column,
    site_column,
    text_column,
)

credit_grants = Table(
    "credit_grants",
    metadata,
    text_column("grant_id", primary_key=True),
    site_column(),
    text_column("customer_id"),
    text_column("order_id", server_default=""),
    text_column("reason"),
    text_column("granted_by", server_default=""),
    fen_column("amount_fen"),
    fen_column("left_fen"),
    fen_column("expired_fen", server_default="0"),
    at_column("expires_at", nullable=False),
    at_column("created_at", nullable=False, server_default=NOW),
    CheckConstraint("amount_fen > 0", name="amount"),
    CheckConstraint(
        "left_fen >= 0 AND expired_fen >= 0 AND left_fen + expired_fen <= amount_fen", name="left"
    ),
    Index(
        "ix_credit_grants_spendable",
        "site_id",
        "customer_id",
        "expires_at",
        postgresql_where=text("left_fen > 0"),
    ),
    Index("ix_credit_grants_expiring", "expires_at", postgresql_where=text("left_fen > 0")),
)
credit_gifts = Table(
    "credit_gifts",
    metadata,
    text_column("grant_id", primary_key=True),
    site_column(),
    text_column("customer_id"),
    text_column("business_day"),
    fen_column("amount_fen"),
    text_column("reason"),
    at_column("expires_at", nullable=False),
    text_column("state"),
    text_column("proposed_by"),
    text_column("decided_by", server_default=""),
    at_column("proposed_at", nullable=False, server_default=NOW),
    at_column("decided_at"),
    CheckConstraint("amount_fen > 0", name="amount"),
    CheckConstraint("state IN ('given', 'proposed', 'declined')", name="state"),
    Index(None, "site_id", "business_day"),
    Index(None, "site_id", "proposed_at", "grant_id"),
)
credit_holds = Table(
    "credit_holds",
    metadata,
    text_column("hold_id", primary_key=True),
    site_column(),
    text_column("customer_id"),
    text_column("order_id"),
    fen_column("amount_fen"),
    text_column("state"),
    at_column("created_at", nullable=False, server_default=NOW),
    CheckConstraint("amount_fen > 0", name="amount"),
    CheckConstraint("state IN ('held', 'captured', 'released')", name="state"),
    Index(None, "site_id", "order_id"),
)
credit_hold_parts = Table(
    "credit_hold_parts",
    metadata,
    Column("hold_id", ForeignKey("credit_holds.hold_id"), primary_key=True),
    int_column("line", primary_key=True),
    Column("grant_id", ForeignKey("credit_grants.grant_id"), nullable=False),
    fen_column("amount_fen"),
    fen_column("refunded_fen", server_default="0"),
    CheckConstraint("amount_fen > 0", name="amount"),
    CheckConstraint("refunded_fen BETWEEN 0 AND amount_fen", name="refunded"),
)
credit_refunds = Table(
    "credit_refunds",
    metadata,
    text_column("refund_id", primary_key=True),
    Column("hold_id", ForeignKey("credit_holds.hold_id"), nullable=False),
    fen_column("amount_fen"),
    at_column("created_at", nullable=False, server_default=NOW),
    CheckConstraint("amount_fen > 0", name="amount"),
)
