"""What payments by card tell the oracle."""

import json
from collections import defaultdict

from sandbox.oracle import Chosen, condition, order_moved, orders
from sandbox.store import Store
from sandbox.wire import Json

_STATES = {"succeeded": "SUCCESS", "canceled": "CLOSED", "requires_capture": "AUTHORIZED"}
_REFUND_STATES = {
    "pending": "PROCESSING",
    "succeeded": "SUCCESS",
    "failed": "ABNORMAL",
    "canceled": "CLOSED",
}


def orders_moved(store: Store, chosen: Chosen) -> list[Json]:
    """Return the chosen intents; `ValueError` where they are too many.

    `mchid` is the account, `transaction_id` the intent's id; a failed refund is ABNORMAL.
    """
    rows = orders(
        store,
        "SELECT account, body FROM card_objects WHERE object = 'payment_intent'"  # noqa: S608
        f" AND {condition('account', 'number')} ORDER BY seq",
        chosen,
    )
    children: defaultdict[tuple[str, str], list[Json]] = defaultdict(list)
    for row in store.all(
        "SELECT parent, object, body FROM card_objects WHERE object IN ('charge', 'refund')"
        " AND (:mchid IS NULL OR account = :mchid) ORDER BY seq",
        mchid=chosen["mchid"],
    ):
        children[row["parent"], row["object"]].append(json.loads(row["body"]))
    moved = []
    for row in rows:
        intent = json.loads(row["body"])
        charges = children[intent["id"], "charge"]
        refunds = children[intent["id"], "refund"]
        moved.append(_order(row["account"], intent, charges, refunds))
    return moved


def _order(account: str, intent: Json, charges: list[Json], refunds: list[Json]) -> Json:
    shown = [
        {
            "out_refund_no": refund["metadata"].get("out_refund_no", ""),
            "refund_id": refund["id"],
            "status": _REFUND_STATES[refund["status"]],
            "amount_fen": refund["amount"],
        }
        for refund in refunds
    ]
    captured = [charge for charge in charges if charge["captured"]]
    captured_fen = sum(charge["amount_captured"] for charge in captured)
    row = {
        "out_trade_no": intent["metadata"].get("out_trade_no", ""),
        "amount_fen": intent["amount"],
        "paid_fen": captured_fen,
        "charges": len(captured),
    }
    return order_moved(
        row,
        shown,
        mchid=account,
        transaction_id=intent["id"],
        state=_STATES.get(intent["status"], "NOTPAY"),
        authorized_fen=sum(
            charge["amount"] for charge in charges if charge["status"] == "succeeded"
        ),
        captured_fen=captured_fen,
    )
