"""Alipay's tables in the sandbox's store; statements only."""

from sandbox.store import Store

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS alipay_merchants (
    seller_id TEXT PRIMARY KEY,
    app_id TEXT NOT NULL UNIQUE,
    app_key_pem TEXT NOT NULL,
    alipay_key_pem TEXT NOT NULL,
    habits TEXT NOT NULL DEFAULT '{}'
) STRICT""",
    # Without trade_no it is only an offer: a code nobody scanned yet.
    """
CREATE TABLE IF NOT EXISTS alipay_trades (
    seller_id TEXT NOT NULL REFERENCES alipay_merchants,
    out_trade_no TEXT NOT NULL,
    trade_no TEXT UNIQUE,
    qr_code TEXT UNIQUE,
    parameters_hash TEXT NOT NULL,
    subject TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    notify_url TEXT NOT NULL,
    buyer_id TEXT,
    instalments INTEGER NOT NULL,
    fee_by_seller INTEGER NOT NULL,
    royalty_freeze INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    paid_fen INTEGER NOT NULL DEFAULT 0,
    fee_fen INTEGER NOT NULL DEFAULT 0,
    charges INTEGER NOT NULL DEFAULT 0,
    paid_at REAL,
    closed_at REAL,
    due_at REAL,
    PRIMARY KEY (seller_id, out_trade_no)
) STRICT""",
    """
CREATE INDEX IF NOT EXISTS alipay_trades_due ON alipay_trades (due_at)
    WHERE due_at IS NOT NULL""",
    "CREATE INDEX IF NOT EXISTS alipay_trades_paid ON alipay_trades (seller_id, paid_at)",
    """
CREATE TABLE IF NOT EXISTS alipay_refunds (
    seller_id TEXT NOT NULL,
    out_request_no TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    fee_fen INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL,
    asked_at REAL NOT NULL,
    ended_at REAL,
    due_at REAL,
    PRIMARY KEY (seller_id, out_trade_no, out_request_no),
    FOREIGN KEY (seller_id, out_trade_no) REFERENCES alipay_trades
) STRICT""",
    """
CREATE INDEX IF NOT EXISTS alipay_refunds_due ON alipay_refunds (due_at)
    WHERE due_at IS NOT NULL""",
    """
CREATE TABLE IF NOT EXISTS alipay_relations (
    seller_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    PRIMARY KEY (seller_id, receiver)
) STRICT""",
    """
CREATE TABLE IF NOT EXISTS alipay_settlements (
    seller_id TEXT NOT NULL,
    out_request_no TEXT NOT NULL,
    trade_no TEXT NOT NULL,
    settle_no TEXT NOT NULL UNIQUE,
    parameters_hash TEXT NOT NULL,
    finishes INTEGER NOT NULL,
    asked_at REAL NOT NULL,
    due_at REAL,
    PRIMARY KEY (seller_id, out_request_no)
) STRICT""",
    """
CREATE TABLE IF NOT EXISTS alipay_royalties (
    settle_no TEXT NOT NULL REFERENCES alipay_settlements (settle_no),
    receiver TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    state TEXT NOT NULL,
    ended_at REAL
) STRICT""",
    "CREATE INDEX IF NOT EXISTS alipay_royalties_of ON alipay_royalties (settle_no)",
    """
CREATE TABLE IF NOT EXISTS alipay_notices (
    notify_id TEXT PRIMARY KEY,
    seller_id TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    out_request_no TEXT,
    notify_url TEXT NOT NULL,
    parameters TEXT NOT NULL,
    created_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL,
    outcome TEXT NOT NULL DEFAULT 'pending'
) STRICT""",
    "CREATE INDEX IF NOT EXISTS alipay_notices_of ON alipay_notices (seller_id, out_trade_no)",
    """
CREATE INDEX IF NOT EXISTS alipay_notices_due ON alipay_notices (due_at)
    WHERE due_at IS NOT NULL""",
)


def create_tables(store: Store) -> None:
    """Make the tables that are not there yet."""
    for statement in _TABLES:
        store.run(statement)
