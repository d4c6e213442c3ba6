"""What the bank's payments tell the oracle."""

from sandbox.oracle import Chosen, by_order, condition, order_moved, orders
from sandbox.store import Store
from sandbox.wire import Json

_STATES = {"OPEN": "NOTPAY", "PAID": "SUCCESS", "CLOSED": "CLOSED"}
_CHOSEN = condition("account")
_REFUND = ("out_refund_no", "refund_id", "status", "amount_fen")


def orders_moved(store: Store, chosen: Chosen) -> list[Json]:
    """Return the chosen payments; `ValueError` where they are too many.

    `split_fen` has reached other accounts and not come back.
    """
    refunds_of = by_order(
        store.all(f"SELECT * FROM bank_refunds WHERE {_CHOSEN} ORDER BY create_time", **chosen),  # noqa: S608
        "account",
    )
    split_fen = {
        (row["account"], row["out_trade_no"]): row["fen"]
        for row in store.all(
            "SELECT account, out_trade_no, sum(amount_fen - returned_fen) AS fen FROM bank_shares"  # noqa: S608
            " JOIN bank_splits USING (account, out_order_no)"
            f" WHERE state = 'SUCCESS' AND {_CHOSEN} GROUP BY account, out_trade_no",
            **chosen,
        )
    }
    moved = []
    for row in orders(store, f"SELECT * FROM bank_payments WHERE {_CHOSEN} ORDER BY rowid", chosen):  # noqa: S608
        key = row["account"], row["out_trade_no"]
        refunds = [{name: refund[name] for name in _REFUND} for refund in refunds_of[key]]
        moved.append(
            order_moved(
                row,
                refunds,
                mchid=row["account"],
                transaction_id=row["transaction_id"],
                state=_STATES[row["state"]],
                split_fen=split_fen.get(key, 0),
            )
        )
    return moved
