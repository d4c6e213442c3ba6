"""Grabs: offers that whoever may have the task sees, and that are nobody's work yet."""

import sqlalchemy as sa
from alembic import op

revision = "0025_grab"
down_revision = "0024_tips"


def upgrade() -> None:
    op.add_column("offers", sa.Column("grab", sa.Boolean(), server_default="false", nullable=False))
