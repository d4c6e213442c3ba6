"""Every table of the platform as SQLAlchemy Core; migrations make them, services fill them."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.db import metadata

NOW = text("now()")


def _text(name: str, **more: Any) -> Column[str]:  # noqa: ANN401
    return Column(name, Text, nullable=more.pop("nullable", False), **more)


def _fen(name: str, **more: Any) -> Column[int]:  # noqa: ANN401
    return Column(name, BigInteger, nullable=more.pop("nullable", False), **more)


def _int(name: str, **more: Any) -> Column[int]:  # noqa: ANN401
    return Column(name, Integer, nullable=more.pop("nullable", False), **more)


def _flag(name: str, *, default: bool = False) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=str(default).lower())


def _at(name: str, **more: Any) -> Column[Any]:  # noqa: ANN401
    return Column(name, DateTime(timezone=True), nullable=more.pop("nullable", True), **more)


def _json(name: str, default: str = "{}") -> Column[Any]:
    return Column(name, JSONB, nullable=False, server_default=text(f"'{default}'::jsonb"))


def _float(name: str, **more: Any) -> Column[float]:  # noqa: ANN401
    return Column(name, Double, nullable=more.pop("nullable", False), **more)


def _serial(name: str = "id") -> Column[int]:
    return Column(name, BigInteger, Identity(always=False), primary_key=True)


def _site() -> Column[str]:
    return _text("site_id")


# What there is: sites, shops, menus, people -----------------------------------------------

sites = Table(
    "sites",
    metadata,
    _text("site_id", primary_key=True),
    _text("name"),
    _text("time_zone", server_default="Asia/Shanghai"),
    _float("speed", server_default="1"),
    _json("fee_rule"),
    _json("timers"),
    _flag("always_open"),
)
zones = Table(
    "zones",
    metadata,
    _text("site_id", primary_key=True),
    _text("zone_id", primary_key=True),
    Column("epoch", BigInteger, nullable=False, server_default="0"),
)
merchants = Table(
    "merchants",
    metadata,
    _text("site_id", primary_key=True),
    _text("merchant_id", primary_key=True),
    _text("name"),
)
channel_accounts = Table(
    "channel_accounts",
    metadata,
    _text("account_id", primary_key=True),
    _site(),
    _text("merchant_id"),
    _text("channel"),
    _text("mchid"),
    _text("appid"),
    _text("keys_ref"),
)
shops = Table(
    "shops",
    metadata,
    _text("shop_id", primary_key=True),
    _site(),
    _text("merchant_id"),
    _text("zone_id"),
    _text("account_id"),
    _text("name"),
    _float("lat"),
    _float("lng"),
    _json("opening_hours", "[]"),
    _json("delivery_area", "[]"),
    _int("prep_minutes", server_default="15"),
    _flag("open", default=True),
    _flag("paused"),
    _flag("auto_accept"),
    Index(None, "site_id"),
    Index(None, "merchant_id"),
)
items = Table(
    "items",
    metadata,
    _text("shop_id", primary_key=True),
    _text("item_id", primary_key=True),
    _site(),
    _text("name"),
    _fen("price_fen"),
    _fen("packing_fen", server_default="0"),
    _json("options", "[]"),
    _flag("available", default=True),
    _int("stock", nullable=True),
    CheckConstraint("price_fen >= 0 AND packing_fen >= 0", name="price"),
    CheckConstraint("stock >= 0", name="stock"),
)
customers = Table(
    "customers",
    metadata,
    _text("site_id", primary_key=True),
    _text("customer_id", primary_key=True),
    _flag("payer_linked"),
)
addresses = Table(
    "addresses",
    metadata,
    _text("address_id", primary_key=True),
    _site(),
    _text("customer_id"),
    _at("created_at", server_default=NOW),
    Index(None, "site_id", "customer_id"),
)
riders = Table(
    "riders",
    metadata,
    _text("site_id", primary_key=True),
    _text("rider_id", primary_key=True),
    _text("zone_id"),
    _flag("on_shift"),
    _float("lat", nullable=True),
    _float("lng", nullable=True),
    _at("seen_at"),
)
shifts = Table(
    "shifts",
    metadata,
    _serial(),
    _site(),
    _text("rider_id"),
    _at("started_at", nullable=False),
    _at("ended_at"),
    Index(None, "site_id", "rider_id"),
)

# What is asked for: quotes, orders, their lines, events and timeline --------------------------

quotes = Table(
    "quotes",
    metadata,
    _text("quote_id", primary_key=True),
    _site(),
    _text("customer_id"),
    _text("shop_id"),
    _text("address_id"),
    _text("fulfilment"),
    _at("window_from"),
    _at("window_to"),
    _json("wishes", "[]"),
    _json("lines", "[]"),
    _fen("goods_fen"),
    _fen("packing_fen"),
    _fen("delivery_fee_fen"),
    _fen("total_fen"),
    _int("distance_meters"),
    _int("promise_minutes"),
    _at("expires_at", nullable=False),
)
orders = Table(
    "orders",
    metadata,
    _text("order_id", primary_key=True),
    _site(),
    _text("customer_id"),
    _text("merchant_id"),
    _text("shop_id"),
    _text("zone_id"),
    _text("quote_id"),
    _text("address_id"),
    _text("status"),
    _text("payment"),
    _text("kitchen"),
    _flag("held"),
    _text("after_sale", server_default="none"),
    _text("close_reason", server_default=""),
    _text("fulfilment"),
    _at("window_from"),
    _at("window_to"),
    _int("tableware"),
    _text("business_day"),
    _int("number"),
    _fen("goods_fen"),
    _fen("packing_fen"),
    _fen("delivery_fee_fen"),
    _fen("total_fen"),
    _fen("paid_fen", server_default="0"),
    _fen("refunded_fen", server_default="0"),
    _json("timers"),
    _at("pay_by", nullable=False),
    _at("placed_at", nullable=False, server_default=NOW),
    _at("paid_at"),
    _at("accepted_at"),
    _at("promised_at"),
    _at("ended_at"),
    Column("changed_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    CheckConstraint("refunded_fen <= paid_fen", name="refunds"),
    UniqueConstraint("shop_id", "business_day", "number"),
    Index(None, "site_id", "customer_id", "placed_at"),
    Index(None, "merchant_id", "placed_at"),
    Index("ix_orders_open", "changed_at", postgresql_where=text("ended_at IS NULL")),
)
order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Text, ForeignKey("orders.order_id"), primary_key=True),
    _int("line_no", primary_key=True),
    _site(),
    _text("item_id"),
    _text("name"),
    _int("quantity"),
    _json("choices"),
    _fen("unit_fen"),
    _fen("packing_fen"),
    _fen("total_fen"),
)
shop_days = Table(
    "shop_days",
    metadata,
    _text("shop_id", primary_key=True),
    _text("business_day", primary_key=True),
    _site(),
    _int("last_number"),
)
order_streams = Table(
    "order_streams",
    metadata,
    _text("order_id", primary_key=True),
    _site(),
    _text("customer_id"),
    _text("merchant_id"),
    _text("shop_id"),
    _int("seq", server_default="0"),
    _json("view"),
)
order_events = Table(
    "order_events",
    metadata,
    _text("order_id", primary_key=True),
    _int("seq", primary_key=True),
    _site(),
    _text("type"),
    _text("key"),
    _json("data"),
    _int("v", server_default="1"),
    _text("actor"),
    _text("request_id"),
    _at("at", nullable=False, server_default=NOW),
    UniqueConstraint("order_id", "key"),
)
order_timeline = Table(
    "order_timeline",
    metadata,
    _serial(),
    _site(),
    _text("order_id"),
    _text("kind"),
    _text("key"),
    _json("data"),
    _int("v", server_default="1"),
    _text("actor"),
    _text("request_id"),
    _at("at", nullable=False, server_default=NOW),
    UniqueConstraint("order_id", "key"),
)
item_leases = Table(
    "item_leases",
    metadata,
    _text("order_id", primary_key=True),
    _text("item_id", primary_key=True),
    _site(),
    _text("shop_id"),
    _int("quantity"),
    _text("state"),
    CheckConstraint("state IN ('held', 'released')", name="state"),
)
request_keys = Table(
    "request_keys",
    metadata,
    _text("site_id", primary_key=True),
    _text("subject", primary_key=True),
    _text("key", primary_key=True),
    _text("body_hash"),
    _text("order_id", server_default=""),
    _int("status_code", nullable=True),
    Column("answer", LargeBinary, nullable=True),
    _at("created_at", nullable=False, server_default=NOW),
)

# Money at the gateway ------------------------------------------------------------------------

payment_attempts = Table(
    "payment_attempts",
    metadata,
    _text("out_trade_no", primary_key=True),
    _site(),
    _text("order_id"),
    _int("attempt"),
    _text("account_id"),
    _text("channel"),
    _text("method"),
    _fen("amount_fen"),
    _text("state"),
    _text("prepay_id", server_default=""),
    _text("code_url", server_default=""),
    _text("transaction_id", server_default=""),
    _text("failure_code", server_default=""),
    _at("expires_at", nullable=False),
    _at("created_at", nullable=False, server_default=NOW),
    _at("paid_at"),
    UniqueConstraint("order_id", "attempt"),
)
refunds = Table(
    "refunds",
    metadata,
    _text("out_refund_no", primary_key=True),
    _site(),
    _text("order_id"),
    _text("out_trade_no"),
    _text("account_id"),
    _text("cause"),
    _text("source"),
    _text("reason"),
    _fen("amount_fen"),
    _fen("total_fen"),
    _text("state"),
    _text("refund_id", server_default=""),
    _at("created_at", nullable=False, server_default=NOW),
    _at("ended_at"),
    UniqueConstraint("order_id", "cause"),
    CheckConstraint("amount_fen > 0 AND amount_fen <= total_fen", name="amount"),
    Index("ix_refunds_open", "created_at", postgresql_where=text("ended_at IS NULL")),
)
inbox = Table(
    "inbox",
    metadata,
    _serial(),
    _text("channel"),
    _text("account_id"),
    _text("event_id"),
    _text("site_id"),
    _text("order_id"),
    _text("kind"),
    _json("fact"),
    Column("body", LargeBinary, nullable=False),
    _at("received_at", nullable=False, server_default=NOW),
    _at("applied_at"),
    _text("outcome", server_default=""),
    UniqueConstraint("channel", "account_id", "event_id"),
    Index("ix_inbox_unapplied", "received_at", postgresql_where=text("applied_at IS NULL")),
)
quarantine = Table(
    "quarantine",
    metadata,
    _serial(),
    _text("channel"),
    _text("account_id"),
    _text("reason"),
    Column("body", LargeBinary, nullable=False),
    _at("received_at", nullable=False, server_default=NOW),
)

# Riders' work ------------------------------------------------------------------------------------

delivery_tasks = Table(
    "delivery_tasks",
    metadata,
    _text("task_id", primary_key=True),
    _site(),
    _text("zone_id"),
    _text("order_id", unique=True),
    _text("shop_id"),
    _text("state"),
    _text("rider_id", server_default=""),
    _int("token", server_default="0"),
    _int("proof_tries", server_default="0"),
    _at("held_at"),
    _flag("support_asked"),
    _flag("gave_up"),
    _float("offer_seconds"),
    _float("rider_silence_seconds"),
    _at("food_ready_at", nullable=False),
    _at("search_from", nullable=False),
    _at("support_at", nullable=False),
    _at("give_up_at", nullable=False),
    _at("promised_at", nullable=False),
    _at("assigned_at"),
    _at("picked_up_at"),
    _at("delivered_at"),
    _at("changed_at", nullable=False, server_default=NOW),
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
    _serial("offer_id"),
    _site(),
    _text("task_id"),
    _text("rider_id"),
    _int("token"),
    _text("state"),
    _at("made_at", nullable=False, server_default=NOW),
    _at("expires_at", nullable=False),
    _at("answered_at"),
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

# What must still be told, and what people must look at ---------------------------------------------

outbox = Table(
    "outbox",
    metadata,
    _serial(),
    _site(),
    _text("order_id"),
    _int("seq"),
    _json("message"),
)
facts = Table(
    "facts",
    metadata,
    _serial(),
    _site(),
    _text("order_id"),
    _text("workflow_id"),
    _text("name"),
    _json("body"),
    _int("tries", server_default="0"),
    _at("due_at", nullable=False, server_default=NOW),
    _at("confirmed_at"),
    Index("ix_facts_due", "due_at", postgresql_where=text("confirmed_at IS NULL")),
)
tickets = Table(
    "tickets",
    metadata,
    _serial("ticket_id"),
    _site(),
    _text("order_id"),
    _text("kind"),
    _text("key"),
    _text("owner", server_default="support"),
    _text("state", server_default="open"),
    _json("data"),
    _at("created_at", nullable=False, server_default=NOW),
    _at("due_at", nullable=False),
    UniqueConstraint("order_id", "key"),
)
