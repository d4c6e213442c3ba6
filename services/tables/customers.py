"""What customers do beside ordering: fetching food themselves, and rating it."""

from sqlalchemy import CheckConstraint, Index, Table

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    int_column,
    json_column,
    site_column,
    text_column,
)

pickups = Table(
    "pickups",
    metadata,
    text_column("order_id", primary_key=True),
    site_column(),
    at_column("food_ready_at", nullable=False),
    int_column("proof_tries", server_default="0"),
    at_column("collected_at"),
)
ratings = Table(
    "ratings",
    metadata,
    text_column("order_id", primary_key=True),
    site_column(),
    text_column("shop_id"),
    text_column("rider_id"),
    text_column("customer_id"),
    int_column("food"),
    int_column("ride", nullable=True),
    json_column("food_tags", "[]"),
    json_column("ride_tags", "[]"),
    int_column("changes", server_default="0"),
    at_column("rated_at", nullable=False, server_default=NOW),
    CheckConstraint("food BETWEEN 1 AND 5 AND ride BETWEEN 1 AND 5", name="stars"),
    Index(None, "site_id", "shop_id", "rated_at"),
    Index(None, "site_id", "rider_id", "rated_at"),
)
rating_sums = Table(
    "rating_sums",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("subject", primary_key=True),
    int_column("count"),
    int_column("stars"),
)
