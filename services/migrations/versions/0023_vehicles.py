"""What a rider rides: how far a believed position may be from the last one."""

import sqlalchemy as sa
from alembic import op

revision = "0023_vehicles"
down_revision = "0022_photos"


def upgrade() -> None:
    op.add_column(
        "riders", sa.Column("vehicle", sa.Text(), server_default="e_bike", nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_riders_vehicle"),
        "riders",
        "vehicle IN ('on_foot', 'bicycle', 'e_bike', 'motorcycle', 'car')",
    )
