"""Figures: the few attempts that are unknown or held are found among all there ever were."""

import sqlalchemy as sa
from alembic import op

revision = "0012_figures"
down_revision = "0011_books"


def upgrade() -> None:
    op.create_index(
        "ix_payment_attempts_waiting",
        "payment_attempts",
        ["channel"],
        unique=False,
        postgresql_where=sa.text("state IN ('unknown', 'authorized')"),
    )
