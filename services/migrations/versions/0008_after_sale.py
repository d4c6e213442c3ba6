"""After-sale: what each line was paid with, wishes for money back, compensation by day."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008_after_sale"
down_revision = "0007_reconciliation"


def upgrade() -> None:
    for table in ("quotes", "orders"):
        op.add_column(table, _json("discounts", "[]"))
        op.add_column(
            table,
            sa.Column("channel_fee_fen", sa.BigInteger(), server_default="0", nullable=False),
        )
    op.add_column(
        "order_lines",
        sa.Column("discount_fen", sa.BigInteger(), server_default="0", nullable=False),
    )
    # With a default: the version before this one goes on placing orders meanwhile.
    op.add_column(
        "order_lines", sa.Column("paid_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.execute("UPDATE order_lines SET paid_fen = total_fen + packing_fen")
    op.create_table(
        "after_sales",
        sa.Column("after_sale_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("bearer", sa.Text(), nullable=False),
        _json("lines", "[]"),
        sa.Column("delivery_fee", sa.Boolean(), server_default="false", nullable=False),
        _json("evidence", "[]"),
        _json("parts", "[]"),
        _json("terms", "{}"),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("answered_by", sa.Text(), server_default="", nullable=False),
        sa.Column("answer_code", sa.Text(), server_default="", nullable=False),
        sa.Column("out_refund_no", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "asked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_after_sales_amount")),
        sa.PrimaryKeyConstraint("after_sale_id", name=op.f("pk_after_sales")),
    )
    op.create_index(op.f("ix_after_sales_order_id"), "after_sales", ["order_id"], unique=False)
    op.create_index(
        "ix_after_sales_undecided",
        "after_sales",
        ["changed_at"],
        unique=False,
        postgresql_where=sa.text(
            "state IN ('asked', 'rejected', 'escalated', 'awaiting_approval')"
        ),
    )
    op.create_table(
        "compensation_days",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("business_day", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("spent_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("spent_fen >= 0", name=op.f("ck_compensation_days_spent")),
        sa.PrimaryKeyConstraint(
            "site_id", "business_day", "customer_id", name=op.f("pk_compensation_days")
        ),
    )


def _json(name: str, default: str) -> sa.Column[object]:
    return sa.Column(
        name,
        postgresql.JSONB(astext_type=sa.Text()),
        server_default=sa.text(f"'{default}'::jsonb"),
        nullable=False,
    )
