"""Plans: a zone's rules, what a task needs and a rider has, and who wants nothing of whom."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020_plans"
down_revision = "0019_streams"


def upgrade() -> None:
    op.add_column("zones", _json("rules", "{}"))
    op.add_column("items", _count("load", 0))
    op.add_column("items", _json("needs", "[]"))
    op.add_column("delivery_tasks", _count("load", 1))
    op.add_column("delivery_tasks", _json("needs", "[]"))
    op.add_column("delivery_tasks", _count("stop", 0))
    op.add_column("delivery_tasks", _flag("settled"))
    op.add_column(
        "delivery_tasks",
        sa.Column("bonus_fen", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.add_column("riders", _json("skills", "[]"))
    op.add_column("riders", _count("room", 5))
    op.add_column("riders", _json("area", "[]"))
    op.add_column("riders", _flag("probation"))
    op.create_table(
        "blocked_pairs",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("rider_id", sa.Text(), nullable=False),
        sa.Column("other", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site_id", "rider_id", "other", name=op.f("pk_blocked_pairs")),
    )


def _count(name: str, default: int) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), server_default=str(default), nullable=False)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), server_default="false", nullable=False)


def _json(name: str, default: str) -> sa.Column[Any]:
    kind = postgresql.JSONB(astext_type=sa.Text())
    return sa.Column(name, kind, server_default=sa.text(f"'{default}'::jsonb"), nullable=False)
