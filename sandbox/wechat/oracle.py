"""The oracle: money truly moved at the gateway, whatever anybody was told."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sandbox.store import Store

MAX_ORDERS = 100_000

_CHOSEN = """
    (:mchid IS NULL OR mchid = :mchid)
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
    """Return the chosen orders with their charges and refunds, and the totals in fen.

    `refunding_fen` is accepted but not ended: PROCESSING or ABNORMAL. `split_fen` went to
    receivers, of which `returned_fen` came back; `fee_fen` is the channel's in the end.
    `ValueError` above `MAX_ORDERS` orders.
    """
    chosen = {"mchid": mchid, "out_trade_no": out_trade_no, "prefix": prefix}
    rows = store.all(
        f"SELECT * FROM orders WHERE {_CHOSEN} ORDER BY rowid LIMIT :limit",  # noqa: S608
        **chosen,
        limit=MAX_ORDERS + 1,
    )
    if len(rows) > MAX_ORDERS:
        raise ValueError(f"more than {MAX_ORDERS} orders: choose fewer")
    refunds_of: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for refund in store.all(
        f"SELECT * FROM refunds WHERE {_CHOSEN} ORDER BY create_time",  # noqa: S608
        **chosen,
    ):
        names = ("out_refund_no", "refund_id", "status", "amount_fen", "fee_fen")
        shown = {name: refund[name] for name in names}
        refunds_of[refund["mchid"], refund["out_trade_no"]].append(shown)
    orders = []
    split = _by_order(store, "shares", "account <> mchid AND result = 'SUCCESS'", chosen)
    returned = _by_order(store, "split_returns", "result = 'SUCCESS'", chosen)
    for row in rows:
        name = row["mchid"], row["out_trade_no"]
        refunds = refunds_of[name]
        was_refunded = any(refund["status"] != "CLOSED" for refund in refunds)
        orders.append(
            {
                "mchid": row["mchid"],
                "out_trade_no": row["out_trade_no"],
                "transaction_id": row["transaction_id"],
                "trade_state": "REFUND" if was_refunded else row["state"],
                "amount_fen": row["amount_fen"],
                "paid_fen": row["paid_fen"],
                "refunded_fen": _sum(refunds, {"SUCCESS"}),
                "refunding_fen": _sum(refunds, {"PROCESSING", "ABNORMAL"}),
                "fee_fen": row["fee_fen"] - sum(refund["fee_fen"] for refund in refunds),
                "split_fen": split.get(name, 0),
                "returned_fen": returned.get(name, 0),
                "charges": row["charges"],
                "refunds": refunds,
            }
        )
    return {
        "orders": orders,
        "paid_fen": sum(order["paid_fen"] for order in orders),
        "refunded_fen": sum(order["refunded_fen"] for order in orders),
    }


def _by_order(
    store: Store, table: str, condition: str, chosen: Mapping[str, str | None]
) -> dict[tuple[str, str], int]:
    rows = store.all(
        f"SELECT mchid, out_trade_no, sum(amount_fen) AS fen FROM {table}"  # noqa: S608
        f" WHERE {_CHOSEN} AND {condition} GROUP BY mchid, out_trade_no",
        **chosen,
    )
    return {(row["mchid"], row["out_trade_no"]): row["fen"] for row in rows}


def _sum(refunds: list[dict[str, Any]], statuses: set[str]) -> int:
    return sum(refund["amount_fen"] for refund in refunds if refund["status"] in statuses)
