"""Platform credit: grants that expire, holds on them for orders, refunds back to them."""

from alembic import op

revision = "0005_credit"
down_revision = "0004_channels"

TABLES = """
CREATE TABLE credit_grants (
    grant_id text NOT NULL,
    site_id text NOT NULL,
    customer_id text NOT NULL,
    order_id text NOT NULL DEFAULT '',
    reason text NOT NULL,
    amount_fen bigint NOT NULL,
    left_fen bigint NOT NULL,
    expired_fen bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_credit_grants PRIMARY KEY (grant_id),
    CONSTRAINT ck_credit_grants_amount CHECK (amount_fen > 0),
    CONSTRAINT ck_credit_grants_left
        CHECK (left_fen >= 0 AND expired_fen >= 0 AND left_fen + expired_fen <= amount_fen)
);
CREATE INDEX ix_credit_grants_spendable
    ON credit_grants (site_id, customer_id, expires_at) WHERE left_fen > 0;
CREATE INDEX ix_credit_grants_expiring ON credit_grants (expires_at) WHERE left_fen > 0;

CREATE TABLE credit_holds (
    hold_id text NOT NULL,
    site_id text NOT NULL,
    customer_id text NOT NULL,
    order_id text NOT NULL,
    amount_fen bigint NOT NULL,
    state text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_credit_holds PRIMARY KEY (hold_id),
    CONSTRAINT ck_credit_holds_amount CHECK (amount_fen > 0),
    CONSTRAINT ck_credit_holds_state CHECK (state IN ('held', 'captured', 'released'))
);
CREATE INDEX ix_credit_holds_site_id_order_id ON credit_holds (site_id, order_id);

CREATE TABLE credit_hold_parts (
    hold_id text NOT NULL,
    line integer NOT NULL,
    grant_id text NOT NULL,
    amount_fen bigint NOT NULL,
    refunded_fen bigint NOT NULL DEFAULT 0,
    CONSTRAINT pk_credit_hold_parts PRIMARY KEY (hold_id, line),
    CONSTRAINT fk_credit_hold_parts_hold_id FOREIGN KEY (hold_id) REFERENCES credit_holds,
    CONSTRAINT fk_credit_hold_parts_grant_id FOREIGN KEY (grant_id) REFERENCES credit_grants,
    CONSTRAINT ck_credit_hold_parts_amount CHECK (amount_fen > 0),
    CONSTRAINT ck_credit_hold_parts_refunded CHECK (refunded_fen BETWEEN 0 AND amount_fen)
);

CREATE TABLE credit_refunds (
    refund_id text NOT NULL,
    hold_id text NOT NULL,
    amount_fen bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_credit_refunds PRIMARY KEY (refund_id),
    CONSTRAINT fk_credit_refunds_hold_id FOREIGN KEY (hold_id) REFERENCES credit_holds,
    CONSTRAINT ck_credit_refunds_amount CHECK (amount_fen > 0)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
