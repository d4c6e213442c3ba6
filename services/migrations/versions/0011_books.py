"""Books that close: entries dated, statements of days, closed periods, payouts."""

import sqlalchemy as sa
from alembic import op

revision = "0011_books"
down_revision = "0010_settlement"

# The version before this one goes on posting meanwhile: what it leaves out has a default, and an
# entry's default is its journal's, since both are of one transaction.
DATED = """
ALTER TABLE ledger_entries ADD COLUMN posted_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE ledger_entries DISABLE TRIGGER append_only;
UPDATE ledger_entries e SET posted_at = j.posted_at FROM ledger_journals j WHERE j.id = e.journal_id;
ALTER TABLE ledger_entries ENABLE TRIGGER append_only;
DROP INDEX ix_ledger_entries_site_id_account_currency;
CREATE INDEX ix_ledger_entries_site_id_account_currency_posted_at
    ON ledger_entries (site_id, account, currency, posted_at);
"""

CLOSED = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statements
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_periods
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_period_totals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();

-- Whoever posts shares the lock of the journal's business day (China's) until its commit; who closes
-- the day has it alone. So a day's sums hold every journal of it, or that journal is refused.
CREATE FUNCTION ledger_day_lock(p_site_id text, p_at timestamptz) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT hashtextextended(
        'books/' || p_site_id || '/' || floor((extract(epoch FROM p_at) + 28800) / 86400)::bigint, 0)
$$;

CREATE FUNCTION ledger_require_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(ledger_day_lock(NEW.site_id, NEW.posted_at));
    IF EXISTS (SELECT FROM ledger_periods
                WHERE site_id = NEW.site_id AND until > NEW.posted_at) THEN
        RAISE EXCEPTION 'journal % is dated into a closed period: post one that is dated now',
            NEW.key USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_period';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER open_period AFTER INSERT ON ledger_journals
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_require_open();
"""

# As in 0001, and each entry is dated as its journal is.
BALANCED = """
CREATE OR REPLACE FUNCTION ledger_require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_id bigint;
    v_journal ledger_journals;
    v_legs record;
BEGIN
    IF TG_TABLE_NAME = 'ledger_journals' THEN
        v_id := NEW.id;
    ELSE
        v_id := NEW.journal_id;
    END IF;
    SELECT * INTO v_journal FROM ledger_journals WHERE id = v_id;
    SELECT count(*) FILTER (WHERE side = 'D') AS debits,
           count(*) FILTER (WHERE side = 'C') AS credits,
           sum(CASE side WHEN 'D' THEN amount_fen ELSE -amount_fen END) AS difference_fen,
           bool_and(site_id = v_journal.site_id AND currency = v_journal.currency
                    AND posted_at = v_journal.posted_at) AS at_home
      INTO v_legs FROM ledger_entries WHERE journal_id = v_id;
    IF v_journal.outcome = 'applied'
       AND v_legs.debits > 0 AND v_legs.credits > 0
       AND v_legs.difference_fen = 0 AND v_legs.at_home THEN
        RETURN NULL;
    END IF;
    IF v_journal.outcome = 'declined' AND v_legs.debits + v_legs.credits = 0 THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'journal % does not balance: % debits, % credits, difference % fen',
        v_journal.key, v_legs.debits, v_legs.credits, v_legs.difference_fen
        USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balance';
END
$$;
"""

# What an account moved in a time, and a fingerprint of it; `ledger_balance` is debits less credits
# of all that came before a moment, from the last closed period on.
READ = """
CREATE FUNCTION ledger_movement(
    p_site_id text, p_account text, p_currency text, p_since timestamptz, p_until timestamptz
) RETURNS TABLE (debit_fen bigint, credit_fen bigint, lines bigint, sha256 text)
LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(amount_fen) FILTER (WHERE side = 'D'), 0)::bigint,
           coalesce(sum(amount_fen) FILTER (WHERE side = 'C'), 0)::bigint,
           count(*),
           encode(sha256(convert_to(coalesce(string_agg(
               concat_ws(' ', journal_id, line, side, amount_fen), E'\\n'
               ORDER BY posted_at, journal_id, line), ''), 'UTF8')), 'hex')
      FROM ledger_entries
     WHERE site_id = p_site_id AND account = p_account AND currency = p_currency
       AND posted_at >= p_since AND posted_at < p_until
$$;

