"""Any channel's handles of an open payment, and what was wished for it, as documents."""

from alembic import op

revision = "0004_channels"
down_revision = "0003_spine"

HANDLES = """
ALTER TABLE payment_attempts ADD handles jsonb NOT NULL DEFAULT '{}'::jsonb;
UPDATE payment_attempts SET handles = jsonb_strip_nulls(jsonb_build_object(
    'prepay_id', nullif(prepay_id, ''), 'code_url', nullif(code_url, '')));
ALTER TABLE payment_attempts DROP prepay_id, DROP code_url;
ALTER TABLE payment_attempts ADD wishes jsonb NOT NULL DEFAULT '{}'::jsonb;
ALTER TABLE customers DROP payer_linked;
ALTER TABLE shops DROP account_id;
"""


def upgrade() -> None:
    op.execute(HANDLES)
