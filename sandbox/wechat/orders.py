"""Orders at the gateway: placing, looking up, closing, and taking a customer's money."""

import secrets
import sqlite3
import time
from dataclasses import dataclass
from datetime import datetime

from sandbox.store import Store
from sandbox.wechat.flows import Flow, fee, record
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.models import CloseBody, OrderBody, PartnerOrderBody, Placed, parse
from sandbox.wechat.notices import Notices
from sandbox.wechat.protocol import WeChatError, parameter_error
from sandbox.wire import Json, china_time, number, parameters_hash

PREPAY_SECONDS = {"JSAPI": 2 * 3600, "APP": 2 * 3600, "NATIVE": 2 * 3600, "MWEB": 5 * 60}
"""How long a customer may begin to pay with an answer's handle, by trade type."""
HANDLES = {"JSAPI": "prepay_id", "APP": "prepay_id", "NATIVE": "code_url", "MWEB": "h5_url"}
DEFAULT_EXPIRY_SECONDS = 7 * 24 * 3600
CODE_URL = "weixin://wxpay/bizpayurl?pr="
H5_URL = "https://wx.tenpay.com/cgi-bin/mmpayweb-bin/checkmweb?prepay_id="

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Whose order it is, under which applications, and who is to pay it."""

    payee: Merchant
    appid: str
    sub_appid: str | None = None
    payer_field: str = "openid"
    openid: str | None = None


class Orders:
    """The gateway's orders, keyed by payee and the merchant's number."""

    def __init__(self, store: Store, merchants: Merchants, notices: Notices) -> None:
        """Keep orders in the store and announce payments through the notices."""
        self._store = store
        self._merchants = merchants
        self._notices = notices

    def create(self, merchant: Merchant, trade_type: str, raw: bytes) -> Json:
        """Place an order; the same number must come with the same parameters (§1.7)."""
        body, parameters = parse(OrderBody, raw)
        require_own_mchid(merchant, body.mchid)
        require_own_appid(merchant, body.appid)
        openid = body.payer.openid if body.payer else None
        if trade_type == "JSAPI" and openid is None:
            raise parameter_error("/payer/openid", None, "is required")
        party = Party(payee=merchant, appid=body.appid, openid=openid)
        return self._place(party, trade_type, body, parameters_hash(trade_type, parameters))

    def create_for_partner(self, merchant: Merchant, trade_type: str, raw: bytes) -> Json:
        """The same for a service provider's sub-merchant."""
        body, parameters = parse(PartnerOrderBody, raw)
        require_own_mchid(merchant, body.sp_mchid)
        require_own_appid(merchant, body.sp_appid)
        payee = self.payee(merchant, body.sub_mchid)
        if body.sub_appid not in {None, payee.appid}:
            raise WeChatError(400, "APPID_MCHID_NOT_MATCH", "sub_appid 和 sub_mchid 不匹配")
        given = body.payer.model_dump(exclude_none=True) if body.payer else {}
        if trade_type == "JSAPI" and len(given) != 1:
            raise parameter_error("/payer", given, "needs sp_openid or sub_openid")
        if "sub_openid" in given and body.sub_appid is None:
            raise parameter_error("/sub_appid", None, "is required with sub_openid")
        party = Party(
            payee=payee,
            appid=body.sp_appid,
            sub_appid=body.sub_appid,
            payer_field=next(iter(given), "sp_openid"),
            openid=next(iter(given.values()), None),
        )
        return self._place(party, trade_type, body, parameters_hash(trade_type, parameters))

    def _place(
        self,
        party: Party,
        trade_type: str,
        body: OrderBody | PartnerOrderBody,
        parameters_id: str,
    ) -> Json:
        now = time.time()
        expiry = expires_at(trade_type, body, now)
        with self._store.transaction():
            row = self.find(party.payee.mchid, body.out_trade_no)
            if row is not None:
                return self._again(row, parameters_id, now)
            code = prepay_code(trade_type, now)
            self.insert(
                party,
                {
                    "out_trade_no": body.out_trade_no,
                    "trade_type": trade_type,
                    "parameters_hash": parameters_id,
                    "amount_fen": body.amount.total,
                    "attach": body.attach,
                    "description": body.description,
                    "notify_url": body.notify_url,
                    "time_expire": expiry,
                    "prepay_code": code,
                    "prepay_until": now + PREPAY_SECONDS[trade_type],
                    "profit_sharing": int(body.settle_info.profit_sharing),
                },
            )
        return prepay(trade_type, code)

    def insert(self, party: Party, row: dict[str, str | int | float | None]) -> None:
        """Keep a new order of a party."""
        self._store.insert(
            "orders",
            {
                "mchid": party.payee.mchid,
                "appid": party.appid,
                "sub_appid": party.sub_appid,
                "payer_field": party.payer_field,
                "openid": party.openid,
                "state": "NOTPAY",
                **row,
            },
        )

    def _again(self, row: sqlite3.Row, parameters_id: str, now: float) -> Json:
        if row["parameters_hash"] != parameters_id:
            raise WeChatError(403, "OUT_TRADE_NO_USED", "商户订单号重复")
        if row["state"] == "CLOSED":
            raise WeChatError(400, "ORDER_CLOSED", "该订单已关闭")
        if row["state"] != "NOTPAY":
            raise WeChatError(400, "ORDERPAID", "该订单已支付")
        trade_type = row["trade_type"]
        # A code_url dies when the order is placed again; a prepay_id lives its two hours.
        if HANDLES[trade_type] == "prepay_id" and now < row["prepay_until"]:
            return prepay(trade_type, row["prepay_code"])
        code = prepay_code(trade_type, now)
        self._store.run(
            "UPDATE orders SET prepay_code = :code, prepay_until = :until"
            " WHERE mchid = :mchid AND out_trade_no = :number",
            code=code,
            until=now + PREPAY_SECONDS[trade_type],
            mchid=row["mchid"],
            number=row["out_trade_no"],
        )
        return prepay(trade_type, code)

    def query(self, payee: Merchant, out_trade_no: str) -> Json:
        """Return the transaction of the merchant's number; ORDER_NOT_EXIST."""
        return self.transaction(self.existing(self.find(payee.mchid, out_trade_no)))

    def query_by_transaction_id(self, payee: Merchant, transaction_id: str) -> Json:
        """Return the transaction of WeChat's number; ORDER_NOT_EXIST."""
        return self.transaction(self.existing(self.find_paid(payee.mchid, transaction_id)))

    def close(self, merchant: Merchant, out_trade_no: str, raw: bytes) -> None:
        """Close an unpaid order; repeatable; ORDERPAID once money was taken."""
        body, _ = parse(CloseBody, raw)
        require_own_mchid(merchant, body.sp_mchid or body.mchid or "")
        payee = self.payee(merchant, body.sub_mchid)
        with self._store.transaction():
            self.shut(self.existing(self.find(payee.mchid, out_trade_no)))

    def shut(self, row: sqlite3.Row) -> None:
        """Close an order's row, inside a transaction; ORDERPAID."""
        if row["state"] == "SUCCESS":
            raise WeChatError(400, "ORDERPAID", "该订单已支付")
        self._store.run(
            "UPDATE orders SET state = 'CLOSED' WHERE mchid = :mchid AND out_trade_no = :number",
            mchid=row["mchid"],
            number=row["out_trade_no"],
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
            row = self.existing(self.find(found["mchid"], found["out_trade_no"]))
            if not (cleared_late and row["state"] in {"NOTPAY", "CLOSED"}):
                self.require_payable(row, openid, now)
            paid = self.take(row, openid, now, amount_fen)
            self._notices.add(
                mchid=row["mchid"],
                out_trade_no=row["out_trade_no"],
                notify_url=row["notify_url"],
                event_type="TRANSACTION.SUCCESS",
                resource=self.transaction(paid),
            )
        return str(paid["transaction_id"])

    def take(
        self, row: sqlite3.Row, openid: str | None, now: float, amount_fen: int | None = None
    ) -> sqlite3.Row:
        """Book a payment of an order, inside a transaction; the order as it is then."""
        transaction_id = number("4200", now, 28)
        paid_fen = row["amount_fen"] if amount_fen is None else amount_fen
        fee_fen = fee(paid_fen, self._merchants.habits(row["mchid"]).fee_per_10000)
        self._store.run(
            "UPDATE orders SET state = 'SUCCESS', transaction_id = :transaction_id,"
            " paid_fen = :paid_fen, fee_fen = :fee_fen, charges = charges + 1,"
            " success_time = :now, openid = :openid"
            " WHERE mchid = :mchid AND out_trade_no = :number",
            transaction_id=transaction_id,
            paid_fen=paid_fen,
            fee_fen=fee_fen,
            now=now,
            openid=openid or row["openid"] or f"o{secrets.token_hex(14)[1:]}",
            mchid=row["mchid"],
            number=row["out_trade_no"],
        )
        names = {"mchid": row["mchid"], "business_no": transaction_id}
        voucher_no = row["out_trade_no"]
        record(
            self._store,
            Flow(**names, kind="交易", amount_fen=paid_fen, voucher_no=voucher_no),
            Flow(**names, kind="扣除交易手续费", amount_fen=-fee_fen, voucher_no=voucher_no),
        )
        return self.existing(self.find(row["mchid"], row["out_trade_no"]))

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

    def payee(self, merchant: Merchant, sub_mchid: str | None) -> Merchant:
        """Whose money a signed request is about: the signer's or a sub-merchant's; NO_AUTH."""
        if sub_mchid is None:
            return merchant
        payee = self._merchants.find(sub_mchid)
        if payee is None or payee.sp_mchid != merchant.mchid:
            raise WeChatError(403, "NO_AUTH", "特约子商户商户号未授权服务商的产品权限")
        return payee

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

    def find_by_prepay(self, code: str) -> sqlite3.Row | None:
        """Return the order's row by its latest prepay_id, code_url or h5_url."""
        return self._store.one("SELECT * FROM orders WHERE prepay_code = :code", code=code)

    def transaction(self, row: sqlite3.Row) -> Json:
        """Return the order as queries and callbacks show it."""
        state = self.trade_state(row)
        sp_mchid = self._merchants.get(row["mchid"]).sp_mchid
        shown: Json = {"appid": row["appid"], "mchid": row["mchid"]}
        if sp_mchid is not None:
            shown = {"sp_appid": row["appid"], "sp_mchid": sp_mchid, "sub_mchid": row["mchid"]}
            if row["sub_appid"] is not None:
                shown["sub_appid"] = row["sub_appid"]
        shown |= {
            "out_trade_no": row["out_trade_no"],
            "trade_state": state,
            "trade_state_desc": _STATE_TEXT[state],
            "attach": row["attach"],
            "promotion_detail": [],
        }
        if row["transaction_id"] is None:
            payer = {row["payer_field"]: row["openid"]} if row["openid"] else {}
            amount = {"total": row["amount_fen"], "currency": "CNY"}
            return shown | {"payer": payer, "amount": amount}
        return shown | {
            "transaction_id": row["transaction_id"],
            "trade_type": row["trade_type"],
            "bank_type": "OTHERS",
            "success_time": china_time(row["success_time"]),
            "payer": {row["payer_field"]: row["openid"]},
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
    def existing(row: sqlite3.Row | None) -> sqlite3.Row:
        """The row; ORDER_NOT_EXIST."""
        if row is None:
            raise WeChatError(404, "ORDER_NOT_EXIST", "订单不存在")
        return row


def require_own_mchid(merchant: Merchant, mchid: str) -> None:
    """Refuse a number other than the one the request is signed for: 403 NO_AUTH."""
    if mchid != merchant.mchid:
        raise WeChatError(403, "NO_AUTH", "商户号与签名的商户号不一致")


def require_own_appid(merchant: Merchant, appid: str) -> None:
    """Refuse an application that is not bound to the merchant: 400 APPID_MCHID_NOT_MATCH."""
    if appid != merchant.appid:
        raise WeChatError(400, "APPID_MCHID_NOT_MATCH", "appid 和 mchid 不匹配")


def expires_at(trade_type: str, body: Placed, now: float) -> float:
    """When an order can no more be paid; refuses what its trade type lacks."""
    if trade_type == "MWEB" and (body.scene_info is None or body.scene_info.h5_info is None):
        raise parameter_error("/scene_info/h5_info/type", None, "is required")
    if body.time_expire is None:
        return now + DEFAULT_EXPIRY_SECONDS
    expiry = datetime.fromisoformat(body.time_expire).timestamp()
    if expiry <= now:
        raise parameter_error("/time_expire", body.time_expire, "is in the past")
    return expiry


def prepay_code(trade_type: str, now: float) -> str:
    """What a customer pays with: a code_url, an h5_url or a prepay_id."""
    if trade_type == "NATIVE":
        return CODE_URL + secrets.token_urlsafe(6) + "zz"
    stamp = china_time(now)[:19].translate(str.maketrans("", "", "-T:"))
    prepay_id = f"wx{stamp}{secrets.token_hex(10)}"
    if trade_type == "MWEB":
        return f"{H5_URL}{prepay_id}&package={secrets.randbelow(10**10)}"
    return prepay_id


def prepay(trade_type: str, code: str) -> Json:
    """The answer to a create."""
    return {HANDLES[trade_type]: code}
