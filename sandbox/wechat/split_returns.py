"""Shares taken back from their receivers (分账回退), before a refund (§1.11)."""

import asyncio
import sqlite3
import time

from sandbox.store import Store
from sandbox.wechat.flows import Flow, record
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.models import ReturnBody, parse
from sandbox.wechat.orders import Orders
from sandbox.wechat.protocol import WeChatError
from sandbox.wechat.shared import fail_reason
from sandbox.wire import Json, china_time, number, parameters_hash

WINDOW_SECONDS = 180 * 24 * 3600


class SplitReturns:
    """The gateway's returns of shares, keyed by payee and the merchant's number."""

    def __init__(
        self, store: Store, orders: Orders, merchants: Merchants, wake: asyncio.Event
    ) -> None:
        """Keep returns in the store; `wake` is set when there is more to end."""
        self._wake = wake
        self._store = store
        self._orders = orders
        self._merchants = merchants

    def create(self, merchant: Merchant, raw: bytes) -> Json:
        """Take a merchant's share back, or some of it; the same number is the same return."""
        body, parameters = parse(ReturnBody, raw)
        payee = self._orders.payee(merchant, body.sub_mchid)
        parameters_id = parameters_hash("return", parameters)
        now = time.time()
        with self._store.transaction():
            known = self._find(payee.mchid, body.out_return_no)
            if known is not None:
                if known["parameters_hash"] != parameters_id:
                    raise WeChatError(400, "INVALID_REQUEST", "回退单号重复，参数不一致")
                return _shown(known)
            split = self._of_return(payee, body)
            self._hold_return_to_share(split, body)
            habits = self._merchants.habits(payee.mchid)
            self._store.insert(
                "split_returns",
                {
                    "mchid": payee.mchid,
                    "out_return_no": body.out_return_no,
                    "return_id": number("3008", now, 28),
                    "out_order_no": split["out_order_no"],
                    "out_trade_no": split["out_trade_no"],
                    "return_mchid": body.return_mchid,
                    "parameters_hash": parameters_id,
                    "amount_fen": body.amount,
                    "description": body.description,
                    "result": "PROCESSING",
                    "create_time": now,
                    "due_at": now + habits.seconds(habits.split_seconds),
                },
            )
        self._wake.set()
        return self.query(payee, split["out_order_no"], body.out_return_no)

    def query(self, payee: Merchant, out_order_no: str, out_return_no: str) -> Json:
        """Return what became of a return; RESOURCE_NOT_EXISTS."""
        row = self._find(payee.mchid, out_return_no)
        if row is None or row["out_order_no"] != out_order_no:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "回退单不存在")
        return _shown(row)

    def settle_due(self, now: float) -> float | None:
        """End what is due; when the next is, if any is."""
        for row in self._store.all("SELECT * FROM split_returns WHERE due_at <= :now", now=now):
            with self._store.transaction():
                self._end(row, now)
        due = self._store.one(
            "SELECT min(due_at) AS due_at FROM split_returns WHERE due_at IS NOT NULL"
        )
        return due["due_at"] if due else None

    def _of_return(self, payee: Merchant, body: ReturnBody) -> sqlite3.Row:
        split = self._store.one(
            "SELECT * FROM splits WHERE mchid = :mchid"
            " AND (out_order_no = :number OR order_id = :order_id)",
            mchid=payee.mchid,
            number=body.out_order_no,
            order_id=body.order_id,
        )
        if split is None:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "分账单不存在")
        if time.time() - split["create_time"] > WINDOW_SECONDS:
            raise WeChatError(403, "RULE_LIMIT", "分账单已超过可回退期限")
        return split

    def _hold_return_to_share(self, split: sqlite3.Row, body: ReturnBody) -> None:
        names = {
            "mchid": split["mchid"],
            "number": split["out_order_no"],
            "account": body.return_mchid,
        }
        shared = self._store.one(
            "SELECT coalesce(sum(amount_fen), 0) AS fen FROM shares WHERE mchid = :mchid"
            " AND out_order_no = :number AND account = :account"
            " AND type = 'MERCHANT_ID' AND result = 'SUCCESS'",
            **names,
        )
        returned = self._store.one(
            "SELECT coalesce(sum(amount_fen), 0) AS fen FROM split_returns WHERE mchid = :mchid"
            " AND out_order_no = :number AND return_mchid = :account AND result <> 'FAILED'",
            **names,
        )
        if shared is None or returned is None:
            raise LookupError("an aggregate always has a row")
        if body.return_mchid == split["mchid"] or shared["fen"] < returned["fen"] + body.amount:
            raise WeChatError(400, "INVALID_REQUEST", "回退金额超过可回退金额")

    def _end(self, row: sqlite3.Row, now: float) -> None:
        failing = fail_reason(self._store, row["return_mchid"])
        reason = "PAYER_ACCOUNT_ABNORMAL" if failing else None
        self._store.run(
            "UPDATE split_returns SET result = :result, fail_reason = :reason,"
            " finish_time = :now, due_at = NULL"
            " WHERE mchid = :mchid AND out_return_no = :number",
            result="FAILED" if reason else "SUCCESS",
            reason=reason,
            now=now,
            mchid=row["mchid"],
            number=row["out_return_no"],
        )
        if reason is None:
            names = {
                "kind": "分账回退",
                "business_no": row["return_id"],
                "voucher_no": row["out_return_no"],
            }
            record(
                self._store,
                Flow(mchid=row["return_mchid"], amount_fen=-row["amount_fen"], **names),
                Flow(mchid=row["mchid"], amount_fen=row["amount_fen"], **names),
            )

    def _find(self, mchid: str, out_return_no: str) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM split_returns WHERE mchid = :mchid AND out_return_no = :number",
            mchid=mchid,
            number=out_return_no,
        )


def _shown(row: sqlite3.Row) -> Json:
    shown: Json = {
        "out_order_no": row["out_order_no"],
        "out_return_no": row["out_return_no"],
        "return_id": row["return_id"],
        "return_mchid": row["return_mchid"],
        "amount": row["amount_fen"],
        "description": row["description"],
        "result": row["result"],
        "create_time": china_time(row["create_time"]),
    }
    if row["finish_time"] is not None:
        shown["finish_time"] = china_time(row["finish_time"])
    if row["fail_reason"] is not None:
        shown["fail_reason"] = row["fail_reason"]
    return shown
