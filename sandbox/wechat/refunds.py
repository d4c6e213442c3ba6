"""Refunds at the gateway: applying, looking up, and how each comes to its end."""

import sqlite3
import time
from typing import Literal

from sandbox.store import Store
from sandbox.wechat.flows import Flow, record, yuan
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.models import AbnormalRefundBody, RefundBody, parse
from sandbox.wechat.notices import Notices
from sandbox.wechat.orders import Orders
from sandbox.wechat.protocol import WeChatError
from sandbox.wechat.shared import shared_fen
from sandbox.wire import Json, china_time, number, parameters_hash

REFUND_WINDOW_SECONDS = 365 * 24 * 3600
MAX_REFUNDS_PER_ORDER = 50
SPACING_SECONDS = 60.0

Resolution = Literal["SUCCESS", "ABNORMAL", "CLOSED"]


class RefundIsFinal(Exception):
    """A refund that has reached SUCCESS or CLOSED stays so."""


class Refunds:
    """The gateway's refunds, keyed by payee and the merchant's refund number."""

    def __init__(
        self, store: Store, orders: Orders, merchants: Merchants, notices: Notices
    ) -> None:
        """Keep refunds in the store and announce their ends through the notices."""
        self._store = store
        self._orders = orders
        self._merchants = merchants
        self._notices = notices

    def create(self, merchant: Merchant, raw: bytes) -> Json:
        """Accept a refund as PROCESSING; the same number again is the same refund (§1.7)."""
        body, parameters = parse(RefundBody, raw)
        parameters_id = parameters_hash("refund", parameters)
        payee = self._orders.payee(merchant, body.sub_mchid)
        now = time.time()
        with self._store.transaction():
            known = self.find(payee.mchid, body.out_refund_no)
            if known is not None:
                if known["parameters_hash"] != parameters_id:
                    raise WeChatError(
                        400, "REFUND_FEE_MISMATCH", "订单金额或退款金额与之前请求不一致"
                    )
                return self.shown(known)
            order = self._refundable(payee, body, now)
            habits = self._merchants.habits(payee.mchid)
            self._store.insert(
                "refunds",
                {
                    "mchid": payee.mchid,
                    "out_refund_no": body.out_refund_no,
                    "refund_id": number("5030", now, 29),
                    "out_trade_no": order["out_trade_no"],
                    "parameters_hash": parameters_id,
                    "amount_fen": body.amount.refund,
                    "notify_url": body.notify_url,
                    "status": "PROCESSING",
                    "create_time": now,
                    "due_at": now + habits.seconds(habits.refund_seconds),
                },
            )
            accepted = self._existing(payee.mchid, body.out_refund_no)
        self._notices.wake.set()
        return self.shown(accepted)

    def query(self, payee: Merchant, out_refund_no: str) -> Json:
        """Return the refund; RESOURCE_NOT_EXISTS."""
        return self.shown(self._existing(payee.mchid, out_refund_no))

    def retry_abnormal(self, merchant: Merchant, refund_id: str, raw: bytes) -> Json:
        """Send an ABNORMAL refund on its way again, to another account; it can now arrive."""
        body, _ = parse(AbnormalRefundBody, raw)
        payee = self._orders.payee(merchant, body.sub_mchid)
        to_user = (body.bank_type, body.bank_account, body.real_name)
        if body.type == "USER_BANK_CARD" and not all(to_user):
            raise WeChatError(400, "PARAM_ERROR", "收款用户银行卡信息必填")
        habits = self._merchants.habits(payee.mchid)
        with self._store.transaction():
            row = self._existing(payee.mchid, body.out_refund_no)
            if row["refund_id"] != refund_id or row["status"] != "ABNORMAL":
                raise WeChatError(400, "INVALID_REQUEST", "退款单不是异常状态")
            self._store.run(
                "UPDATE refunds SET status = 'PROCESSING', due_at = :due_at, retried = 1"
                " WHERE mchid = :mchid AND out_refund_no = :number",
                due_at=time.time() + habits.seconds(habits.refund_seconds),
                mchid=payee.mchid,
                number=body.out_refund_no,
            )
        self._notices.wake.set()
        return self.query(payee, body.out_refund_no)

    def settle_due(self, now: float) -> float | None:
        """End the refunds whose time has come; when the next one is due, if any is."""
        for row in self._store.all("SELECT * FROM refunds WHERE due_at <= :now", now=now):
            outcome = self._merchants.habits(row["mchid"]).refund_outcome
            if row["retried"] and outcome == "ABNORMAL":
                outcome = "SUCCESS"
            with self._store.transaction():
                self._end(row, outcome, now)
        due = self._store.one("SELECT min(due_at) AS due_at FROM refunds WHERE due_at IS NOT NULL")
        return due["due_at"] if due else None

    def resolve(self, mchid: str, out_refund_no: str, status: Resolution) -> Json:
        """End a refund by hand; `RefundIsFinal`, or RESOURCE_NOT_EXISTS."""
        with self._store.transaction():
            row = self._existing(mchid, out_refund_no)
            if row["status"] in {"SUCCESS", "CLOSED"}:
                raise RefundIsFinal
            self._end(row, status, time.time())
        return self.shown(self._existing(mchid, out_refund_no))

    def find(self, mchid: str, out_refund_no: str) -> sqlite3.Row | None:
        """Return the refund's row by the merchant's number."""
        return self._store.one(
            "SELECT * FROM refunds WHERE mchid = :mchid AND out_refund_no = :number",
            mchid=mchid,
            number=out_refund_no,
        )

    def shown(self, row: sqlite3.Row) -> Json:
        """Return the refund as answers show it (callbacks say `refund_status`)."""
        order = self._orders.find(row["mchid"], row["out_trade_no"])
        if order is None:
            raise LookupError("a refund without its order")
        shown: Json = {
            "refund_id": row["refund_id"],
            "out_refund_no": row["out_refund_no"],
            "transaction_id": order["transaction_id"],
            "out_trade_no": row["out_trade_no"],
            "channel": "ORIGINAL",
            "user_received_account": "支付用户零钱",
            "create_time": china_time(row["create_time"]),
            "status": row["status"],
            "funds_account": "AVAILABLE",
            "amount": {
                "total": order["paid_fen"],
                "refund": row["amount_fen"],
                "from": [],
                "payer_total": order["paid_fen"],
                "payer_refund": row["amount_fen"],
                "settlement_refund": row["amount_fen"],
                "settlement_total": order["paid_fen"],
                "discount_refund": 0,
                "refund_fee": row["fee_fen"],
                "currency": "CNY",
            },
            "promotion_detail": [],
        }
        if row["success_time"] is not None:
            shown["success_time"] = china_time(row["success_time"])
        return shown

    def _refundable(self, payee: Merchant, body: RefundBody, now: float) -> sqlite3.Row:
        if body.transaction_id is not None:
            order = self._orders.find_paid(payee.mchid, body.transaction_id)
        elif body.out_trade_no is not None:
            order = self._orders.find(payee.mchid, body.out_trade_no)
        else:
            raise WeChatError(400, "PARAM_ERROR", "transaction_id 和 out_trade_no 必填其一")
        if order is None or body.out_trade_no not in {None, order["out_trade_no"]}:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "订单不存在")
        if order["state"] != "SUCCESS":
            raise WeChatError(400, "INVALID_REQUEST", "订单未支付，不能退款")
        if body.amount.total != order["paid_fen"]:
            raise WeChatError(400, "INVALID_REQUEST", "原订单金额与支付金额不一致")
        if now - order["success_time"] > REFUND_WINDOW_SECONDS:
            raise WeChatError(403, "TRADE_OVERDUE", "订单已经超过退款期限")
        sums = self._store.one(
            "SELECT count(*) AS refunds, coalesce(sum(amount_fen), 0) AS fen,"
            " coalesce(max(create_time), 0) AS latest FROM refunds"
            " WHERE mchid = :mchid AND out_trade_no = :number AND status <> 'CLOSED'",
            mchid=payee.mchid,
            number=order["out_trade_no"],
        )
        if sums is None:
            raise LookupError("an aggregate always has a row")
        if sums["fen"] + body.amount.refund > order["paid_fen"]:
            raise WeChatError(400, "INVALID_REQUEST", "申请退款金额大于订单可退金额")
        habits = self._merchants.habits(payee.mchid)
        left_fen = order["paid_fen"] - shared_fen(self._store, order) - sums["fen"]
        if body.amount.refund > left_fen or not habits.has_balance:
            raise WeChatError(403, "NOT_ENOUGH", "基本账户余额不足，请先回退分账资金或充值")
        if sums["refunds"] >= MAX_REFUNDS_PER_ORDER:
            raise WeChatError(403, "RULE_LIMIT", "部分退款次数超过 50 次")
        if now - sums["latest"] < habits.seconds(SPACING_SECONDS):
            raise WeChatError(429, "FREQUENCY_LIMITED", "同一订单多次退款需间隔 1 分钟")
        return order

    def _end(self, row: sqlite3.Row, status: str, now: float) -> None:
        self._store.run(
            "UPDATE refunds SET status = :status, due_at = NULL, success_time = :success_time"
            " WHERE mchid = :mchid AND out_refund_no = :number",
            status=status,
            success_time=now if status == "SUCCESS" else None,
            mchid=row["mchid"],
            number=row["out_refund_no"],
        )
        if status == "SUCCESS":
            self._give_back(row)
        if status == "PROCESSING" or row["notify_url"] is None:
            return
        ended = self.shown(self._existing(row["mchid"], row["out_refund_no"]))
        amount = ended["amount"]
        sp_mchid, own = self._merchants.get(row["mchid"]).sp_mchid, {"mchid": row["mchid"]}
        resource = {
            **({"sp_mchid": sp_mchid, "sub_mchid": row["mchid"]} if sp_mchid else own),
            "out_trade_no": ended["out_trade_no"],
            "transaction_id": ended["transaction_id"],
            "out_refund_no": ended["out_refund_no"],
            "refund_id": ended["refund_id"],
            "refund_status": status,
            "user_received_account": ended["user_received_account"],
            "amount": {k: amount[k] for k in ("total", "refund", "payer_total", "payer_refund")},
        }
        if status == "SUCCESS":
            resource["success_time"] = ended["success_time"]
        self._notices.add(
            mchid=row["mchid"],
            out_trade_no=row["out_trade_no"],
            out_refund_no=row["out_refund_no"],
            notify_url=row["notify_url"],
            event_type=f"REFUND.{status}",
            resource=resource,
        )

    def _give_back(self, row: sqlite3.Row) -> None:
        """Let the money go, and the channel's fee come back pro rata."""
        names = {"mchid": row["mchid"], "number": row["out_trade_no"]}
        order = self._orders.existing(self._orders.find(row["mchid"], row["out_trade_no"]))
        back = self._store.one(
            "SELECT sum(amount_fen) AS fen, sum(fee_fen) AS fee_fen FROM refunds"
            " WHERE mchid = :mchid AND out_trade_no = :number AND status = 'SUCCESS'",
            **names,
        )
        if back is None:
            raise LookupError("an aggregate always has a row")
        due_fen = (order["fee_fen"] * back["fen"] * 2 + order["paid_fen"]) // (
            2 * order["paid_fen"]
        )
        fee_fen = due_fen - back["fee_fen"]
        self._store.run(
            "UPDATE refunds SET fee_fen = :fee_fen WHERE refund_id = :refund_id",
            fee_fen=fee_fen,
            refund_id=row["refund_id"],
        )
        flow = Flow(
            mchid=row["mchid"],
            business_no=row["refund_id"],
            kind="退款",
            amount_fen=fee_fen - row["amount_fen"],
            voucher_no=row["out_refund_no"],
            note=f"退款总金额{yuan(row['amount_fen'])}元;含手续费{yuan(fee_fen)}元",
        )
        record(self._store, flow)

    def _existing(self, mchid: str, out_refund_no: str) -> sqlite3.Row:
        row = self.find(mchid, out_refund_no)
        if row is None:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return row
