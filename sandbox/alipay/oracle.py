"""What Alipay's trades tell the oracle."""

from sandbox.oracle import Chosen, by_order, condition, order_moved, orders
from sandbox.store import Store
from sandbox.wire import Json

_STATES = {"WAIT_BUYER_PAY": "NOTPAY", "TRADE_CLOSED": "CLOSED"}
_CHOSEN = condition("seller_id")


def orders_moved(store: Store, chosen: Chosen) -> list[Json]:
    """Return the chosen trades; `ValueError` where they are too many.

    `split_fen` went to receivers; it comes back only inside a refund, which the sandbox refuses.
    """
    refunds_of = by_order(
        store.all(f"SELECT * FROM alipay_refunds WHERE {_CHOSEN} ORDER BY asked_at", **chosen),  # noqa: S608
        "seller_id",
    )
    split = {
        row["trade_no"]: row["fen"]
        for row in store.all(
            "SELECT trade_no, sum(amount_fen) AS fen FROM alipay_royalties"
            " JOIN alipay_settlements USING (settle_no)"
            " WHERE state = 'SUCCESS' AND receiver <> seller_id"
            " AND (:mchid IS NULL OR seller_id = :mchid) GROUP BY trade_no",
            mchid=chosen["mchid"],
        )
    }
    moved = []
    for row in orders(store, f"SELECT * FROM alipay_trades WHERE {_CHOSEN} ORDER BY rowid", chosen):  # noqa: S608
        refunds = [
            {
                "out_refund_no": refund["out_request_no"],
                # Alipay's refunds have no number of their own.
                "refund_id": row["trade_no"],
                "status": refund["status"],
                "amount_fen": refund["amount_fen"],
            }
            for refund in refunds_of[row["seller_id"], row["out_trade_no"]]
        ]
        moved.append(
            order_moved(
                row,
                refunds,
                mchid=row["seller_id"],
                transaction_id=row["trade_no"] if row["paid_at"] is not None else None,
                state=_STATES.get(row["state"], "SUCCESS"),
                split_fen=split.get(row["trade_no"], 0),
            )
        )
    return moved
