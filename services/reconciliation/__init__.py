"""Reconciliation (对账): channels' bills against what we know, and what differs."""

from services.reconciliation.bills import (
    Kept,
    Payee,
    is_quiet,
    keep_bill,
    keep_nothing,
    payee,
    payees,
)
from services.reconciliation.results import (
    Summary,
    ask_person,
    close,
    compare,
    count_open,
    differences,
    of_day,
    reconciled,
)

__all__ = [
    "Kept",
    "Payee",
    "Summary",
    "ask_person",
    "close",
    "compare",
    "count_open",
    "differences",
    "is_quiet",
    "keep_bill",
    "keep_nothing",
    "of_day",
    "payee",
    "payees",
    "reconciled",
]
