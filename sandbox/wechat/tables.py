"""WeChat Pay's tables in the sandbox's database, and the columns that older homes lack."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS combines (
    mchid TEXT NOT NULL REFERENCES merchants,
    combine_out_trade_no TEXT NOT NULL,
    appid TEXT NOT NULL,
    trade_type TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    notify_url TEXT NOT NULL,
    openid TEXT,
    time_expire REAL NOT NULL,
    prepay_code TEXT NOT NULL UNIQUE,
    prepay_until REAL NOT NULL,
    PRIMARY KEY (mchid, combine_out_trade_no)
) STRICT;
CREATE TABLE IF NOT EXISTS receivers (
    mchid TEXT NOT NULL,
    type TEXT NOT NULL,
    account TEXT NOT NULL,
    relation_type TEXT NOT NULL,
    PRIMARY KEY (mchid, type, account)
) STRICT;
CREATE TABLE IF NOT EXISTS failing_receivers (
    account TEXT PRIMARY KEY,
    fail_reason TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS splits (
    mchid TEXT NOT NULL,
    out_order_no TEXT NOT NULL,
    order_id TEXT NOT NULL UNIQUE,
    out_trade_no TEXT NOT NULL,
    transaction_id TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    unfreeze INTEGER NOT NULL,
    state TEXT NOT NULL,
    create_time REAL NOT NULL,
    due_at REAL,
    PRIMARY KEY (mchid, out_order_no),
    FOREIGN KEY (mchid, out_trade_no) REFERENCES orders
) STRICT;
CREATE INDEX IF NOT EXISTS splits_of_order ON splits (mchid, out_trade_no);
CREATE TABLE IF NOT EXISTS shares (
    detail_id TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    out_order_no TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    type TEXT NOT NULL,
    account TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    description TEXT NOT NULL,
    result TEXT NOT NULL,
    fail_reason TEXT,
    create_time REAL NOT NULL,
    finish_time REAL
) STRICT;
CREATE INDEX IF NOT EXISTS shares_of_order ON shares (mchid, out_trade_no);
CREATE TABLE IF NOT EXISTS split_returns (
    mchid TEXT NOT NULL,
    out_return_no TEXT NOT NULL,
    return_id TEXT NOT NULL,
    out_order_no TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    return_mchid TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    description TEXT NOT NULL,
    result TEXT NOT NULL,
    fail_reason TEXT,
    create_time REAL NOT NULL,
    finish_time REAL,
    due_at REAL,
    PRIMARY KEY (mchid, out_return_no)
) STRICT;
CREATE INDEX IF NOT EXISTS split_returns_of_order ON split_returns (mchid, out_trade_no);
CREATE TABLE IF NOT EXISTS flows (
    flow_id TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    business_no TEXT NOT NULL,
    kind TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    voucher_no TEXT NOT NULL,
    note TEXT NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS flows_of_merchant ON flows (mchid, at);
CREATE TABLE IF NOT EXISTS bill_files (
    token TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    gzipped INTEGER NOT NULL,
    content TEXT NOT NULL,
    until REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS complaints (
    complaint_id TEXT PRIMARY KEY,
    mchid TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    problem_type TEXT NOT NULL,
    detail TEXT NOT NULL,
    phone TEXT NOT NULL,
    state TEXT NOT NULL,
    create_time REAL NOT NULL,
    history TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE TABLE IF NOT EXISTS complaint_urls (mchid TEXT PRIMARY KEY, url TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS shippings (
    transaction_id TEXT PRIMARY KEY,
    logistics_type INTEGER NOT NULL,
    uploads INTEGER NOT NULL
) STRICT;
"""

COLUMNS = (
    ("merchants", "sp_mchid", "TEXT"),
    ("orders", "sub_appid", "TEXT"),
    ("orders", "payer_field", "TEXT NOT NULL DEFAULT 'openid'"),
    ("orders", "combine_no", "TEXT"),
    ("orders", "combine_mchid", "TEXT"),
    ("orders", "description", "TEXT NOT NULL DEFAULT ''"),
    ("orders", "profit_sharing", "INTEGER NOT NULL DEFAULT 0"),
    ("orders", "unfrozen", "INTEGER NOT NULL DEFAULT 0"),
    ("orders", "fee_fen", "INTEGER NOT NULL DEFAULT 0"),
    ("refunds", "fee_fen", "INTEGER NOT NULL DEFAULT 0"),
    ("refunds", "retried", "INTEGER NOT NULL DEFAULT 0"),
)
"""Table, name and type of columns that came after the tables."""
