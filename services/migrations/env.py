"""Alembic's entry: one locked connection, each revision a transaction, no offline mode."""

from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationInfo

from services import ledger, personal, tables
from services.db import metadata
from services.migrate import locked_connection, say

REGISTERED = (ledger, personal, tables)
"""Modules that put their tables into `metadata`, which `alembic check` compares."""


def announce(*_: object, **applied: Any) -> None:  # noqa: ANN401
    """One line per applied revision."""
    step: MigrationInfo = applied["step"]
    say(f"applied {', '.join(step.up_revision_ids)}")


with locked_connection(context.config.attributes.get("database_url")) as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        on_version_apply=announce,
    )
    with context.begin_transaction():
        context.run_migrations()
