"""After-sale: wishes for money back and their answers; what compensation has cost each day."""

from sqlalchemy import CheckConstraint, Index, Table, text

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    fen_column,
    flag_column,
    json_column,
    site_column,
    text_column,
)

after_sales = Table(
    "after_sales",
    metadata,
    text_column("after_sale_id", primary_key=True),
    site_column(),
    text_column("order_id"),
    text_column("state"),
    text_column("reason_code"),
    text_column("bearer"),
    json_column("lines", "[]"),
    flag_column("delivery_fee"),
    json_column("evidence", "[]"),
    json_column("parts", "[]"),
    json_column("terms"),
    fen_column("amount_fen"),
    text_column("answered_by", server_default=""),
    text_column("answer_code", server_default=""),
    text_column("out_refund_no", server_default=""),
    at_column("asked_at", nullable=False, server_default=NOW),
    at_column("changed_at", nullable=False, server_default=NOW),
    CheckConstraint("amount_fen > 0", name="amount"),
    Index(None, "order_id"),
    Index(None, "site_id", "asked_at", "after_sale_id"),
    Index(
        "ix_after_sales_undecided",
        "changed_at",
        postgresql_where=text("state IN ('asked', 'rejected', 'escalated', 'awaiting_approval')"),
    ),
)
compensation_days = Table(
    "compensation_days",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("business_day", primary_key=True),
    text_column("customer_id", primary_key=True),
    fen_column("spent_fen"),
    CheckConstraint("spent_fen >= 0", name="spent"),
)
