"""Settlement: contracts, each order's division, its splits and what came back of them."""

from sqlalchemy import CheckConstraint, Index, Table, UniqueConstraint, text

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    fen_column,
    int_column,
    site_column,
    text_column,
)

contracts = Table(
    "contracts",
    metadata,
    text_column("site_id", primary_key=True),
    text_column("merchant_id", primary_key=True, server_default=""),
    text_column("kind", primary_key=True, server_default="takeaway"),
    at_column("valid_from", primary_key=True, nullable=False),
    int_column("commission_bp"),
    text_column("delivered_by", server_default="platform"),
    int_column("rider_fee_bp", server_default="10000"),
    CheckConstraint(
        "commission_bp BETWEEN 0 AND 10000 AND rider_fee_bp BETWEEN 0 AND 10000", name="parts"
    ),
    CheckConstraint("delivered_by IN ('platform', 'merchant')", name="delivered_by"),
)
settlements = Table(
    "settlements",
    metadata,
    text_column("order_id", primary_key=True),
    site_column(),
    text_column("merchant_id"),
    text_column("out_trade_no"),
    text_column("account_id"),
    fen_column("merchant_fen"),
    fen_column("commission_fen"),
    fen_column("delivery_fen"),
    fen_column("share_fen", server_default="0"),
    fen_column("returnable_fen", server_default="0"),
    fen_column("borne_fen", server_default="0"),
    fen_column("waived_fen", server_default="0"),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("followed_at"),
    at_column("shipped_at"),
    at_column("ended_at"),
    CheckConstraint("returnable_fen BETWEEN 0 AND share_fen", name="returnable"),
    CheckConstraint("waived_fen BETWEEN 0 AND commission_fen", name="waived"),
    Index("ix_settlements_open", "created_at", postgresql_where=text("ended_at IS NULL")),
)
splits = Table(
    "splits",
    metadata,
    text_column("out_order_no", primary_key=True),
    site_column(),
    text_column("order_id"),
    int_column("number"),
    text_column("kind"),
    text_column("receiver"),
    fen_column("amount_fen"),
    text_column("state"),
    text_column("reason", server_default=""),
    text_column("gateway_number", server_default=""),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("ended_at"),
    UniqueConstraint("order_id", "number"),
    CheckConstraint("(kind = 'split') = (amount_fen > 0)", name="amount"),
)
split_returns = Table(
    "split_returns",
    metadata,
    text_column("out_return_no", primary_key=True),
    site_column(),
    text_column("order_id"),
    int_column("number"),
    text_column("out_order_no"),
    text_column("out_refund_no"),
    text_column("receiver"),
    fen_column("amount_fen"),
    text_column("state"),
    text_column("reason", server_default=""),
    text_column("gateway_number", server_default=""),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("ended_at"),
    UniqueConstraint("order_id", "number"),
    CheckConstraint("amount_fen > 0", name="amount"),
    Index(None, "out_refund_no"),
)
