"""The oracle: money truly moved by cards, whatever anybody was told."""

import json
from collections import defaultdict
from typing import Any

from sandbox.card.wire import Json
from sandbox.store import Store

MAX_ORDERS = 100_000
_STATES = {"succeeded": "SUCCESS", "canceled": "CLOSED", "requires_capture": "AUTHORIZED"}
_REFUND_STATES = {
    "pending": "PROCESSING",
    "succeeded": "SUCCESS",
    "failed": "ABNORMAL",
    "canceled": "CLOSED",
}


def money_moved(
    store: Store,
    *,
    mchid: str | None = None,
    out_trade_no: str | None = None,
    prefix: str | None = None,
) -> dict[str, Any]:
    """Return the chosen intents with their charges and refunds, and the totals in fen.

    `mchid` is the account, `transaction_id` the intent's id; `refunding_fen` is accepted but not
    ended, or failed. `ValueError` above `MAX_ORDERS` orders.
    """
    rows = store.all(
        "SELECT account, body FROM card_objects WHERE object = 'payment_intent'"
        " AND (:mchid IS NULL OR account = :mchid)"
        " AND (:number IS NULL OR number = :number)"
        " AND (:prefix IS NULL OR substr(number, 1, length(:prefix)) = :prefix)"
        " ORDER BY seq LIMIT :limit",
        mchid=mchid,
        number=out_trade_no,
        prefix=prefix,
        limit=MAX_ORDERS + 1,
    )
    if len(rows) > MAX_ORDERS:
        raise ValueError(f"more than {MAX_ORDERS} orders: choose fewer")
    children: defaultdict[tuple[str, str], list[Json]] = defaultdict(list)
    for row in store.all(
        "SELECT parent, object, body FROM card_objects WHERE object IN ('charge', 'refund')"
        " AND (:mchid IS NULL OR account = :mchid) ORDER BY seq",
        mchid=mchid,
    ):
        children[row["parent"], row["object"]].append(json.loads(row["body"]))
    orders = []
    for row in rows:
        intent = json.loads(row["body"])
        charges = children[intent["id"], "charge"]
        refunds = children[intent["id"], "refund"]
        orders.append(_order(row["account"], intent, charges, refunds))
    return {
        "orders": orders,
        "paid_fen": sum(order["paid_fen"] for order in orders),
        "refunded_fen": sum(order["refunded_fen"] for order in orders),
    }


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
    state = _STATES.get(intent["status"], "NOTPAY")
    if any(refund["status"] != "CLOSED" for refund in shown):
        state = "REFUND"
    captured = [charge for charge in charges if charge["captured"]]
    captured_fen = sum(charge["amount_captured"] for charge in captured)
    held = [charge for charge in charges if charge["status"] == "succeeded"]
    return {
        "mchid": account,
        "out_trade_no": intent["metadata"].get("out_trade_no", ""),
        "transaction_id": intent["id"],
        "trade_state": state,
        "amount_fen": intent["amount"],
        "paid_fen": captured_fen,
        "refunded_fen": _sum(shown, {"SUCCESS"}),
        "refunding_fen": _sum(shown, {"PROCESSING", "ABNORMAL"}),
        "charges": len(captured),
        "refunds": shown,
        "authorized_fen": sum(charge["amount"] for charge in held),
        "captured_fen": captured_fen,
    }


def _sum(refunds: list[Json], statuses: set[str]) -> int:
    return sum(refund["amount_fen"] for refund in refunds if refund["status"] in statuses)
