"""The oracle: money truly moved, whatever anybody was told; one shape for all channels."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping

from sandbox.store import Store
from sandbox.wire import Json

MAX_ORDERS = 100_000

Chosen = Mapping[str, str | None]
"""`mchid` (the payee, whatever the channel calls one), `out_trade_no`, `prefix`: None is any."""


def condition(payee: str, number: str = "out_trade_no") -> str:
    """Return the SQL of `Chosen` for a table with these columns."""
    return (
        f"(:mchid IS NULL OR {payee} = :mchid)"
        f" AND (:out_trade_no IS NULL OR {number} = :out_trade_no)"
        f" AND (:prefix IS NULL OR substr({number}, 1, length(:prefix)) = :prefix)"
    )


def orders(store: Store, select: str, chosen: Chosen) -> list[sqlite3.Row]:
    """Return the chosen orders; `ValueError` above `MAX_ORDERS` of them."""
    rows = store.all(f"{select} LIMIT :limit", **chosen, limit=MAX_ORDERS + 1)
    if len(rows) > MAX_ORDERS:
        raise ValueError(f"more than {MAX_ORDERS} orders: choose fewer")
    return rows


def by_order(
    rows: Iterable[sqlite3.Row], payee: str
) -> defaultdict[tuple[str, str], list[sqlite3.Row]]:
    """Put rows together that are about the same order: its payee and number."""
    grouped: defaultdict[tuple[str, str], list[sqlite3.Row]] = defaultdict(list)
    for row in rows:
        grouped[row[payee], row["out_trade_no"]].append(row)
    return grouped


def order_moved(
    row: sqlite3.Row | Json,
    refunds: list[Json],
    *,
    mchid: str,
    transaction_id: str | None,
    state: str,
    **more: int,
) -> Json:
    """Return what moved of one order, amounts in fen; `state` is its own, refunds apart.

    `refunding_fen` is accepted but not ended: PROCESSING or ABNORMAL.
    """
    was_refunded = any(refund["status"] != "CLOSED" for refund in refunds)
    return {
        "mchid": mchid,
        "out_trade_no": row["out_trade_no"],
        "transaction_id": transaction_id,
        "trade_state": "REFUND" if was_refunded else state,
        "amount_fen": row["amount_fen"],
        "paid_fen": row["paid_fen"],
        "refunded_fen": _sum(refunds, {"SUCCESS"}),
        "refunding_fen": _sum(refunds, {"PROCESSING", "ABNORMAL"}),
        "charges": row["charges"],
        "refunds": refunds,
        **more,
    }


def money_moved(moved: list[Json]) -> Json:
    """Return the orders with their charges and refunds, and the totals in fen."""
    return {
        "orders": moved,
        "paid_fen": sum(order["paid_fen"] for order in moved),
        "refunded_fen": sum(order["refunded_fen"] for order in moved),
    }


def _sum(refunds: list[Json], statuses: set[str]) -> int:
    return sum(refund["amount_fen"] for refund in refunds if refund["status"] in statuses)
