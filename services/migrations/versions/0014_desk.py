"""Desks: after-sales listed by site; refunds that people send again."""

import sqlalchemy as sa
from alembic import op

revision = "0014_desk"
down_revision = "0012_figures"


def upgrade() -> None:
    op.create_index(
        op.f("ix_after_sales_site_id_asked_at_after_sale_id"),
        "after_sales",
        ["site_id", "asked_at", "after_sale_id"],
    )
    op.add_column("refunds", sa.Column("retries", sa.Integer(), server_default="0", nullable=False))
