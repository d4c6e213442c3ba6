"""The oracle: money truly moved at the bank, whatever anybody was told; in all channels' shape."""

from collections import defaultdict
from typing import Any

from sandbox.store import Store

MAX_ORDERS = 100_000
_STATES = {"OPEN": "NOTPAY", "PAID": "SUCCESS", "CLOSED": "CLOSED"}

_CHOSEN = """
    (:account IS NULL OR account = :account)
    AND (:out_trade_no IS NULL OR out_trade_no = :out_trade_no)
    AND (:prefix IS NULL OR substr(out_trade_no, 1, length(:prefix)) = :prefix)
"""


def money_moved(
    store: Store,
    *,
    mchid: str | None = None,
    out_trade_no: str | None = None,
    prefix: str | None = None,
) -> dict[str, Any]:
    """Return the chosen payments with their charges and refunds, and the totals in fen.

    `mchid` is the account. `refunding_fen` is accepted but not ended; `split_fen` has reached
    other accounts and not come back. `ValueError` above `MAX_ORDERS` payments.
    """
    chosen = {"account": mchid, "out_trade_no": out_trade_no, "prefix": prefix}
    rows = store.all(
        f"SELECT * FROM bank_payments WHERE {_CHOSEN} ORDER BY rowid LIMIT :limit",  # noqa: S608
        **chosen,
        limit=MAX_ORDERS + 1,
    )
    if len(rows) > MAX_ORDERS:
        raise ValueError(f"more than {MAX_ORDERS} payments: choose fewer")
    refunds_of: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for refund in store.all(
        f"SELECT * FROM bank_refunds WHERE {_CHOSEN} ORDER BY create_time",  # noqa: S608
        **chosen,
    ):
        names = ("out_refund_no", "refund_id", "status", "amount_fen")
        shown = {name: refund[name] for name in names}
        refunds_of[refund["account"], refund["out_trade_no"]].append(shown)
    split_fen = {
        (row["account"], row["out_trade_no"]): row["fen"]
        for row in store.all(
            "SELECT account, out_trade_no, sum(amount_fen - returned_fen) AS fen FROM bank_shares"  # noqa: S608
            " JOIN bank_splits USING (account, out_order_no)"
            f" WHERE state = 'SUCCESS' AND {_CHOSEN} GROUP BY account, out_trade_no",
            **chosen,
        )
    }
    orders = []
    for row in rows:
        key = row["account"], row["out_trade_no"]
        refunds = refunds_of[key]
        was_refunded = any(refund["status"] != "CLOSED" for refund in refunds)
        orders.append(
            {
                "mchid": row["account"],
                "out_trade_no": row["out_trade_no"],
                "transaction_id": row["transaction_id"],
                "trade_state": "REFUND" if was_refunded else _STATES[row["state"]],
                "amount_fen": row["amount_fen"],
                "paid_fen": row["paid_fen"],
                "refunded_fen": _sum(refunds, {"SUCCESS"}),
                "refunding_fen": _sum(refunds, {"PROCESSING", "ABNORMAL"}),
                "charges": row["charges"],
                "refunds": refunds,
                "split_fen": split_fen.get(key, 0),
            }
        )
    return {
        "orders": orders,
        "paid_fen": sum(order["paid_fen"] for order in orders),
        "refunded_fen": sum(order["refunded_fen"] for order in orders),
    }


def _sum(refunds: list[dict[str, Any]], statuses: set[str]) -> int:
    return sum(refund["amount_fen"] for refund in refunds if refund["status"] in statuses)
