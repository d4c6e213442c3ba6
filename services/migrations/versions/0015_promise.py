"""Promises: a quote keeps its window, its reasons, and what it was foretold from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015_promise"
down_revision = "0014_desk"


def upgrade() -> None:
    op.add_column(
        "quotes",
        sa.Column(
            "promise",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