CREATE FUNCTION ledger_balance(
    p_site_id text, p_account text, p_currency text, p_at timestamptz
) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(closed.balance_fen, 0) + moved.debit_fen - moved.credit_fen
      FROM (SELECT) AS one
      LEFT JOIN LATERAL (
          SELECT until, balance_fen FROM ledger_period_totals
           WHERE site_id = p_site_id AND account = p_account AND currency = p_currency
             AND until <= p_at
           ORDER BY until DESC LIMIT 1) AS closed ON true
     CROSS JOIN LATERAL ledger_movement(
          p_site_id, p_account, p_currency, coalesce(closed.until, '-infinity'), p_at) AS moved
$$;
"""


def upgrade() -> None:
    op.execute(DATED)
    op.execute(BALANCED)
    _make_statements()
    _make_periods()
    op.execute(CLOSED)
    op.execute(READ)
    _make_payouts()


def _make_statements() -> None:
    op.create_table(
        "statements",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("party", sa.Text(), nullable=False),
        sa.Column("party_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("opening_fen", sa.BigInteger(), nullable=False),
        sa.Column("in_fen", sa.BigInteger(), nullable=False),
        sa.Column("out_fen", sa.BigInteger(), nullable=False),
        sa.Column("closing_fen", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        _at("kept_at", now=True),
        sa.CheckConstraint(
            "opening_fen + in_fen - out_fen = closing_fen", name=op.f("ck_statements_closing")
        ),
        sa.PrimaryKeyConstraint("site_id", "party", "party_id", "day", name=op.f("pk_statements")),
    )


def _make_periods() -> None:
    op.create_table(
        "ledger_periods",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_by", sa.Text(), nullable=False),
        _at("closed_at", now=True),
        sa.PrimaryKeyConstraint("site_id", "until", name=op.f("pk_ledger_periods")),
    )
    op.create_table(
        "ledger_period_totals",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("debit_fen", sa.BigInteger(), nullable=False),
        sa.Column("credit_fen", sa.BigInteger(), nullable=False),
        sa.Column("balance_fen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site_id", "until"],
            ["ledger_periods.site_id", "ledger_periods.until"],
            name=op.f("fk_ledger_period_totals_site_id"),
        ),
        sa.PrimaryKeyConstraint(
            "site_id", "account", "currency", "until", name=op.f("pk_ledger_period_totals")
        ),
    )


def _make_payouts() -> None:
    op.add_column("riders", sa.Column("payee", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "payout_batches",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="proposed", nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        _at("proposed_at", now=True),
        _at("decided_at"),
        _at("ended_at"),
        sa.CheckConstraint("decided_by <> proposed_by", name=op.f("ck_payout_batches_two_persons")),
        sa.CheckConstraint(
            "state IN ('proposed', 'declined', 'approved', 'sent', 'finished')",
            name=op.f("ck_payout_batches_state"),
        ),
        sa.PrimaryKeyConstraint("batch_id", name=op.f("pk_payout_batches")),
    )
    op.create_index(
        op.f("ix_payout_batches_site_id_proposed_at"), "payout_batches", ["site_id", "proposed_at"]
    )
    op.create_index(
        "ix_payout_batches_open",
        "payout_batches",
        ["decided_at"],
        postgresql_where=sa.text("state IN ('approved', 'sent')"),
    )
    op.create_table(
        "payout_lines",
        sa.Column("line_id", sa.Text(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("rider_id", sa.Text(), nullable=False),
        sa.Column("payee", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default="proposed", nullable=False),
        sa.Column("transfer_id", sa.Text(), server_default="", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        _at("ended_at"),
        sa.CheckConstraint("amount_fen > 0", name=op.f("ck_payout_lines_amount")),
        sa.CheckConstraint(
            "state IN ('proposed', 'dropped', 'sent', 'success', 'failed')",
            name=op.f("ck_payout_lines_state"),
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["payout_batches.batch_id"], name=op.f("fk_payout_lines_batch_id")
        ),
        sa.PrimaryKeyConstraint("line_id", name=op.f("pk_payout_lines")),
    )
    op.create_index(op.f("ix_payout_lines_batch_id"), "payout_lines", ["batch_id"])
    # A rider has one line under way, however many batches are proposed at once.
    op.create_index(
        "ix_payout_lines_open",
        "payout_lines",
        ["site_id", "rider_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('proposed', 'sent')"),
    )


def _at(name: str, *, now: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=not now)
