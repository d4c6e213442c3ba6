"""How much of an order's money is where: with receivers, taken back, refunded."""

import sqlite3

from sandbox.store import Store


def shared_fen(store: Store, order: sqlite3.Row) -> int:
    """What of an order is with receivers, or on its way there, and was not taken back."""
    given = _sum(
        store,
        "shares WHERE mchid = :mchid AND out_trade_no = :number"
        " AND result <> 'CLOSED' AND account <> :mchid",
        order,
    )
    return given - returned_fen(store, order)


def returned_fen(store: Store, order: sqlite3.Row) -> int:
    """What of an order was taken back from receivers."""
    chosen = "split_returns WHERE mchid = :mchid AND out_trade_no = :number"
    return _sum(store, f"{chosen} AND result = 'SUCCESS'", order)


def refunded_fen(store: Store, order: sqlite3.Row) -> int:
    """What of an order went, or is going, back to the customer."""
    chosen = "refunds WHERE mchid = :mchid AND out_trade_no = :number"
    return _sum(store, f"{chosen} AND status <> 'CLOSED'", order)


def _sum(store: Store, chosen: str, order: sqlite3.Row) -> int:
    row = store.one(
        f"SELECT coalesce(sum(amount_fen), 0) AS fen FROM {chosen}",  # noqa: S608 (no input in it)
        mchid=order["mchid"],
        number=order["out_trade_no"],
    )
    return int(row["fen"]) if row else 0


def fail_reason(store: Store, account: str) -> str | None:
    """Why a receiver can neither be paid nor give back, if it was told to fail."""
    row = store.one(
        "SELECT fail_reason FROM failing_receivers WHERE account = :account", account=account
    )
    return str(row["fail_reason"]) if row else None
