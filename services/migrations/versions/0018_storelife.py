"""Store and customer: self-pickup, ratings and their sums, tips, a kitchen's pause."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018_storelife"
down_revision = "0017_rider_life"

NOW = sa.text("now()")
NO_TAGS = sa.text("'[]'::jsonb")


def upgrade() -> None:
    op.add_column(
        "shops", sa.Column("self_pickup", sa.Boolean(), server_default="false", nullable=False)
    )
    op.add_column("shops", sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True))
    for table in ("quotes", "orders"):
        op.add_column(
            table, sa.Column("tip_fen", sa.BigInteger(), server_default="0", nullable=False)
        )
    op.create_table(
        "pickups",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("food_ready_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proof_tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("collected_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_pickups")),
    )
    op.create_table(
        "ratings",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("shop_id", sa.Text(), nullable=False),
        sa.Column("rider_id", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("food", sa.Integer(), nullable=False),
        sa.Column("ride", sa.Integer(), nullable=True),
        sa.Column("food_tags", postgresql.JSONB(), server_default=NO_TAGS, nullable=False),
        sa.Column("ride_tags", postgresql.JSONB(), server_default=NO_TAGS, nullable=False),
        sa.Column("changes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("rated_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "food BETWEEN 1 AND 5 AND ride BETWEEN 1 AND 5", name=op.f("ck_ratings_stars")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_ratings")),
    )
    op.create_index(
        op.f("ix_ratings_site_id_shop_id_rated_at"), "ratings", ["site_id", "shop_id", "rated_at"]
    )
    op.create_index(
        op.f("ix_ratings_site_id_rider_id_rated_at"),
        "ratings",
        ["site_id", "rider_id", "rated_at"],
    )
    op.create_table(
        "rating_sums",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "subject", name=op.f("pk_rating_sums")),
    )
