"""Refunds at the gateway: asking, looking up, and how each comes to its end (§2.5)."""

import sqlite3
import time

from sandbox.alipay.merchants import Merchant, Merchants
from sandbox.alipay.models import NewRefund, RefundName, TradeName
from sandbox.alipay.notices import Notices
from sandbox.alipay.protocol import business_error, china_time, success, yuan
from sandbox.alipay.trades import Trades
from sandbox.store import Store
from sandbox.wire import Json

WINDOW_SECONDS = 365 * 24 * 3600
SPACING_SECONDS = 3.0


class Refunds:
    """The gateway's refunds, keyed by trade and the merchant's request number."""

    def __init__(
        self, store: Store, trades: Trades, merchants: Merchants, notices: Notices
    ) -> None:
        """Keep refunds in the store and announce those that succeed through the notices."""
        self._store = store
        self._trades = trades
        self._merchants = merchants
        self._notices = notices

    def create(self, merchant: Merchant, body: NewRefund) -> Json:
        """Refund once per request number; only the call that moves money says `fund_change` Y."""
        with self._store.transaction():
            trade = self._trades.existing(merchant.seller_id, body)
            # Without a number of its own a refund is known by the trade's.
            request_no = body.out_request_no or trade["trade_no"]
            known = self._find(trade, request_no)
            if known is not None and known["amount_fen"] != body.refund_amount:
                raise business_error("DISCORDANT_REPEAT_REQUEST", "同一退款请求号，金额不一致")
            before = self._refunded_fen(trade)
            if known is None or known["status"] == "CLOSED":
                self._require_refundable(trade, body)
                self._ask(trade, request_no, body.refund_amount)
            trade = self._again(trade)
            moved = self._refunded_fen(trade) > before
            refund_fee = yuan(self._refunded_fen(trade))
        self._notices.wake.set()
        return success(
            trade_no=trade["trade_no"],
            out_trade_no=trade["out_trade_no"],
            buyer_logon_id="159****0000",
            buyer_user_id=trade["buyer_id"],
            fund_change="Y" if moved else "N",
            refund_fee=refund_fee,
            send_back_fee=yuan(body.refund_amount) if moved else None,
        )

    def query(self, merchant: Merchant, body: RefundName) -> Json:
        """Return the refund; no field tells one that failed from one never asked for."""
        trade = self._trades.existing(merchant.seller_id, body)
        shown = success(trade_no=trade["trade_no"], out_trade_no=trade["out_trade_no"])
        row = self._find(trade, body.out_request_no)
        if row is None or row["status"] == "CLOSED":
            return shown
        shown |= {
            "out_request_no": row["out_request_no"],
            "refund_amount": yuan(row["amount_fen"]),
            "total_amount": yuan(trade["paid_fen"]),
        }
        if row["status"] == "SUCCESS":
            ended_at = china_time(row["ended_at"])
            shown |= {"refund_status": "REFUND_SUCCESS", "gmt_refund_pay": ended_at}
        return shown

    def cancel(self, merchant: Merchant, name: TradeName) -> Json:
        """Call a trade off: closed if unpaid, given back whole if paid (撤销)."""
        with self._store.transaction():
            trade = self._trades.named(merchant.seller_id, name)
            if trade is None:
                return success(out_trade_no=name.out_trade_no, retry_flag="N")
            action = "close"
            if trade["paid_at"] is None:
                self._trades.call_off(trade)
            else:
                action = "refund"
                left_fen = trade["paid_fen"] - self._refunded_fen(trade)
                if left_fen > 0:
                    self._ask(trade, trade["trade_no"], left_fen)
        return success(
            trade_no=trade["trade_no"],
            out_trade_no=trade["out_trade_no"],
            retry_flag="N",
            action=action,
        )

    def settle_due(self, now: float) -> float | None:
        """End the refunds whose time has come; when the next one is due, if any is."""
        for row in self._store.all("SELECT * FROM alipay_refunds WHERE due_at <= :now", now=now):
            with self._store.transaction():
                trade = self._trades.find(row["seller_id"], row["out_trade_no"])
                if trade is None:
                    raise LookupError("a refund without its trade")
                outcome = self._merchants.habits(row["seller_id"]).refund_outcome
                self._end(trade, row, outcome, now)
        due = self._store.one(
            "SELECT min(due_at) AS due_at FROM alipay_refunds WHERE due_at IS NOT NULL"
        )
        return due["due_at"] if due else None

    def _require_refundable(self, trade: sqlite3.Row, body: NewRefund) -> None:
        now = time.time()
        if trade["paid_at"] is None:
            raise business_error("TRADE_STATUS_ERROR", "交易状态不合法")
        if now - trade["paid_at"] > WINDOW_SECONDS:
            raise business_error("TRADE_HAS_FINISHED", "交易已完结")
        sums = self._store.one(
            "SELECT coalesce(sum(amount_fen), 0) AS fen, coalesce(max(asked_at), 0) AS latest"
            " FROM alipay_refunds WHERE seller_id = :seller AND out_trade_no = :number"
            " AND status <> 'CLOSED'",
            seller=trade["seller_id"],
            number=trade["out_trade_no"],
        )
        if sums is None:
            raise LookupError("an aggregate always has a row")
        left_fen = trade["paid_fen"] - sums["fen"]
        is_whole = body.out_request_no is not None or body.refund_amount == trade["paid_fen"]
        if body.refund_amount > left_fen or not is_whole:
            raise business_error("REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
        habits = self._merchants.habits(trade["seller_id"])
        if not habits.seller_has_balance:
            raise business_error("SELLER_BALANCE_NOT_ENOUGH", "卖家余额不足")
        if now - sums["latest"] < habits.seconds(SPACING_SECONDS):
            raise business_error("SYSTEM_ERROR", "同一笔交易退款至少间隔 3 秒，请用原参数重试")

    def _ask(self, trade: sqlite3.Row, request_no: str, amount_fen: int) -> None:
        now = time.time()
        habits = self._merchants.habits(trade["seller_id"])
        self._store.run(
            "INSERT INTO alipay_refunds (seller_id, out_request_no, out_trade_no, amount_fen,"
            " status, asked_at, due_at) VALUES (:seller, :request, :number, :fen, 'PROCESSING',"
            " :now, :due) ON CONFLICT DO UPDATE SET status = 'PROCESSING', asked_at = :now,"
            " due_at = :due",
            seller=trade["seller_id"],
            request=request_no,
            number=trade["out_trade_no"],
            fen=amount_fen,
            now=now,
            due=now + habits.seconds(habits.refund_seconds),
        )
        row = self._find(trade, request_no)
        if row is not None and habits.refund_seconds == 0:
            self._end(trade, row, habits.refund_outcome, now)

    def _end(self, trade: sqlite3.Row, row: sqlite3.Row, status: str, now: float) -> None:
        is_success = status == "SUCCESS"
        after_fen = self._refunded_fen(trade) + row["amount_fen"]
        fee_back = self._fee_back(trade, after_fen) if is_success else 0
        self._store.run(
            "UPDATE alipay_refunds SET status = :status, due_at = NULL, ended_at = :ended,"
            " fee_fen = :fee WHERE seller_id = :seller AND out_trade_no = :number"
            " AND out_request_no = :request",
            status=status,
            ended=now if is_success else None,
            fee=fee_back,
            seller=row["seller_id"],
            number=row["out_trade_no"],
            request=row["out_request_no"],
        )
        if not is_success:
            return
        times = {"refund_fee": yuan(after_fen), "gmt_refund": f"{china_time(now)}.000"}
        if after_fen == trade["paid_fen"]:
            self._store.run(
                "UPDATE alipay_trades SET state = 'TRADE_CLOSED', closed_at = :now"
                " WHERE seller_id = :seller AND out_trade_no = :number",
                now=now,
                seller=trade["seller_id"],
                number=trade["out_trade_no"],
            )
            times["gmt_close"] = china_time(now)
        self._notices.add(self._again(trade), out_biz_no=row["out_request_no"], **times)

    def _fee_back(self, trade: sqlite3.Row, after_fen: int) -> int:
        """The fee comes back in proportion; the parts add up to the whole of it."""
        given = self._sum(trade, "fee_fen")
        return int(trade["fee_fen"] * after_fen // max(trade["paid_fen"], 1)) - given

    def _refunded_fen(self, trade: sqlite3.Row) -> int:
        return self._sum(trade, "amount_fen")

    def _sum(self, trade: sqlite3.Row, column: str) -> int:
        row = self._store.one(
            f"SELECT coalesce(sum({column}), 0) AS fen FROM alipay_refunds"  # noqa: S608
            " WHERE seller_id = :seller AND out_trade_no = :number AND status = 'SUCCESS'",
            seller=trade["seller_id"],
            number=trade["out_trade_no"],
        )
        return int(row["fen"]) if row else 0

    def _find(self, trade: sqlite3.Row, request_no: str) -> sqlite3.Row | None:
        return self._store.one(
            "SELECT * FROM alipay_refunds WHERE seller_id = :seller AND out_trade_no = :number"
            " AND out_request_no = :request",
            seller=trade["seller_id"],
            number=trade["out_trade_no"],
            request=request_no,
        )

    def _again(self, trade: sqlite3.Row) -> sqlite3.Row:
        found = self._trades.find(trade["seller_id"], trade["out_trade_no"])
        if found is None:
            raise LookupError("a trade vanished")
        return found
