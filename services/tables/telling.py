"""What must still be told."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Table,
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
kafka_outbox = Table(
    "kafka_outbox",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
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
