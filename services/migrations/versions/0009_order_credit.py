"""Orders paid by platform credit: what of them is credit, what of a refund goes back as credit."""

import sqlalchemy as sa
from alembic import op

revision = "0009_order_credit"
down_revision = "0008_after_sale"


def upgrade() -> None:
    for table in ("orders", "refunds"):
        op.add_column(
            table, sa.Column("credit_fen", sa.BigInteger(), server_default="0", nullable=False)
        )
    op.create_check_constraint(
        op.f("ck_orders_credit"), "orders", "credit_fen BETWEEN 0 AND total_fen"
    )
    op.drop_constraint(op.f("ck_refunds_amount"), "refunds")
    op.create_check_constraint(
        op.f("ck_refunds_amount"),
        "refunds",
        "amount_fen BETWEEN 0 AND total_fen AND credit_fen >= 0 AND amount_fen + credit_fen > 0",
    )
    op.add_column(
        "credit_grants", sa.Column("granted_by", sa.Text(), server_default="", nullable=False)
    )
