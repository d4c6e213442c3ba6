"""What there is: sites, shops, menus, people; no order yet."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Table,
    text,
)

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    fen_column,
    flag_column,
    float_column,
    int_column,
    json_column,
    serial_column,
    site_column,
    text_column,
)

sites = Table(
    "sites",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("name"),
    text_column("time_zone", server_default="Asia/Shanghai"),
    float_column("speed", server_default="1"),
    json_column("fee_rule"),
    json_column("timers"),
    flag_column("always_open"),
)
zones = Table(
    "zones",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("zone_id", primary_key=True),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
    json_column("rules"),
)
merchants = Table(
    "merchants",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("merchant_id", primary_key=True),
    text_column("name"),
    text_column("payee", server_default=""),
)
channel_accounts = Table(
    "channel_accounts",
    metadata,
    text_column("account_id", primary_key=True),
    site_column(),
    text_column("merchant_id"),
    text_column("channel"),
    text_column("mchid"),
    text_column("appid"),
    text_column("keys_ref"),
)
shops = Table(
    "shops",
    metadata,
    text_column("shop_id", primary_key=True),
    site_column(),
    text_column("merchant_id"),
    text_column("zone_id"),
    text_column("name"),
    float_column("lat"),
    float_column("lng"),
    json_column("opening_hours", "[]"),
    json_column("delivery_area", "[]"),
    int_column("prep_minutes", server_default="15"),
    flag_column("open", default=True),
    flag_column("paused"),
    at_column("paused_until"),
    flag_column("auto_accept"),
    flag_column("self_pickup"),
    Index(None, "site_id"),
    Index(None, "merchant_id"),
)
items = Table(
    "items",
    metadata,
    text_column("shop_id", primary_key=True),
    text_column("item_id", primary_key=True),
    site_column(),
    text_column("name"),
    fen_column("price_fen"),
    fen_column("packing_fen", server_default="0"),
    json_column("options", "[]"),
    int_column("load", server_default="0"),
    json_column("needs", "[]"),
    flag_column("available", default=True),
    int_column("stock", nullable=True),
    CheckConstraint("price_fen >= 0 AND packing_fen >= 0", name="price"),
    CheckConstraint("stock >= 0", name="stock"),
)
customers = Table(
    "customers",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("customer_id", primary_key=True),
)
addresses = Table(
    "addresses",
    metadata,
    text_column("address_id", primary_key=True),
    site_column(),
    text_column("customer_id"),
    at_column("created_at", server_default=NOW),
    Index(None, "site_id", "customer_id"),
)
riders = Table(
    "riders",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("rider_id", primary_key=True),
    text_column("zone_id"),
    text_column("payee", server_default=""),
    json_column("skills", "[]"),
    int_column("room", server_default="5"),
    json_column("area", "[]"),
    flag_column("probation"),
    text_column("vehicle", server_default="e_bike"),
    flag_column("on_shift"),
    at_column("seen_at"),
    at_column("paused_at"),
    text_column("pause_code", server_default=""),
    CheckConstraint(
        "vehicle IN ('on_foot', 'bicycle', 'e_bike', 'motorcycle', 'car')", name="vehicle"
    ),
    Index("ix_riders_paused", "paused_at", postgresql_where=text("paused_at IS NOT NULL")),
)
blocked_pairs = Table(
    "blocked_pairs",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("rider_id", primary_key=True),
    text_column("other", primary_key=True),
)
shifts = Table(
    "shifts",
    metadata,
    serial_column(),
    site_column(),
    text_column("rider_id"),
    at_column("started_at", nullable=False),
    at_column("ends_at"),
    at_column("ended_at"),
    Index(None, "site_id", "rider_id"),
)
