"""Riders' life: pauses and planned ends, reasons of declines, waits, the door, goods left behind."""

import sqlalchemy as sa
from alembic import op

revision = "0017_rider_life"
down_revision = "0016_positions"


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    for name in (
        "at_store_at",
        "kitchen_late_at",
        "arrived_at",
        "unreachable_until",
        "returned_at",
    ):
        op.add_column("delivery_tasks", sa.Column(name, at))
    op.add_column(
        "delivery_tasks",
        sa.Column("unreachable_seconds", sa.Double(), server_default="600", nullable=False),
    )
    op.add_column(
        "delivery_tasks", sa.Column("calls", sa.Integer(), server_default="0", nullable=False)
    )
    for name in ("goods_lat", "goods_lng"):
        op.add_column("delivery_tasks", sa.Column(name, sa.Double()))
    op.add_column("offers", sa.Column("reason_code", sa.Text(), server_default="", nullable=False))
    op.add_column("riders", sa.Column("paused_at", at))
    op.add_column("riders", sa.Column("pause_code", sa.Text(), server_default="", nullable=False))
    op.create_index(
        "ix_riders_paused",
        "riders",
        ["paused_at"],
        postgresql_where=sa.text("paused_at IS NOT NULL"),
    )
    op.add_column("shifts", sa.Column("ends_at", at))
    op.create_table(
        "delivery_photos",
        sa.Column("photo_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("rider_id", sa.Text(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("taken_at", at, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("photo_id", name=op.f("pk_delivery_photos")),
    )
    op.create_index(op.f("ix_delivery_photos_order_id"), "delivery_photos", ["order_id"])
