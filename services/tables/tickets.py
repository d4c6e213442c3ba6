"""What people must look at: tickets, what was done to each, and the photos that prove something."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    LargeBinary,
    Table,
    UniqueConstraint,
    text,
)

from services.db import metadata
from services.tables.columns import (
    NOW,
    at_column,
    json_column,
    serial_column,
    site_column,
    text_column,
)

tickets = Table(
    "tickets",
    metadata,
    serial_column("ticket_id"),
    site_column(),
    text_column("order_id"),
    text_column("kind"),
    text_column("key"),
    text_column("customer_id", server_default=""),
    text_column("owner", server_default="support"),
    text_column("assignee", server_default=""),
    text_column("state", server_default="open"),
    text_column("outcome", server_default=""),
    json_column("data"),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("due_at", nullable=False),
    at_column("followed_at"),
    at_column("resolved_at"),
    UniqueConstraint("order_id", "key"),
    Index(None, "site_id", "ticket_id"),
    Index(
        "ix_tickets_customer",
        "site_id",
        "customer_id",
        "ticket_id",
        postgresql_where=text("customer_id <> ''"),
    ),
    Index("ix_tickets_open", "ticket_id", postgresql_where=text("state <> 'resolved'")),
)
ticket_entries = Table(
    "ticket_entries",
    metadata,
    serial_column(),
    site_column(),
    Column("ticket_id", BigInteger, ForeignKey("tickets.ticket_id"), nullable=False),
    text_column("kind"),
    text_column("key"),
    json_column("data"),
    text_column("actor"),
    text_column("request_id"),
    at_column("at", nullable=False, server_default=NOW),
    # What the ticket's channel is to hear of it: waiting, then told or refused.
    text_column("channel_heard", server_default=""),
    UniqueConstraint("ticket_id", "key"),
    Index(
        "ix_ticket_entries_waiting",
        "ticket_id",
        postgresql_where=text("channel_heard = 'waiting'"),
    ),
)
ticket_evidence = Table(
    "ticket_evidence",
    metadata,
    text_column("evidence_id", primary_key=True),
    site_column(),
    Column("ticket_id", BigInteger, ForeignKey("tickets.ticket_id"), nullable=False),
    text_column("subject"),
    text_column("media_type"),
    Column("sealed", LargeBinary, nullable=False),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("added_at"),
    Index(None, "ticket_id"),
    Index("ix_ticket_evidence_loose", "created_at", postgresql_where=text("added_at IS NULL")),
)
