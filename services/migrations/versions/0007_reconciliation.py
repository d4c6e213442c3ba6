"""Reconciliation: bills by version, what they hold, how days compare and what differs."""

import sqlalchemy as sa
from alembic import op

revision = "0007_reconciliation"
down_revision = "0006_tickets"


def upgrade() -> None:
    op.create_table(
        "bills",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), server_default="current", nullable=False),
        sa.Column(
            "imported_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("kind IN ('trade', 'funds')", name=op.f("ck_bills_kind")),
        sa.CheckConstraint("state IN ('current', 'replaced')", name=op.f("ck_bills_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bills")),
        sa.UniqueConstraint(
            "account_id",
            "day",
            "kind",
            "version",
            name=op.f("uq_bills_account_id_day_kind_version"),
        ),
    )
    op.create_index(
        "ix_bills_current",
        "bills",
        ["account_id", "day", "kind"],
        unique=True,
        postgresql_where=sa.text("state = 'current'"),
    )
    op.create_table(
        "differences",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("flaw", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("ours_fen", sa.BigInteger(), nullable=True),
        sa.Column("theirs_fen", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("reason_code", sa.Text(), server_default="", nullable=False),
        sa.Column("closed_by", sa.Text(), server_default="", nullable=False),
        sa.Column("ticket_key", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('open', 'closed')", name=op.f("ck_differences_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_differences")),
        sa.UniqueConstraint(
            "account_id",
            "day",
            "flaw",
            "kind",
            "number",
            name=op.f("uq_differences_account_id_day_flaw_kind_number"),
        ),
    )
    op.create_index(
        op.f("ix_differences_site_id_state_id"),
        "differences",
        ["site_id", "state", "id"],
        unique=False,
    )
    op.create_table(
        "reconciliations",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("trade_version", sa.Integer(), nullable=False),
        sa.Column("funds_version", sa.Integer(), nullable=True),
        sa.Column("matches", sa.Integer(), nullable=False),
        sa.Column("only_ours", sa.Integer(), nullable=False),
        sa.Column("only_theirs", sa.Integer(), nullable=False),
        sa.Column("differs", sa.Integer(), nullable=False),
        sa.Column(
            "compared_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("pk_reconciliations")),
    )
    op.create_index(
        op.f("ix_reconciliations_site_id_day"), "reconciliations", ["site_id", "day"], unique=False
    )
    op.create_table(
        "bill_rows",
        sa.Column("bill_id", sa.BigInteger(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("out_trade_no", sa.Text(), nullable=False),
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("out_refund_no", sa.Text(), nullable=False),
        sa.Column("refund_id", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("fee_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["bill_id"], ["bills.id"], name=op.f("fk_bill_rows_bill_id")),
        sa.PrimaryKeyConstraint("bill_id", "line_no", name=op.f("pk_bill_rows")),
    )
    op.create_index(op.f("ix_bill_rows_out_trade_no"), "bill_rows", ["out_trade_no"], unique=False)
    op.create_index(
        op.f("ix_bill_rows_refund_id"),
        "bill_rows",
        ["refund_id"],
        unique=False,
        postgresql_where=sa.text("refund_id <> ''"),
    )
    op.create_index(
        op.f("ix_bill_rows_transaction_id"), "bill_rows", ["transaction_id"], unique=False
    )
    op.create_table(
        "fund_rows",
        sa.Column("bill_id", sa.BigInteger(), nullable=False),
        sa.Column("line_no", sa.Integer(), nullable=False),
        sa.Column("flow_id", sa.Text(), nullable=False),
        sa.Column("business_no", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("balance_fen", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["bill_id"], ["bills.id"], name=op.f("fk_fund_rows_bill_id")),
        sa.PrimaryKeyConstraint("bill_id", "line_no", name=op.f("pk_fund_rows")),
    )
    op.create_index(op.f("ix_fund_rows_business_no"), "fund_rows", ["business_no"], unique=False)
    op.create_index(
        "ix_payment_attempts_account_id_paid_at",
        "payment_attempts",
        ["account_id", "paid_at"],
        unique=False,
    )
    op.create_index(
        "ix_refunds_account_id_ended_at", "refunds", ["account_id", "ended_at"], unique=False
    )
