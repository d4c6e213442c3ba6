"""Tips after delivery: payments for an order that are not the order's."""

import sqlalchemy as sa
from alembic import op

revision = "0024_tips"
down_revision = "0023_vehicles"

TABLE = "payment_attempts"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("purpose", sa.Text(), server_default="order", nullable=False))
    op.drop_constraint(op.f("uq_payment_attempts_order_id_attempt"), TABLE)
    op.create_unique_constraint(
        op.f("uq_payment_attempts_order_id_purpose_attempt"),
        TABLE,
        ["order_id", "purpose", "attempt"],
    )
    op.create_index(
        "ix_payment_attempts_tips",
        TABLE,
        ["created_at"],
        postgresql_where=sa.text(
            "purpose = 'tip' AND state IN ('created', 'unknown', 'opened', 'watched')"
        ),
    )
