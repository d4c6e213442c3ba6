"""The bank's tables in the sandbox's database; no rules."""

from sandbox.store import Store

_TABLES = (
    """bank_clients (
    account TEXT PRIMARY KEY,
    client_id TEXT NOT NULL UNIQUE,
    private_key_pem TEXT NOT NULL,
    closed INTEGER NOT NULL DEFAULT 0
)""",
    """bank_requests (
    client_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (client_id, request_id)
)""",
    """bank_flows (
    flow_id INTEGER PRIMARY KEY AUTOINCREMENT,
    holder TEXT NOT NULL,
    kind TEXT NOT NULL,
    business_no TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    balance_fen INTEGER NOT NULL CHECK (balance_fen >= 0),
    at REAL NOT NULL
)""",
    "bank_wallets (wallet TEXT PRIMARY KEY)",
    "bank_consents (token TEXT PRIMARY KEY, wallet TEXT NOT NULL REFERENCES bank_wallets)",
    """bank_payments (
    account TEXT NOT NULL REFERENCES bank_clients,
    out_trade_no TEXT NOT NULL,
    payment_id TEXT NOT NULL UNIQUE,
    method TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    amount_fen INTEGER NOT NULL,
    notify_url TEXT NOT NULL,
    payer TEXT NOT NULL,
    expires_at REAL NOT NULL,
    split INTEGER NOT NULL,
    save INTEGER NOT NULL,
    state TEXT NOT NULL,
    failure_code TEXT NOT NULL DEFAULT '',
    transaction_id TEXT UNIQUE,
    consent TEXT NOT NULL DEFAULT '',
    paid_fen INTEGER NOT NULL DEFAULT 0,
    frozen_fen INTEGER NOT NULL DEFAULT 0 CHECK (frozen_fen >= 0),
    finished INTEGER NOT NULL DEFAULT 0,
    charges INTEGER NOT NULL DEFAULT 0,
    paid_at REAL,
    PRIMARY KEY (account, out_trade_no)
)""",
    """bank_refunds (
    account TEXT NOT NULL,
    out_refund_no TEXT NOT NULL,
    refund_id TEXT NOT NULL UNIQUE,
    out_trade_no TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    frozen_fen INTEGER NOT NULL,
    notify_url TEXT NOT NULL,
    status TEXT NOT NULL,
    create_time REAL NOT NULL,
    success_time REAL,
    due_at REAL,
    PRIMARY KEY (account, out_refund_no),
    FOREIGN KEY (account, out_trade_no) REFERENCES bank_payments
)""",
    """bank_splits (
    account TEXT NOT NULL,
    out_order_no TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    due_at REAL,
    PRIMARY KEY (account, out_order_no),
    FOREIGN KEY (account, out_trade_no) REFERENCES bank_payments
)""",
    """bank_shares (
    account TEXT NOT NULL,
    out_order_no TEXT NOT NULL,
    receiver TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    state TEXT NOT NULL DEFAULT 'PENDING',
    reason TEXT NOT NULL DEFAULT '',
    returned_fen INTEGER NOT NULL DEFAULT 0 CHECK (returned_fen <= amount_fen),
    PRIMARY KEY (account, out_order_no, receiver),
    FOREIGN KEY (account, out_order_no) REFERENCES bank_splits
)""",
    """bank_returns (
    account TEXT NOT NULL,
    out_return_no TEXT NOT NULL,
    out_order_no TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    receiver TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (account, out_return_no)
)""",
    """bank_payees (
    payee TEXT PRIMARY KEY,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL
)""",
    """bank_batches (
    account TEXT NOT NULL REFERENCES bank_clients,
    batch_id TEXT NOT NULL,
    parameters_hash TEXT NOT NULL,
    PRIMARY KEY (account, batch_id)
)""",
    """bank_transfers (
    account TEXT NOT NULL,
    line_id TEXT NOT NULL,
    batch_id TEXT NOT NULL,
    transfer_id TEXT NOT NULL UNIQUE,
    payee TEXT NOT NULL,
    amount_fen INTEGER NOT NULL CHECK (amount_fen > 0),
    state TEXT NOT NULL DEFAULT 'PROCESSING',
    reason TEXT NOT NULL DEFAULT '',
    due_at REAL,
    PRIMARY KEY (account, line_id),
    FOREIGN KEY (account, batch_id) REFERENCES bank_batches
)""",
    """bank_notices (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    out_trade_no TEXT NOT NULL,
    out_refund_no TEXT,
    notify_url TEXT NOT NULL,
    body TEXT NOT NULL,
    create_time REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL,
    outcome TEXT NOT NULL DEFAULT 'pending'
)""",
    "bank_days (day TEXT PRIMARY KEY)",
)
_INDEXES = (
    "bank_flows_of_holder ON bank_flows (holder, flow_id)",
    "bank_requests_age ON bank_requests (at)",
    "bank_payments_paid ON bank_payments (account, paid_at)",
    "bank_refunds_of_payment ON bank_refunds (account, out_trade_no)",
    "bank_refunds_due ON bank_refunds (due_at) WHERE due_at IS NOT NULL",
    "bank_splits_due ON bank_splits (due_at) WHERE due_at IS NOT NULL",
    "bank_splits_of_payment ON bank_splits (account, out_trade_no)",
    "bank_transfers_of_batch ON bank_transfers (account, batch_id)",
    "bank_transfers_due ON bank_transfers (due_at) WHERE due_at IS NOT NULL",
    "bank_notices_of_payment ON bank_notices (account, out_trade_no)",
    "bank_notices_due ON bank_notices (due_at) WHERE due_at IS NOT NULL",
)


def create_tables(store: Store) -> None:
    """Make the tables that are not there yet."""
    for table in _TABLES:
        store.run(f"CREATE TABLE IF NOT EXISTS {table} STRICT")
    for index in _INDEXES:
        store.run(f"CREATE INDEX IF NOT EXISTS {index}")
