"""A post finds each account by its key, whatever the planner believes of the tables."""

from alembic import op

revision = "0021_posting"
down_revision = "0020_plans"

# As in 0001, but balances follow the legs that came in, not a join of the stored ones, which was planned
# as a scan of all accounts wherever the tables had not been analyzed since they grew.
POST = """
CREATE OR REPLACE FUNCTION ledger_post(
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
                SELECT leg ->> 'account' AS account,
                       sum(CASE leg ->> 'side' WHEN 'D' THEN 1 ELSE -1 END
                           * (leg ->> 'amount_fen')::bigint)::bigint AS debit_fen
                  FROM jsonb_array_elements(p_entries) AS legs (leg)
                 GROUP BY 1 ORDER BY 1
            LOOP
                UPDATE ledger_accounts
                   SET balance_fen = balance_fen
                       + CASE normal_side WHEN 'D' THEN v_leg.debit_fen ELSE -v_leg.debit_fen END
                 WHERE site_id = p_site_id AND code = v_leg.account AND currency = p_currency
                   AND keeping = 'locked';
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
    op.execute(POST)
