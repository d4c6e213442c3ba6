"""Desks: after-sales listed by site; refunds that people send again; gifts; answers to disputes."""

import sqlalchemy as sa
from alembic import op

revision = "0014_desk"
down_revision = "0013_finance"


def upgrade() -> None:
    op.create_index(
        op.f("ix_after_sales_site_id_asked_at_after_sale_id"),
        "after_sales",
        ["site_id", "asked_at", "after_sale_id"],
    )
    op.add_column("refunds", sa.Column("retries", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "credit_gifts",
        sa.Column("grant_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("business_day", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "proposed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_credit_gifts_amount")),
        sa.CheckConstraint(
            "state IN ('given', 'proposed', 'declined')", name=op.f("ck_credit_gifts_state")
        ),
        sa.PrimaryKeyConstraint("grant_id", name=op.f("pk_credit_gifts")),
    )
    op.create_index(
        op.f("ix_credit_gifts_site_id_business_day"), "credit_gifts", ["site_id", "business_day"]
    )
    op.create_index(
        op.f("ix_credit_gifts_site_id_proposed_at_grant_id"),
        "credit_gifts",
        ["site_id", "proposed_at", "grant_id"],
    )
    op.add_column(
        "ticket_entries",
        sa.Column("channel_heard", sa.Text(), server_default="", nullable=False),
    )
    op.create_index(
        "ix_ticket_entries_waiting",
        "ticket_entries",
        ["ticket_id"],
        unique=False,
        postgresql_where=sa.text("channel_heard = 'waiting'"),
    )
