"""Orders at the gateway: placing, looking up, closing, and taking a customer's money."""

import secrets
import sqlite3
import time
from datetime import datetime

from sandbox.store import Store
from sandbox.wechat.merchants import Merchant
from sandbox.wechat.models import CloseBody, OrderBody, parse
from sandbox.wechat.notices import Notices
from sandbox.wechat.protocol import (
    Json,
    WeChatError,
    china_time,
    number,
    parameter_error,
    parameters_hash,
)

PREPAY_SECONDS = 2 * 3600
DEFAULT_EXPIRY_SECONDS = 7 * 24 * 3600
CODE_URL = "weixin://wxpay/bizpayurl?pr="

_STATE_TEXT = {
    "NOTPAY": "订单未支付",
    "SUCCESS": "支付成功",
    "CLOSED": "订单已关闭",
    "REFUND": "订单发生过退款",
}


class PaymentRefused(Exception):
    """The customer could not pay; `reason` says why, in snake_case."""

    def __init__(self, reason: str, trade_state: str | None = None) -> None:
        """Refuse for a reason, with the order's state where the order is known."""
        super().__init__(reason)
        self.reason = reason
        self.trade_state = trade_state


class Orders:
    """The gateway's orders, keyed by merchant and the merchant's number."""

    def __init__(self, store: Store, notices: Notices) -> None:
        """Keep orders in the store and announce payments through the notices."""
        self._store = store
        self._notices = notices

    def create(self, merchant: Merchant, trade_type: str, raw: bytes) -> Json:
        """Place an order; the same number must come with the same parameters (§1.7)."""
        body, parameters = parse(OrderBody, raw)
        require_own_mchid(merchant, body.mchid)
        if body.appid != merchant.appid:
            raise WeChatError(400, "APPID_MCHID_NOT_MATCH", "appid 和 mchid 不匹配")
        if trade_type == "JSAPI" and body.payer is None:
            raise parameter_error("/payer/openid", None, "is required")
        now = time.time()
        expiry = now + DEFAULT_EXPIRY_SECONDS
        if body.time_expire is not None:
            expiry = datetime.fromisoformat(body.time_expire).timestamp()
            if expiry <= now:
                raise parameter_error("/time_expire", body.time_expire, "is in the past")
        parameters_id = parameters_hash(trade_type, parameters)
        with self._store.transaction():
            row = self.find(merchant.mchid, body.out_trade_no)
            if row is not None:
                return self._again(row, parameters_id, now)
            code = _prepay_code(trade_type, now)
            self._store.insert(
                "orders",
                {
                    "mchid": merchant.mchid,
                    "out_trade_no": body.out_trade_no,
                    "appid": body.appid,
                    "trade_type": trade_type,
                    "parameters_hash": parameters_id,
                    "amount_fen": body.amount.total,
                    "attach": body.attach,
                    "notify_url": body.notify_url,
                    "openid": body.payer.openid if body.payer else None,
                    "time_expire": expiry,
                    "prepay_code": code,
                    "prepay_until": now + PREPAY_SECONDS,
                    "state": "NOTPAY",
                },
            )
        return _prepay(trade_type, code)

    def _again(self, row: sqlite3.Row, parameters_id: str, now: float) -> Json:
        if row["parameters_hash"] != parameters_id:
            raise WeChatError(403, "OUT_TRADE_NO_USED", "商户订单号重复")
        if row["state"] == "CLOSED":
            raise WeChatError(400, "ORDER_CLOSED", "该订单已关闭")
        if row["state"] != "NOTPAY":
            raise WeChatError(400, "ORDERPAID", "该订单已支付")
        # A code_url dies when the order is placed again; a prepay_id lives its two hours.
        if row["trade_type"] == "JSAPI" and now < row["prepay_until"]:
            return _prepay("JSAPI", row["prepay_code"])
        code = _prepay_code(row["trade_type"], now)
        self._store.run(
            "UPDATE orders SET prepay_code = :code, prepay_until = :until"
            " WHERE mchid = :mchid AND out_trade_no = :number",
            code=code,
            until=now + PREPAY_SECONDS,
            mchid=row["mchid"],
            number=row["out_trade_no"],
        )
        return _prepay(row["trade_type"], code)

    def query(self, merchant: Merchant, out_trade_no: str) -> Json:
        """Return the transaction of the merchant's number; ORDER_NOT_EXIST."""
        return self.transaction(self._existing(self.find(merchant.mchid, out_trade_no)))

    def query_by_transaction_id(self, merchant: Merchant, transaction_id: str) -> Json:
        """Return the transaction of WeChat's number; ORDER_NOT_EXIST."""
        return self.transaction(self._existing(self.find_paid(merchant.mchid, transaction_id)))

    def close(self, merchant: Merchant, out_trade_no: str, raw: bytes) -> None:
        """Close an unpaid order; repeatable; ORDERPAID once money was taken."""
        body, _ = parse(CloseBody, raw)
        require_own_mchid(merchant, body.mchid)
        with self._store.transaction():
            row = self._existing(self.find(merchant.mchid, out_trade_no))
            if row["state"] == "SUCCESS":
                raise WeChatError(400, "ORDERPAID", "该订单已支付")
            self._store.run(
                "UPDATE orders SET state = 'CLOSED'"
                " WHERE mchid = :mchid AND out_trade_no = :number",
                mchid=merchant.mchid,
                number=out_trade_no,
            )

    def pay(
        self,
        found: sqlite3.Row,
        openid: str | None,
        amount_fen: int | None,
        *,
        cleared_late: bool = False,
    ) -> str:
        """Take the customer's money once; the transaction id, or `PaymentRefused`.

        `amount_fen` is what a mistaken gateway takes instead of the order's amount;
        `cleared_late`: the bank had it before the order was closed or expired.
        """
        now = time.time()
        with self._store.transaction():
            row = self._existing(self.find(found["mchid"], found["out_trade_no"]))
            if not (cleared_late and row["state"] in {"NOTPAY", "CLOSED"}):
                self.require_payable(row, openid, now)
            transaction_id = number("4200", now, 28)
            self._store.run(
                "UPDATE orders SET state = 'SUCCESS', transaction_id = :transaction_id,"
                " paid_fen = :paid_fen, charges = charges + 1, success_time = :now,"
                " openid = :openid WHERE mchid = :mchid AND out_trade_no = :number",
                transaction_id=transaction_id,
                paid_fen=row["amount_fen"] if amount_fen is None else amount_fen,
                now=now,
                openid=openid or row["openid"] or f"o{secrets.token_hex(14)[1:]}",
                mchid=row["mchid"],
                number=row["out_trade_no"],
            )
            paid = self._existing(self.find(row["mchid"], row["out_trade_no"]))
            self._notices.add(
                mchid=row["mchid"],
                out_trade_no=row["out_trade_no"],
                notify_url=row["notify_url"],
                event_type="TRANSACTION.SUCCESS",
                resource=self.transaction(paid),
            )
        return transaction_id

    def require_payable(self, row: sqlite3.Row, openid: str | None, now: float) -> None:
        """Refuse a payment that the cashier would refuse: `PaymentRefused`."""
        state = row["state"]
        if state != "NOTPAY":
            raise PaymentRefused("order_closed" if state == "CLOSED" else "already_paid", state)
        if now >= row["time_expire"]:
            raise PaymentRefused("order_expired", state)
        if now >= row["prepay_until"]:
            raise PaymentRefused("prepay_expired", state)
        if openid is not None and row["openid"] not in {None, openid}:
            raise PaymentRefused("other_payer", state)

    def find(self, mchid: str, out_trade_no: str) -> sqlite3.Row | None:
        """Return the order's row by the merchant's number."""
        return self._store.one(
            "SELECT * FROM orders WHERE mchid = :mchid AND out_trade_no = :number",
            mchid=mchid,
            number=out_trade_no,
        )

    def find_paid(self, mchid: str, transaction_id: str) -> sqlite3.Row | None:
        """Return the order's row by WeChat's number."""
        return self._store.one(
            "SELECT * FROM orders WHERE mchid = :mchid AND transaction_id = :number",
            mchid=mchid,
            number=transaction_id,
        )

    def find_by_prepay(self, prepay_code: str) -> sqlite3.Row | None:
        """Return the order's row by its latest prepay_id or code_url."""
        return self._store.one("SELECT * FROM orders WHERE prepay_code = :code", code=prepay_code)

    def transaction(self, row: sqlite3.Row) -> Json:
        """Return the order as queries and callbacks show it."""
        state = self.trade_state(row)
        shown: Json = {
            "appid": row["appid"],
            "mchid": row["mchid"],
            "out_trade_no": row["out_trade_no"],
            "trade_state": state,
            "trade_state_desc": _STATE_TEXT[state],
            "attach": row["attach"],
            "promotion_detail": [],
        }
        if row["transaction_id"] is None:
            payer = {"openid": row["openid"]} if row["openid"] else {}
            amount = {"total": row["amount_fen"], "currency": "CNY"}
            return shown | {"payer": payer, "amount": amount}
        return shown | {
            "transaction_id": row["transaction_id"],
            "trade_type": row["trade_type"],
            "bank_type": "OTHERS",
            "success_time": china_time(row["success_time"]),
            "payer": {"openid": row["openid"]},
            "amount": {
                "total": row["paid_fen"],
                "payer_total": row["paid_fen"],
                "currency": "CNY",
                "payer_currency": "CNY",
            },
        }

    def trade_state(self, row: sqlite3.Row) -> str:
        """Return the state: REFUND once a refund was accepted that has not come back."""
        if row["state"] != "SUCCESS":
            return str(row["state"])
        refund = self._store.one(
            "SELECT 1 FROM refunds WHERE mchid = :mchid AND out_trade_no = :number"
            " AND status <> 'CLOSED' LIMIT 1",
            mchid=row["mchid"],
            number=row["out_trade_no"],
        )
        return "SUCCESS" if refund is None else "REFUND"

    @staticmethod
    def _existing(row: sqlite3.Row | None) -> sqlite3.Row:
        if row is None:
            raise WeChatError(404, "ORDER_NOT_EXIST", "订单不存在")
        return row


def require_own_mchid(merchant: Merchant, mchid: str) -> None:
    """Refuse a number other than the one the request is signed for: 403 NO_AUTH."""
    if mchid != merchant.mchid:
        raise WeChatError(403, "NO_AUTH", "商户号与签名的商户号不一致")


def _prepay_code(trade_type: str, now: float) -> str:
    if trade_type == "NATIVE":
        return CODE_URL + secrets.token_urlsafe(6) + "zz"
    stamp = china_time(now)[:19].translate(str.maketrans("", "", "-T:"))
    return f"wx{stamp}{secrets.token_hex(10)}"


def _prepay(trade_type: str, code: str) -> Json:
    return {"code_url" if trade_type == "NATIVE" else "prepay_id": code}
