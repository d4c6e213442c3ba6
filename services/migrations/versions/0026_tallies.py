"""What each rider has brought in a shift is found by index: every plan asks it of every rider."""

import sqlalchemy as sa
from alembic import op

revision = "0026_tallies"
down_revision = "0025_grab"


def upgrade() -> None:
    op.create_index(
        "ix_delivery_tasks_done",
        "delivery_tasks",
        ["site_id", "rider_id", "delivered_at"],
        postgresql_where=sa.text("delivered_at IS NOT NULL"),
    )
