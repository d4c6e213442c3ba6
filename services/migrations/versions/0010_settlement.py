"""Settlement: contracts, settlements, splits and their returns; whether a payment may be split."""

from alembic import op

revision = "0010_settlement"
down_revision = "0009_order_credit"

TABLES = """
ALTER TABLE payment_attempts ADD COLUMN split boolean NOT NULL DEFAULT false;

CREATE TABLE contracts (
    site_id text NOT NULL,
    merchant_id text NOT NULL DEFAULT '',
    kind text NOT NULL DEFAULT 'takeaway',
    valid_from timestamptz NOT NULL,
    commission_bp integer NOT NULL,
    delivered_by text NOT NULL DEFAULT 'platform',
    rider_fee_bp integer NOT NULL DEFAULT 10000,
    CONSTRAINT pk_contracts PRIMARY KEY (site_id, merchant_id, kind, valid_from),
    CONSTRAINT ck_contracts_parts
        CHECK (commission_bp BETWEEN 0 AND 10000 AND rider_fee_bp BETWEEN 0 AND 10000),
    CONSTRAINT ck_contracts_delivered_by CHECK (delivered_by IN ('platform', 'merchant'))
);

CREATE TABLE settlements (
    order_id text NOT NULL,
    site_id text NOT NULL,
    merchant_id text NOT NULL,
    out_trade_no text NOT NULL,
    account_id text NOT NULL,
    merchant_fen bigint NOT NULL,
    commission_fen bigint NOT NULL,
    delivery_fen bigint NOT NULL,
    share_fen bigint NOT NULL DEFAULT 0,
    returnable_fen bigint NOT NULL DEFAULT 0,
    borne_fen bigint NOT NULL DEFAULT 0,
    waived_fen bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    followed_at timestamptz,
    shipped_at timestamptz,
    ended_at timestamptz,
    CONSTRAINT pk_settlements PRIMARY KEY (order_id),
    CONSTRAINT ck_settlements_returnable CHECK (returnable_fen BETWEEN 0 AND share_fen),
    CONSTRAINT ck_settlements_waived CHECK (waived_fen BETWEEN 0 AND commission_fen)
);
CREATE INDEX ix_settlements_open ON settlements (created_at) WHERE ended_at IS NULL;

CREATE TABLE splits (
    out_order_no text NOT NULL,
    site_id text NOT NULL,
    order_id text NOT NULL,
    number integer NOT NULL,
    kind text NOT NULL,
    receiver text NOT NULL,
    amount_fen bigint NOT NULL,
    state text NOT NULL,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT pk_splits PRIMARY KEY (out_order_no),
    CONSTRAINT uq_splits_order_id_number UNIQUE (order_id, number),
    CONSTRAINT ck_splits_amount CHECK ((kind = 'split') = (amount_fen > 0))
);

CREATE TABLE split_returns (
    out_return_no text NOT NULL,
    site_id text NOT NULL,
    order_id text NOT NULL,
    number integer NOT NULL,
    out_order_no text NOT NULL,
    out_refund_no text NOT NULL,
    receiver text NOT NULL,
    amount_fen bigint NOT NULL,
    state text NOT NULL,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT pk_split_returns PRIMARY KEY (out_return_no),
    CONSTRAINT uq_split_returns_order_id_number UNIQUE (order_id, number),
    CONSTRAINT ck_split_returns_amount CHECK (amount_fen > 0)
);
CREATE INDEX ix_split_returns_out_refund_no ON split_returns (out_refund_no);
"""


def upgrade() -> None:
    op.execute(TABLES)
