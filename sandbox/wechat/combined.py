"""Combined orders (合单支付): several orders paid at once, all or none."""

import sqlite3
import time

from sandbox.store import Store
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.models import CombineBody, CombineCloseBody, SubOrder, parse
from sandbox.wechat.notices import Notices
from sandbox.wechat.orders import (
    HANDLES,
    PREPAY_SECONDS,
    Orders,
    Party,
    expires_at,
    prepay,
    prepay_code,
    require_own_appid,
    require_own_mchid,
)
from sandbox.wechat.protocol import WeChatError, parameter_error
from sandbox.wire import Json, parameters_hash

_PART_NAMES = (
    *("trade_type", "trade_state", "bank_type", "attach", "success_time"),
    *("transaction_id", "out_trade_no"),
)


class Combined:
    """The gateway's combined orders; what they consist of are orders like any other."""

    def __init__(
        self, store: Store, merchants: Merchants, orders: Orders, notices: Notices
    ) -> None:
        """Keep them in the store; one callback tells of all orders."""
        self._store = store
        self._merchants = merchants
        self._orders = orders
        self._notices = notices

    def create(self, merchant: Merchant, trade_type: str, raw: bytes) -> Json:
        """Place all orders or none; the same number must come with the same parameters."""
        body, parameters = parse(CombineBody, raw)
        require_own_mchid(merchant, body.combine_mchid)
        require_own_appid(merchant, body.combine_appid)
        openid = body.combine_payer_info.openid if body.combine_payer_info else None
        if trade_type == "JSAPI" and openid is None:
            raise parameter_error("/combine_payer_info/openid", None, "is required")
        parameters_id = parameters_hash(f"combine {trade_type}", parameters)
        now = time.time()
        expiry = expires_at(trade_type, body, now)
        payees = [self._payee(merchant, order) for order in body.sub_orders]
        with self._store.transaction():
            known = self.find(merchant.mchid, body.combine_out_trade_no)
            if known is not None:
                return self._again(known, parameters_id, now)
            code = prepay_code(trade_type, now)
            until = now + PREPAY_SECONDS[trade_type]
            self._store.insert(
                "combines",
                {
                    "mchid": merchant.mchid,
                    "combine_out_trade_no": body.combine_out_trade_no,
                    "appid": body.combine_appid,
                    "trade_type": trade_type,
                    "parameters_hash": parameters_id,
                    "notify_url": body.notify_url,
                    "openid": openid,
                    "time_expire": expiry,
                    "prepay_code": code,
                    "prepay_until": until,
                },
            )
            for line, (order, payee) in enumerate(zip(body.sub_orders, payees, strict=True)):
                if self._orders.find(payee.mchid, order.out_trade_no) is not None:
                    raise WeChatError(403, "OUT_TRADE_NO_USED", "子单商户订单号重复")
                self._orders.insert(
                    Party(payee=payee, appid=body.combine_appid, openid=openid),
                    {
                        "out_trade_no": order.out_trade_no,
                        "trade_type": trade_type,
                        "parameters_hash": parameters_id,
                        "amount_fen": order.amount.total_amount,
                        "attach": order.attach,
                        "description": order.description,
                        "notify_url": body.notify_url,
                        "time_expire": expiry,
                        # Nobody is shown it: the whole is paid, never a part.
                        "prepay_code": f"{code}#{line}",
                        "prepay_until": until,
                        "profit_sharing": int(order.settle_info.profit_sharing),
                        "combine_mchid": merchant.mchid,
                        "combine_no": body.combine_out_trade_no,
                    },
                )
        return prepay(trade_type, code)

    def query(self, merchant: Merchant, combine_out_trade_no: str) -> Json:
        """Return the combined order with all its orders; ORDER_NOT_EXIST."""
        return self._shown(self._existing(merchant.mchid, combine_out_trade_no))

    def close(self, merchant: Merchant, combine_out_trade_no: str, raw: bytes) -> None:
        """Close all orders, which must all be named; ORDERPAID once they are paid."""
        body, _ = parse(CombineCloseBody, raw)
        row = self._existing(merchant.mchid, combine_out_trade_no)
        named = {(order.sub_mchid or order.mchid, order.out_trade_no) for order in body.sub_orders}
        with self._store.transaction():
            orders = self._parts(row)
            if named != {(order["mchid"], order["out_trade_no"]) for order in orders}:
                raise WeChatError(400, "PARAM_ERROR", "子单信息与下单时不一致")
            for order in orders:
                self._orders.shut(order)

    def pay(self, row: sqlite3.Row, openid: str | None) -> str:
        """Take all orders' money at once; the first transaction's id, or `PaymentRefused`."""
        now = time.time()
        with self._store.transaction():
            orders = self._parts(row)
            for order in orders:
                self._orders.require_payable(order, openid, now)
            paid = [self._orders.take(order, openid, now) for order in orders]
            self._notices.add(
                mchid=row["mchid"],
                out_trade_no=row["combine_out_trade_no"],
                notify_url=row["notify_url"],
                event_type="TRANSACTION.SUCCESS",
                resource=self._shown(row),
            )
        return str(paid[0]["transaction_id"])

    def require_payable(self, row: sqlite3.Row, openid: str | None) -> None:
        """Refuse a payment that the cashier would refuse: `PaymentRefused`."""
        for order in self._parts(row):
            self._orders.require_payable(order, openid, time.time())

    def find(self, mchid: str, combine_out_trade_no: str) -> sqlite3.Row | None:
        """Return the row by the merchant's number."""
        return self._store.one(
            "SELECT * FROM combines WHERE mchid = :mchid AND combine_out_trade_no = :number",
            mchid=mchid,
            number=combine_out_trade_no,
        )

    def find_by_prepay(self, code: str) -> sqlite3.Row | None:
        """Return the row by its prepay_id, code_url or h5_url."""
        return self._store.one("SELECT * FROM combines WHERE prepay_code = :code", code=code)

    def _payee(self, merchant: Merchant, order: SubOrder) -> Merchant:
        keeper = self._merchants.find(order.mchid)
        if keeper is None:
            raise WeChatError(400, "MCH_NOT_EXISTS", "子单商户号不存在")
        if order.sub_mchid is not None:
            require_own_mchid(merchant, order.mchid)
        return self._orders.payee(keeper, order.sub_mchid)

    def _again(self, row: sqlite3.Row, parameters_id: str, now: float) -> Json:
        if row["parameters_hash"] != parameters_id:
            raise WeChatError(403, "OUT_TRADE_NO_USED", "合单商户订单号重复")
        states = {order["state"] for order in self._parts(row)}
        if states != {"NOTPAY"}:
            closed = "CLOSED" in states
            raise WeChatError(400, "ORDER_CLOSED" if closed else "ORDERPAID", "订单已关闭或已支付")
        trade_type, code = row["trade_type"], row["prepay_code"]
        if HANDLES[trade_type] != "prepay_id" or now >= row["prepay_until"]:
            code = prepay_code(trade_type, now)
            until = now + PREPAY_SECONDS[trade_type]
            names = {"mchid": row["mchid"], "number": row["combine_out_trade_no"]}
            self._store.run(
                "UPDATE combines SET prepay_code = :code, prepay_until = :until"
                " WHERE mchid = :mchid AND combine_out_trade_no = :number",
                code=code,
                until=until,
                **names,
            )
            self._store.run(
                "UPDATE orders SET prepay_until = :until"
                " WHERE combine_mchid = :mchid AND combine_no = :number",
                until=until,
                **names,
            )
        return prepay(trade_type, code)

    def _shown(self, row: sqlite3.Row) -> Json:
        orders = self._parts(row)
        openid = orders[0]["openid"]
        return {
            "combine_appid": row["appid"],
            "combine_mchid": row["mchid"],
            "combine_out_trade_no": row["combine_out_trade_no"],
            "sub_orders": [self._shown_part(order) for order in orders],
            "combine_payer_info": {"openid": openid} if openid else {},
        }

    def _shown_part(self, row: sqlite3.Row) -> Json:
        whole = self._orders.transaction(row)
        shown = {name: whole[name] for name in _PART_NAMES if name in whole}
        sp_mchid = self._merchants.get(row["mchid"]).sp_mchid
        parties = {"mchid": sp_mchid, "sub_mchid": row["mchid"]}
        amount = whole["amount"]
        shown["amount"] = {"total_amount": amount["total"], "currency": "CNY"}
        if "payer_total" in amount:
            shown["amount"] |= {"payer_amount": amount["payer_total"], "payer_currency": "CNY"}
        return (parties if sp_mchid else {"mchid": row["mchid"]}) | shown

    def _parts(self, row: sqlite3.Row) -> list[sqlite3.Row]:
        return self._store.all(
            "SELECT * FROM orders WHERE combine_mchid = :mchid AND combine_no = :number"
            " ORDER BY rowid",
            mchid=row["mchid"],
            number=row["combine_out_trade_no"],
        )

    def _existing(self, mchid: str, combine_out_trade_no: str) -> sqlite3.Row:
        return self._orders.existing(self.find(mchid, combine_out_trade_no))
