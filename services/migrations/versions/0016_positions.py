"""Positions: no row says where a rider is; a carried order's coarse trace, sealed, for a while."""

import sqlalchemy as sa
from alembic import op

revision = "0016_positions"
down_revision = "0015_promise"


def upgrade() -> None:
    op.drop_column("riders", "lat")
    op.drop_column("riders", "lng")
    op.create_table(
        "position_traces",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("rider_id", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("delete_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "at", name=op.f("pk_position_traces")),
    )
    op.create_index(op.f("ix_position_traces_delete_at"), "position_traces", ["delete_at"])
