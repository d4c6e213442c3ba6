"""The oracle: money truly moved at Alipay, whatever anybody was told."""

from collections import defaultdict
from typing import Any

from sandbox.store import Store

MAX_ORDERS = 100_000

_CHOSEN = """
    (:mchid IS NULL OR seller_id = :mchid)
    AND (:out_trade_no IS NULL OR out_trade_no = :out_trade_no)
    AND (:prefix IS NULL OR substr(out_trade_no, 1, length(:prefix)) = :prefix)
"""
_STATES = {"WAIT_BUYER_PAY": "NOTPAY", "TRADE_CLOSED": "CLOSED"}


def money_moved(
    store: Store,
    *,
    mchid: str | None = None,
    out_trade_no: str | None = None,
    prefix: str | None = None,
) -> dict[str, Any]:
    """Return the chosen trades with their charges and refunds, and the totals in fen.

    In the words that every channel's oracle uses; `mchid` is the seller's id. `ValueError` above
    `MAX_ORDERS` trades.
    """
    chosen = {"mchid": mchid, "out_trade_no": out_trade_no, "prefix": prefix}
    rows = store.all(
        f"SELECT * FROM alipay_trades WHERE {_CHOSEN} ORDER BY rowid LIMIT :limit",  # noqa: S608
        **chosen,
        limit=MAX_ORDERS + 1,
    )
    if len(rows) > MAX_ORDERS:
        raise ValueError(f"more than {MAX_ORDERS} orders: choose fewer")
    trade_numbers = {(row["seller_id"], row["out_trade_no"]): row["trade_no"] for row in rows}
    refunds_of: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for refund in store.all(
        f"SELECT * FROM alipay_refunds WHERE {_CHOSEN} ORDER BY asked_at",  # noqa: S608
        **chosen,
    ):
        key = refund["seller_id"], refund["out_trade_no"]
        refunds_of[key].append(
            {
                "out_refund_no": refund["out_request_no"],
                # Alipay's refunds have no number of their own.
                "refund_id": trade_numbers[key],
                "status": refund["status"],
                "amount_fen": refund["amount_fen"],
            }
        )
    orders = []
    for row in rows:
        refunds = refunds_of[row["seller_id"], row["out_trade_no"]]
        was_refunded = any(refund["status"] != "CLOSED" for refund in refunds)
        orders.append(
            {
                "mchid": row["seller_id"],
                "out_trade_no": row["out_trade_no"],
                "transaction_id": row["trade_no"] if row["paid_at"] is not None else None,
                "trade_state": "REFUND" if was_refunded else _STATES.get(row["state"], "SUCCESS"),
                "amount_fen": row["amount_fen"],
                "paid_fen": row["paid_fen"],
                "refunded_fen": _sum(refunds, "SUCCESS"),
                "refunding_fen": _sum(refunds, "PROCESSING"),
                "charges": row["charges"],
                "refunds": refunds,
            }
        )
    return {
        "orders": orders,
        "paid_fen": sum(order["paid_fen"] for order in orders),
        "refunded_fen": sum(order["refunded_fen"] for order in orders),
    }


def _sum(refunds: list[dict[str, Any]], status: str) -> int:
    return sum(refund["amount_fen"] for refund in refunds if refund["status"] == status)
