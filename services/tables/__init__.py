"""Every table of the platform as SQLAlchemy Core; migrations make them, services fill them."""

from services.tables.after_sales import after_sales, compensation_days
from services.tables.books import (
    ledger_period_totals,
    ledger_periods,
    payout_batches,
    payout_lines,
    statements,
)
from services.tables.credit import (
    credit_grants,
    credit_hold_parts,
    credit_holds,
    credit_refunds,
)
from services.tables.customers import pickups, rating_sums, ratings
from services.tables.delivery import delivery_photos, delivery_tasks, offers, position_traces
from services.tables.market import (
    addresses,
    blocked_pairs,
    channel_accounts,
    customers,
    items,
    merchants,
    riders,
    shifts,
    shops,
    sites,
    zones,
)
from services.tables.money import inbox, payment_attempts, quarantine, refunds
from services.tables.ordering import (
    item_leases,
    order_events,
    order_lines,
    order_streams,
    order_timeline,
    orders,
    quotes,
    request_keys,
    shop_days,
)
from services.tables.reconciliation import (
    bill_rows,
    bills,
    differences,
    fund_rows,
    reconciliations,
)
from services.tables.settlement import contracts, settlements, split_returns, splits
from services.tables.telling import facts, kafka_outbox, outbox
from services.tables.tickets import ticket_entries, ticket_evidence, tickets

__all__ = [
    "addresses",
    "after_sales",
    "bill_rows",
    "bills",
    "blocked_pairs",
    "channel_accounts",
    "compensation_days",
    "contracts",
    "credit_grants",
    "credit_hold_parts",
    "credit_holds",
    "credit_refunds",
    "customers",
    "delivery_photos",
    "delivery_tasks",
    "differences",
    "facts",
    "fund_rows",
    "inbox",
    "item_leases",
    "items",
    "kafka_outbox",
    "ledger_period_totals",
    "ledger_periods",
    "merchants",
    "offers",
    "order_events",
    "order_lines",
    "order_streams",
    "order_timeline",
    "orders",
    "outbox",
    "payment_attempts",
    "payout_batches",
    "payout_lines",
    "pickups",
    "position_traces",
    "quarantine",
    "quotes",
    "rating_sums",
    "ratings",
    "reconciliations",
    "refunds",
    "request_keys",
    "riders",
    "settlements",
    "shifts",
    "shop_days",
    "shops",
    "sites",
    "split_returns",
    "splits",
    "statements",
    "ticket_entries",
    "ticket_evidence",
    "tickets",
    "zones",
]
