"""Photos that prove a hand-over are deleted on a date, which the order's end gives them."""

import sqlalchemy as sa
from alembic import op

revision = "0022_photos"
down_revision = "0021_posting"


def upgrade() -> None:
    op.add_column("delivery_photos", sa.Column("delete_at", sa.DateTime(timezone=True)))
    op.create_index(op.f("ix_delivery_photos_delete_at"), "delivery_photos", ["delete_at"])
