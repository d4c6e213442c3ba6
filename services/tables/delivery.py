"""Riders' work: delivery tasks and offers."""

from sqlalchemy import (
    Index,
    Table,
    UniqueConstraint,
    text,
)

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    flag_column,
    float_column,
    int_column,
    serial_column,
    site_column,
    text_column,
)

delivery_tasks = Table(
    "delivery_tasks",
    metadata,
    text_column("task_id", primary_key=True),
    site_column(),
    text_column("zone_id"),
    text_column("order_id", unique=True),
    text_column("shop_id"),
    text_column("state"),
    text_column("rider_id", server_default=""),
    int_column("token", server_default="0"),
    int_column("proof_tries", server_default="0"),
    at_column("held_at"),
    flag_column("support_asked"),
    flag_column("gave_up"),
    float_column("offer_seconds"),
    float_column("rider_silence_seconds"),
    at_column("food_ready_at", nullable=False),
    at_column("search_from", nullable=False),
    at_column("support_at", nullable=False),
    at_column("give_up_at", nullable=False),
    at_column("promised_at", nullable=False),
    at_column("assigned_at"),
    at_column("picked_up_at"),
    at_column("delivered_at"),
    at_column("changed_at", nullable=False, server_default=NOW),
    Index(
        "ix_delivery_tasks_open",
        "site_id",
        "zone_id",
        postgresql_where=text("state NOT IN ('delivered', 'closed')"),
    ),
    Index(
        "ix_delivery_tasks_rider",
        "site_id",
        "rider_id",
        postgresql_where=text("state IN ('assigned', 'at_store', 'picked_up', 'arrived')"),
    ),
)
offers = Table(
    "offers",
    metadata,
    serial_column("offer_id"),
    site_column(),
    text_column("task_id"),
    text_column("rider_id"),
    int_column("token"),
    text_column("state"),
    at_column("made_at", nullable=False, server_default=NOW),
    at_column("expires_at", nullable=False),
    at_column("answered_at"),
    UniqueConstraint("task_id", "token", "rider_id"),
    Index("ix_offers_open", "site_id", "rider_id", postgresql_where=text("state = 'open'")),
    Index(
        "ix_offers_expired",
        "site_id",
        "rider_id",
        "answered_at",
        postgresql_where=text("state = 'expired'"),
    ),
)
