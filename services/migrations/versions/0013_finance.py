"""Finance: merchants are paid out too and what they owe is set off; splits' gateway numbers."""

from alembic import op

revision = "0013_finance"
down_revision = "0012_figures"

# The version before this one goes on proposing riders' lines meanwhile: what it leaves out has a
# default.
PAYOUTS = """
ALTER TABLE merchants ADD COLUMN payee text NOT NULL DEFAULT '';
ALTER TABLE payout_lines
    ALTER COLUMN rider_id SET DEFAULT '',
    ADD COLUMN merchant_id text NOT NULL DEFAULT '',
    ADD COLUMN set_off_fen bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT ck_payout_lines_amount,
    ADD CONSTRAINT ck_payout_lines_amount CHECK (amount_fen > 0 AND set_off_fen >= 0),
    ADD CONSTRAINT ck_payout_lines_one_party CHECK ((rider_id = '') <> (merchant_id = ''));
DROP INDEX ix_payout_lines_open;
CREATE UNIQUE INDEX ix_payout_lines_open ON payout_lines (site_id, rider_id, merchant_id)
    WHERE state IN ('proposed', 'sent');
"""

OWES = """
UPDATE ledger_accounts a SET keeping = 'locked', balance_fen = coalesce((
    SELECT sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END)
    FROM ledger_entries e
    WHERE (e.site_id, e.account, e.currency) = (a.site_id, a.code, a.currency)), 0)
WHERE a.code LIKE 'merchant\\:%\\:owes' AND a.keeping = 'derived';
"""

NUMBERS = """
ALTER TABLE splits ADD COLUMN gateway_number text NOT NULL DEFAULT '';
ALTER TABLE split_returns ADD COLUMN gateway_number text NOT NULL DEFAULT '';
"""


def upgrade() -> None:
    for statement in (PAYOUTS, OWES, NUMBERS):
        op.execute(statement)
