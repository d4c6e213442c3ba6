"""The double-entry ledger: accounts, journals, entries and the one function that posts."""

from alembic import op

revision = "0001_ledger"
down_revision = None

TABLES = """
CREATE TABLE ledger_accounts (
    site_id text NOT NULL,
    code text NOT NULL,
    currency text NOT NULL,
    normal_side text NOT NULL,
    keeping text NOT NULL,
    may_go_negative boolean NOT NULL,
    balance_fen bigint,
    CONSTRAINT pk_ledger_accounts PRIMARY KEY (site_id, code, currency),
    CONSTRAINT ck_ledger_accounts_normal_side CHECK (normal_side IN ('D', 'C')),
    CONSTRAINT ck_ledger_accounts_keeping CHECK (keeping IN ('locked', 'derived')),
    CONSTRAINT ck_ledger_accounts_balance_if_locked
        CHECK ((keeping = 'locked') = (balance_fen IS NOT NULL)),
    CONSTRAINT ck_ledger_accounts_overdraft
        CHECK (may_go_negative OR balance_fen IS NULL OR balance_fen >= 0)
);

CREATE TABLE ledger_journals (
    id bigserial,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    outcome text NOT NULL,
    reason text,
    event text NOT NULL,
    order_id text NOT NULL,
    site_id text NOT NULL,
    currency text NOT NULL,
    posted_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_ledger_journals PRIMARY KEY (id),
    CONSTRAINT uq_ledger_journals_key UNIQUE (key),
    CONSTRAINT ck_ledger_journals_outcome CHECK (outcome IN ('applied', 'declined')),
    CONSTRAINT ck_ledger_journals_reason_if_declined
        CHECK ((outcome = 'declined') = (reason IS NOT NULL))
);
CREATE INDEX ix_ledger_journals_site_id_order_id ON ledger_journals (site_id, order_id);

CREATE TABLE ledger_entries (
    journal_id bigint NOT NULL,
    line smallint NOT NULL,
    site_id text NOT NULL,
    account text NOT NULL,
    currency text NOT NULL,
    side text NOT NULL,
    amount_fen bigint NOT NULL,
    CONSTRAINT pk_ledger_entries PRIMARY KEY (journal_id, line),
    CONSTRAINT fk_ledger_entries_journal_id FOREIGN KEY (journal_id) REFERENCES ledger_journals,
    CONSTRAINT fk_ledger_entries_site_id
        FOREIGN KEY (site_id, account, currency) REFERENCES ledger_accounts,
    CONSTRAINT ck_ledger_entries_side CHECK (side IN ('D', 'C')),
    CONSTRAINT ck_ledger_entries_amount CHECK (amount_fen > 0)
);
CREATE INDEX ix_ledger_entries_site_id_account_currency
    ON ledger_entries (site_id, account, currency);
"""

APPEND_ONLY = """
CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: post a reversing journal', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_journals
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
"""

# Deferred, so that a journal's legs may come one by one: what counts is what commits.
BALANCED = """
CREATE FUNCTION ledger_require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
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
           bool_and(site_id = v_journal.site_id AND currency = v_journal.currency) AS at_home
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

CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_journals
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_require_balance();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger_require_balance();
"""

# The key's row is taken first, then accounts in order of their codes: two posts never deadlock.
# What a declined journal did is rolled back by the inner block; its key and reason are kept.
POST = """
CREATE FUNCTION ledger_post(
    p_key text, p_site_id text, p_order_id text, p_event text, p_currency text,
    p_accounts jsonb, p_entries jsonb
) RETURNS TABLE (journal_id bigint, status text, reason text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    v_hash bytea := sha256(convert_to(
        jsonb_build_array(p_site_id, p_order_id, p_event, p_currency, p_entries)::text, 'UTF8'));
    v_id bigint;
    v_known ledger_journals;
    v_leg record;
    v_constraint text;
BEGIN
    BEGIN
        INSERT INTO ledger_journals (key, body_hash, outcome, event, order_id, site_id, currency)
        VALUES (p_key, v_hash, 'applied', p_event, p_order_id, p_site_id, p_currency)
        ON CONFLICT (key) DO NOTHING RETURNING id INTO v_id;
        IF FOUND THEN
            INSERT INTO ledger_accounts
                (site_id, code, currency, normal_side, keeping, may_go_negative, balance_fen)
            SELECT p_site_id, code, p_currency, normal_side, keeping, may_go_negative,
                   CASE keeping WHEN 'locked' THEN 0 END
              FROM jsonb_to_recordset(p_accounts)
                AS (code text, normal_side text, keeping text, may_go_negative boolean)
             ORDER BY code
            ON CONFLICT (site_id, code, currency) DO NOTHING;

            INSERT INTO ledger_entries
                (journal_id, line, site_id, account, currency, side, amount_fen)
            SELECT v_id, line, p_site_id, leg ->> 'account', p_currency, leg ->> 'side',
                   (leg ->> 'amount_fen')::bigint
              FROM jsonb_array_elements(p_entries) WITH ORDINALITY AS legs (leg, line);

            FOR v_leg IN
                SELECT a.code, sum(CASE e.side WHEN a.normal_side THEN e.amount_fen
                                   ELSE -e.amount_fen END)::bigint AS change_fen
                  FROM ledger_entries e
                  JOIN ledger_accounts a
                    ON (a.site_id, a.code, a.currency) = (e.site_id, e.account, e.currency)
                 WHERE e.journal_id = v_id AND a.keeping = 'locked'
                 GROUP BY a.code ORDER BY a.code
            LOOP
                UPDATE ledger_accounts SET balance_fen = balance_fen + v_leg.change_fen
                 WHERE site_id = p_site_id AND code = v_leg.code AND currency = p_currency;
            END LOOP;
            RETURN QUERY SELECT v_id, 'applied', NULL::text;
            RETURN;
        END IF;
    EXCEPTION WHEN check_violation THEN
        GET STACKED DIAGNOSTICS v_constraint = CONSTRAINT_NAME;
        IF v_constraint <> 'ck_ledger_accounts_overdraft' THEN
            RAISE;
        END IF;
        INSERT INTO ledger_journals
            (key, body_hash, outcome, reason, event, order_id, site_id, currency)
        VALUES (p_key, v_hash, 'declined', 'overdraft', p_event, p_order_id, p_site_id, p_currency)
        ON CONFLICT (key) DO NOTHING RETURNING id INTO v_id;
        IF FOUND THEN
            RETURN QUERY SELECT v_id, 'declined', 'overdraft';
            RETURN;
        END IF;
    END;

    SELECT * INTO STRICT v_known FROM ledger_journals WHERE key = p_key;
    IF v_known.body_hash <> v_hash THEN
        RAISE EXCEPTION 'key_reused' USING ERRCODE = 'ZL001',
            DETAIL = format('journal %s was %s with another body', p_key, v_known.outcome);
    END IF;
    RETURN QUERY SELECT v_known.id,
        CASE v_known.outcome WHEN 'applied' THEN 'already' ELSE 'declined' END, v_known.reason;
END
$$;
"""


def upgrade() -> None:
    for statements in (TABLES, APPEND_ONLY, BALANCED, POST):
        op.execute(statements)
