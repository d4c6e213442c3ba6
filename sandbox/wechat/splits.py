"""Profit sharing (分账): receivers, splits and a result for each receiver, (§1.11)."""

import asyncio
import sqlite3
import time

from sandbox.store import Store
from sandbox.wechat.flows import Flow, record
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.models import ReceiverBody, ShareBody, SplitBody, UnfreezeBody, parse
from sandbox.wechat.orders import Orders
from sandbox.wechat.protocol import WeChatError
from sandbox.wechat.shared import fail_reason, refunded_fen, returned_fen, shared_fen
from sandbox.wire import Json, china_time, number, parameters_hash

YOUNGEST_SECONDS = 60.0
"""A payment must be a minute old, before division by `speed`."""
OLDEST_SECONDS = 30 * 24 * 3600
MAX_SPLITS = 50
UNFROZEN = "解冻给分账方"


class Splits:
    """The gateway's splits, keyed by payee and the merchant's number."""

    def __init__(
        self, store: Store, orders: Orders, merchants: Merchants, wake: asyncio.Event
    ) -> None:
        """Keep splits in the store; `wake` is set when there is more to end."""
        self._wake = wake
        self._store = store
        self._orders = orders
        self._merchants = merchants

    def add_receiver(self, merchant: Merchant, raw: bytes) -> Json:
        """Let a receiver be given shares; repeatable."""
        body, given = parse(ReceiverBody, raw)
        payee = self._orders.payee(merchant, body.sub_mchid)
        if body.type == "MERCHANT_ID":
            if not body.name:
                raise WeChatError(400, "PARAM_ERROR", "商户全称必填")
            if self._merchants.find(body.account) is None:
                raise WeChatError(400, "INVALID_REQUEST", "分账接收方商户号不存在")
        self._store.run(
            "INSERT INTO receivers VALUES (:mchid, :type, :account, :relation_type)"
            " ON CONFLICT DO UPDATE SET relation_type = :relation_type",
            mchid=payee.mchid,
            type=body.type,
            account=body.account,
            relation_type=body.relation_type,
        )
        names = ("sub_mchid", "type", "account", "name", "relation_type")
        return {name: given[name] for name in names if name in given}

    def delete_receiver(self, merchant: Merchant, raw: bytes) -> Json:
        """End that; repeatable."""
        body, _ = parse(ReceiverBody, raw)
        payee = self._orders.payee(merchant, body.sub_mchid)
        self._store.run(
            "DELETE FROM receivers WHERE mchid = :mchid AND type = :type AND account = :account",
            mchid=payee.mchid,
            type=body.type,
            account=body.account,
        )
        return {"type": body.type, "account": body.account}

    def create(self, merchant: Merchant, raw: bytes) -> Json:
        """Accept a split as PROCESSING; the same number again is the same split."""
        body, parameters = parse(SplitBody, raw)
        payee = self._orders.payee(merchant, body.sub_mchid)
        parameters_id = parameters_hash("split", parameters)
        with self._store.transaction():
            known = self._known(payee, body.out_order_no, parameters_id)
            if known is None:
                order = self._splittable(payee, body.transaction_id)
                self._hold_to_limits(order, sum(share.amount for share in body.receivers))
                self._insert(
                    order, body.out_order_no, parameters_id, unfreeze=body.unfreeze_unsplit
                )
                for share in body.receivers:
                    self._add_share(order, body.out_order_no, share)
        return self.query(payee, body.out_order_no)

    def unfreeze(self, merchant: Merchant, raw: bytes) -> Json:
        """Give the payee what is left; under a number of its own."""
        body, parameters = parse(UnfreezeBody, raw)
        payee = self._orders.payee(merchant, body.sub_mchid)
        parameters_id = parameters_hash("unfreeze", parameters)
        with self._store.transaction():
            known = self._known(payee, body.out_order_no, parameters_id)
            if known is None:
                order = self._splittable(payee, body.transaction_id)
                self._insert(order, body.out_order_no, parameters_id, unfreeze=True)
        return self.query(payee, body.out_order_no)

    def query(self, payee: Merchant, out_order_no: str) -> Json:
        """Return a split with each receiver's result; RESOURCE_NOT_EXISTS."""
        row = self._existing(payee.mchid, out_order_no)
        shares = self._store.all(
            "SELECT * FROM shares WHERE mchid = :mchid AND out_order_no = :number ORDER BY rowid",
            mchid=payee.mchid,
            number=out_order_no,
        )
        shown = {
            "transaction_id": row["transaction_id"],
            "out_order_no": row["out_order_no"],
            "order_id": row["order_id"],
            "state": row["state"],
            "receivers": [_shown_share(share) for share in shares],
        }
        return shown | ({"sub_mchid": payee.mchid} if payee.sp_mchid else {})

    def amounts(self, payee: Merchant, transaction_id: str) -> Json:
        """Return what of a payment can still be shared out; ORDER_NOT_EXIST."""
        order = self._orders.existing(self._orders.find_paid(payee.mchid, transaction_id))
        return {"transaction_id": transaction_id, "unsplit_amount": self._unsplit_fen(order)}

    def configs(self, payee: Merchant) -> Json:
        """Return how much of a payment may be shared out, in ten thousandths."""
        percent = self._merchants.habits(payee.mchid).split_percent
        return {"sub_mchid": payee.mchid, "max_ratio": percent * 100}

    def settle_due(self, now: float) -> float | None:
        """End what is due; when the next is, if any is."""
        for split in self._store.all("SELECT * FROM splits WHERE due_at <= :now", now=now):
            with self._store.transaction():
                self._end(split, now)
        due = self._store.one("SELECT min(due_at) AS due_at FROM splits WHERE due_at IS NOT NULL")
        return due["due_at"] if due else None

    def let_fail(self, account: str, fail_reason: str | None) -> None:
        """Close a receiver's shares for a reason from now on, or pay them again."""
        self._store.run("DELETE FROM failing_receivers WHERE account = :account", account=account)
        if fail_reason is not None:
            row = {"account": account, "fail_reason": fail_reason}
            self._store.insert("failing_receivers", row)

    def _known(self, payee: Merchant, out_order_no: str, parameters_id: str) -> sqlite3.Row | None:
        row = self._find(payee.mchid, out_order_no)
        if row is not None and row["parameters_hash"] != parameters_id:
            raise WeChatError(400, "INVALID_REQUEST", "商户分账单号重复，参数不一致")
        return row

    def _splittable(self, payee: Merchant, transaction_id: str) -> sqlite3.Row:
        order = self._orders.find_paid(payee.mchid, transaction_id)
        if order is None:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "订单不存在")
        age_seconds = time.time() - order["success_time"]
        if not order["profit_sharing"]:
            raise WeChatError(400, "INVALID_REQUEST", "非分账订单不支持分账")
        if age_seconds < self._merchants.habits(payee.mchid).seconds(YOUNGEST_SECONDS):
            raise WeChatError(400, "INVALID_REQUEST", "订单处理中，暂时无法分账，请稍后再试")
        if age_seconds > OLDEST_SECONDS:
            raise WeChatError(403, "RULE_LIMIT", "订单已超过分账期限")
        if order["unfrozen"]:
            raise WeChatError(403, "NOT_ENOUGH", "订单剩余待分金额不足")
        return order

    def _hold_to_limits(self, order: sqlite3.Row, wanted_fen: int) -> None:
        shared = shared_fen(self._store, order)
        percent = self._merchants.habits(order["mchid"]).split_percent
        if (shared + wanted_fen) * 100 > order["paid_fen"] * percent:
            raise WeChatError(403, "RULE_LIMIT", "分账金额超过最大分账比例")
        if wanted_fen > self._unsplit_fen(order):
            raise WeChatError(403, "NOT_ENOUGH", "订单剩余待分金额不足")
        count = self._store.one(
            "SELECT count(*) AS splits FROM splits WHERE mchid = :mchid AND out_trade_no = :number",
            mchid=order["mchid"],
            number=order["out_trade_no"],
        )
        if count is not None and count["splits"] >= MAX_SPLITS:
            raise WeChatError(403, "RULE_LIMIT", "同一订单分账次数超过 50 次")

    def _unsplit_fen(self, order: sqlite3.Row) -> int:
        if order["unfrozen"] or not order["profit_sharing"]:
            return 0
        # What was taken back is in the payee's balance and can't be shared out again.
        gone_fen = shared_fen(self._store, order) + returned_fen(self._store, order)
        left_fen: int = order["paid_fen"] - gone_fen - refunded_fen(self._store, order)
        return max(0, left_fen)

    def _insert(
        self, order: sqlite3.Row, out_order_no: str, parameters_id: str, *, unfreeze: bool
    ) -> None:
        now = time.time()
        habits = self._merchants.habits(order["mchid"])
        self._store.insert(
            "splits",
            {
                "mchid": order["mchid"],
                "out_order_no": out_order_no,
                "order_id": number("3008", now, 28),
                "out_trade_no": order["out_trade_no"],
                "transaction_id": order["transaction_id"],
                "parameters_hash": parameters_id,
                "unfreeze": int(unfreeze),
                "state": "PROCESSING",
                "create_time": now,
                "due_at": now + habits.seconds(habits.split_seconds),
            },
        )
        self._wake.set()

    def _add_share(
        self, order: sqlite3.Row, out_order_no: str, share: ShareBody, *, result: str = "PENDING"
    ) -> None:
        now = time.time()
        self._store.insert(
            "shares",
            {
                "detail_id": number("3601", now, 28),
                "mchid": order["mchid"],
                "out_order_no": out_order_no,
                "out_trade_no": order["out_trade_no"],
                "type": share.type,
                "account": share.account,
                "amount_fen": share.amount,
                "description": share.description,
                "result": result,
                "create_time": now,
                "finish_time": now if result == "SUCCESS" else None,
            },
        )

    def _end(self, split: sqlite3.Row, now: float) -> None:
        names = {"mchid": split["mchid"], "number": split["out_order_no"]}
        for share in self._store.all(
            "SELECT * FROM shares WHERE mchid = :mchid AND out_order_no = :number"
            " AND result = 'PENDING'",
            **names,
        ):
            self._end_share(split, share, now)
        if split["unfreeze"]:
            self._give_rest(split)
        self._store.run(
            "UPDATE splits SET state = 'FINISHED', due_at = NULL"
            " WHERE mchid = :mchid AND out_order_no = :number",
            **names,
        )

    def _end_share(self, split: sqlite3.Row, share: sqlite3.Row, now: float) -> None:
        reason = self._why_not(share)
        self._store.run(
            "UPDATE shares SET result = :result, fail_reason = :reason, finish_time = :now"
            " WHERE detail_id = :id",
            result="SUCCESS" if reason is None else "CLOSED",
            reason=reason,
            now=now,
            id=share["detail_id"],
        )
        if reason is None:
            names = {
                "kind": "分账",
                "business_no": split["order_id"],
                "voucher_no": split["out_order_no"],
            }
            record(
                self._store,
                Flow(mchid=split["mchid"], amount_fen=-share["amount_fen"], **names),
                Flow(mchid=share["account"], amount_fen=share["amount_fen"], **names),
            )

    def _why_not(self, share: sqlite3.Row) -> str | None:
        failing = fail_reason(self._store, share["account"])
        if failing is not None:
            return failing
        known = self._store.one(
            "SELECT 1 FROM receivers WHERE mchid = :mchid AND type = :type AND account = :account",
            mchid=share["mchid"],
            type=share["type"],
            account=share["account"],
        )
        return None if known else "NO_RELATION"

    def _give_rest(self, split: sqlite3.Row) -> None:
        order = self._orders.existing(self._orders.find(split["mchid"], split["out_trade_no"]))
        rest_fen = self._unsplit_fen(order)
        if rest_fen:
            rest = ShareBody(
                type="MERCHANT_ID", account=order["mchid"], amount=rest_fen, description=UNFROZEN
            )
            self._add_share(order, split["out_order_no"], rest, result="SUCCESS")
        self._store.run(
            "UPDATE orders SET unfrozen = 1 WHERE mchid = :mchid AND out_trade_no = :number",
            mchid=order["mchid"],
            number=order["out_trade_no"],
        )

    def _find(self, mchid: str, out_order_no: str) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM splits WHERE mchid = :mchid AND out_order_no = :number",
            mchid=mchid,
            number=out_order_no,
        )

    def _existing(self, mchid: str, out_order_no: str) -> sqlite3.Row:
        row = self._find(mchid, out_order_no)
        if row is None:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "分账单不存在")
        return row


def _shown_share(row: sqlite3.Row) -> Json:
    shown: Json = {
        "amount": row["amount_fen"],
        "description": row["description"],
        "type": row["type"],
        "account": row["account"],
        "result": row["result"],
        "detail_id": row["detail_id"],
        "create_time": china_time(row["create_time"]),
    }
    if row["finish_time"] is not None:
        shown["finish_time"] = china_time(row["finish_time"])
    if row["fail_reason"] is not None:
        shown["fail_reason"] = row["fail_reason"]
    return shown
