"""What must still be told, and what people must look at."""

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
    int_column,
    json_column,
    serial_column,
    site_column,
    text_column,
)

outbox = Table(
    "outbox",
    metadata,
    serial_column(),
    site_column(),
    text_column("order_id"),
    int_column("seq"),
    json_column("message"),
)
facts = Table(
    "facts",
    metadata,
    serial_column(),
    site_column(),
    text_column("order_id"),
    text_column("workflow_id"),
    text_column("name"),
    json_column("body"),
    int_column("tries", server_default="0"),
    at_column("due_at", nullable=False, server_default=NOW),
    at_column("confirmed_at"),
    Index("ix_facts_due", "due_at", postgresql_where=text("confirmed_at IS NULL")),
)
tickets = Table(
    "tickets",
    metadata,
    serial_column("ticket_id"),
    site_column(),
    text_column("order_id"),
    text_column("kind"),
    text_column("key"),
    text_column("owner", server_default="support"),
    text_column("state", server_default="open"),
    json_column("data"),
    at_column("created_at", nullable=False, server_default=NOW),
    at_column("due_at", nullable=False),
    UniqueConstraint("order_id", "key"),
)
