"""What WeChat Pay's orders tell the oracle."""

from sandbox.oracle import Chosen, by_order, condition, order_moved, orders
from sandbox.store import Store
from sandbox.wire import Json

_CHOSEN = condition("mchid")
_REFUND = ("out_refund_no", "refund_id", "status", "amount_fen", "fee_fen")


def orders_moved(store: Store, chosen: Chosen) -> list[Json]:
    """Return the chosen orders; `ValueError` where they are too many.

    `split_fen` went to receivers, of which `returned_fen` came back; `fee_fen` is the channel's
    in the end.
    """
    refunds_of = by_order(
        store.all(f"SELECT * FROM refunds WHERE {_CHOSEN} ORDER BY create_time", **chosen),  # noqa: S608
        "mchid",
    )
    split = _by_order(store, "shares", "account <> mchid AND result = 'SUCCESS'", chosen)
    returned = _by_order(store, "split_returns", "result = 'SUCCESS'", chosen)
    moved = []
    for row in orders(store, f"SELECT * FROM orders WHERE {_CHOSEN} ORDER BY rowid", chosen):  # noqa: S608
        key = row["mchid"], row["out_trade_no"]
        refunds = [{name: refund[name] for name in _REFUND} for refund in refunds_of[key]]
        moved.append(
            order_moved(
                row,
                refunds,
                mchid=row["mchid"],
                transaction_id=row["transaction_id"],
                state=row["state"],
                fee_fen=row["fee_fen"] - sum(refund["fee_fen"] for refund in refunds),
                split_fen=split.get(key, 0),
                returned_fen=returned.get(key, 0),
            )
        )
    return moved


def _by_order(store: Store, table: str, about: str, chosen: Chosen) -> dict[tuple[str, str], int]:
    rows = store.all(
        f"SELECT mchid, out_trade_no, sum(amount_fen) AS fen FROM {table}"  # noqa: S608
        f" WHERE {_CHOSEN} AND {about} GROUP BY mchid, out_trade_no",
        **chosen,
    )
    return {(row["mchid"], row["out_trade_no"]): row["fen"] for row in rows}
