"""Sharing out a trade's money (分账): who may receive, asking, and each receiver's result."""

import sqlite3
import time

from sandbox.alipay.merchants import Merchant, Merchants
from sandbox.alipay.models import NewSettlement, Relation, SettlementName, TradeName
from sandbox.alipay.notices import Notices
from sandbox.alipay.protocol import business_error, china_time, number, success, yuan
from sandbox.alipay.trades import Trades
from sandbox.store import Store
from sandbox.wire import Json, parameters_hash


class Royalties:
    """The gateway's settlements, keyed by seller and the merchant's request number."""

    def __init__(
        self, store: Store, trades: Trades, merchants: Merchants, notices: Notices
    ) -> None:
        """Keep settlements in the store; nobody is called back about them."""
        self._store = store
        self._trades = trades
        self._merchants = merchants
        self._notices = notices

    def bind(self, merchant: Merchant, body: Relation) -> Json:
        """Let accounts receive shares; repeatable."""
        for receiver in body.receiver_list:
            self._store.run(
                "INSERT INTO alipay_relations VALUES (:seller, :receiver) ON CONFLICT DO NOTHING",
                seller=merchant.seller_id,
                receiver=receiver.account,
            )
        return success(result_code="SUCCESS")

    def unbind(self, merchant: Merchant, body: Relation) -> Json:
        """Let accounts receive no more; repeatable."""
        for receiver in body.receiver_list:
            self._store.run(
                "DELETE FROM alipay_relations WHERE seller_id = :seller AND receiver = :receiver",
                seller=merchant.seller_id,
                receiver=receiver.account,
            )
        return success(result_code="SUCCESS")

    def settle(self, merchant: Merchant, body: NewSettlement, asked: Json) -> Json:
        """Take a settlement on; the same number again is the same settlement."""
        parameters_id = parameters_hash("settle", asked)
        now = time.time()
        with self._store.transaction():
            trade = self._trades.existing(merchant.seller_id, TradeName(trade_no=body.trade_no))
            known = self._find(merchant, SettlementName(out_request_no=body.out_request_no))
            if known is not None:
                if known["parameters_hash"] != parameters_id:
                    raise business_error("DISCORDANT_REPEAT_REQUEST", "同一分账请求号，参数不一致")
                return success(trade_no=known["trade_no"], settle_no=known["settle_no"])
            self._require_settleable(trade, body)
            habits = self._merchants.habits(merchant.seller_id)
            settle_no = number(now, 28)
            self._store.insert(
                "alipay_settlements",
                {
                    "seller_id": merchant.seller_id,
                    "out_request_no": body.out_request_no,
                    "trade_no": body.trade_no,
                    "settle_no": settle_no,
                    "parameters_hash": parameters_id,
                    "finishes": int(body.extend_params.royalty_finish == "true"),
                    "asked_at": now,
                    "due_at": now + habits.seconds(habits.royalty_seconds),
                },
            )
            for share in body.royalty_parameters:
                self._store.insert(
                    "alipay_royalties",
                    {
                        "settle_no": settle_no,
                        "receiver": share.trans_in,
                        "amount_fen": share.amount,
                        "state": "PROCESSING",
                    },
                )
        self._notices.wake.set()
        return success(trade_no=body.trade_no, settle_no=settle_no)

    def query(self, merchant: Merchant, body: SettlementName) -> Json:
        """Return each receiver's result."""
        row = self._find(merchant, body)
        if row is None:
            raise business_error("TRADE_SETTLE_NOT_EXIST", "分账请求不存在")
        details = self._store.all(
            "SELECT * FROM alipay_royalties WHERE settle_no = :number ORDER BY rowid",
            number=row["settle_no"],
        )
        return success(
            out_request_no=row["out_request_no"],
            operation_dt=china_time(row["asked_at"]),
            royalty_detail_list=[_detail(merchant, detail) for detail in details],
        )

    def settle_due(self, now: float) -> float | None:
        """End the settlements whose time has come; when the next one is due, if any is."""
        due = self._store.all("SELECT * FROM alipay_settlements WHERE due_at <= :now", now=now)
        for row in due:
            outcome = self._merchants.habits(row["seller_id"]).royalty_outcome
            with self._store.transaction():
                self._store.run(
                    "UPDATE alipay_royalties SET state = :state, ended_at = :now"
                    " WHERE settle_no = :number",
                    state=outcome,
                    now=now,
                    number=row["settle_no"],
                )
                self._store.run(
                    "UPDATE alipay_settlements SET due_at = NULL WHERE settle_no = :number",
                    number=row["settle_no"],
                )
        next_due = self._store.one(
            "SELECT min(due_at) AS due_at FROM alipay_settlements WHERE due_at IS NOT NULL"
        )
        return next_due["due_at"] if next_due else None

    def _require_settleable(self, trade: sqlite3.Row, body: NewSettlement) -> None:
        if trade["state"] != "TRADE_SUCCESS":
            raise business_error("TRADE_STATUS_ERROR", "交易状态不合法")
        for share in body.royalty_parameters:
            bound = self._store.one(
                "SELECT 1 FROM alipay_relations WHERE seller_id = :seller AND receiver = :receiver",
                seller=trade["seller_id"],
                receiver=share.trans_in,
            )
            if bound is None:
                raise business_error("ROYALTY_RECEIVER_INVALID", "分账收款方未绑定")
        spent = self._store.one(
            "SELECT coalesce(sum(r.amount_fen), 0) AS fen, coalesce(max(s.finishes), 0) AS done"
            " FROM alipay_settlements s LEFT JOIN alipay_royalties r"
            " ON r.settle_no = s.settle_no AND r.state <> 'FAIL'"
            " WHERE s.seller_id = :seller AND s.trade_no = :trade",
            seller=trade["seller_id"],
            trade=trade["trade_no"],
        )
        refunded = self._store.one(
            "SELECT coalesce(sum(amount_fen), 0) AS fen FROM alipay_refunds"
            " WHERE status <> 'CLOSED' AND seller_id = :seller AND out_trade_no = :number",
            seller=trade["seller_id"],
            number=trade["out_trade_no"],
        )
        if spent is None or refunded is None:
            raise LookupError("an aggregate always has a row")
        if spent["done"]:
            raise business_error("TRADE_SETTLE_ERROR", "分账已完结")
        wanted = sum(share.amount for share in body.royalty_parameters)
        if wanted > trade["paid_fen"] - trade["fee_fen"] - spent["fen"] - refunded["fen"]:
            raise business_error("ALLOC_AMOUNT_VALIDATE_ERROR", "分账金额超限")

    def _find(self, merchant: Merchant, name: SettlementName) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM alipay_settlements WHERE seller_id = :seller AND"
            " (settle_no = :settle_no OR :settle_no IS NULL AND out_request_no = :request)"
            " AND (:trade_no IS NULL OR trade_no = :trade_no)",
            seller=merchant.seller_id,
            settle_no=name.settle_no,
            request=name.out_request_no,
            trade_no=name.trade_no,
        )


def _detail(merchant: Merchant, row: sqlite3.Row) -> Json:
    shown: Json = {
        "operation_type": "transfer",
        "trans_out": merchant.seller_id,
        "trans_out_type": "userId",
        "trans_in": row["receiver"],
        "trans_in_type": "userId",
        "amount": yuan(row["amount_fen"]),
        "state": row["state"],
    }
    if row["ended_at"] is not None:
        shown["execute_dt"] = china_time(row["ended_at"])
    if row["state"] == "FAIL":
        shown |= {"error_code": "TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH", "error_desc": "账户异常"}
    return shown
