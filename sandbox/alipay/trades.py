"""Trades at the gateway: making, looking up, closing, and taking a customer's money."""

import secrets
import sqlite3
import time

from sandbox.alipay.merchants import Merchant
from sandbox.alipay.models import NewTrade, TradeName
from sandbox.alipay.notices import Notices
from sandbox.alipay.protocol import business_error, china_time, number, seconds_of, success, yuan
from sandbox.store import Store
from sandbox.wire import Json, parameters_hash

DEFAULT_EXPIRY_SECONDS = 15 * 24 * 3600
SERVICE_FEE_BASIS_POINTS = 60
INSTALMENT_FEE_BASIS_POINTS = {0: 0, 3: 180, 6: 450, 12: 750}
"""花呗 fees where the seller bears them."""
QR_CODE = "https://qr.alipay.com/bax"


class PaymentRefused(Exception):
    """The customer could not pay; `reason` says why, in snake_case."""

    def __init__(self, reason: str, trade_status: str | None = None) -> None:
        """Refuse for a reason, with the trade's status where the trade is known."""
        super().__init__(reason)
        self.reason = reason
        self.trade_status = trade_status


class Trades:
    """The gateway's trades, keyed by seller and the merchant's number."""

    def __init__(self, store: Store, notices: Notices) -> None:
        """Keep trades in the store and announce what becomes of them through the notices."""
        self._store = store
        self._notices = notices

    def create(self, merchant: Merchant, body: NewTrade, asked: Json, notify_url: str) -> Json:
        """Make a trade for a known buyer; the same number is the same trade."""
        if body.buyer_id is None and body.buyer_open_id is None:
            raise business_error("INVALID_PARAMETER", "buyer_id 和 buyer_open_id 不能同时为空")
        with self._store.transaction():
            row = self._offer(merchant, "create", body, asked, notify_url)
            row = self._exist(row)
        return success(out_trade_no=row["out_trade_no"], trade_no=row["trade_no"])

    def precreate(self, merchant: Merchant, body: NewTrade, asked: Json, notify_url: str) -> Json:
        """Offer a code; there is no trade before somebody scans it."""
        with self._store.transaction():
            row = self._offer(merchant, "precreate", body, asked, notify_url)
        return success(out_trade_no=row["out_trade_no"], qr_code=row["qr_code"])

    def open_page(
        self, merchant: Merchant, body: NewTrade, asked: Json, notify_url: str
    ) -> sqlite3.Row:
        """Show the cashier to a customer whose browser brings a signed order."""
        with self._store.transaction():
            return self._exist(self._offer(merchant, "page", body, asked, notify_url))

    def query(self, merchant: Merchant, name: TradeName) -> Json:
        """Return the trade; ACQ.TRADE_NOT_EXIST also of a code nobody scanned."""
        row = self.existing(merchant.seller_id, name)
        shown = success(
            trade_no=row["trade_no"],
            out_trade_no=row["out_trade_no"],
            buyer_logon_id="159****0000",
            buyer_user_id=row["buyer_id"],
            trade_status=row["state"],
            total_amount=yuan(row["paid_fen"] or row["amount_fen"]),
            buyer_pay_amount=yuan(row["paid_fen"]),
            receipt_amount=yuan(row["paid_fen"]),
            subject=row["subject"],
        )
        if row["paid_at"] is None:
            return shown
        funds = [{"amount": yuan(row["paid_fen"]), "fund_channel": _fund_channel(row)}]
        return shown | {"send_pay_date": china_time(row["paid_at"]), "fund_bill_list": funds}

    def close(self, merchant: Merchant, name: TradeName) -> Json:
        """Close an unpaid trade; TRADE_STATUS_ERROR once money was taken."""
        with self._store.transaction():
            row = self.existing(merchant.seller_id, name)
            if row["state"] == "TRADE_CLOSED":
                raise business_error("TRADE_HAS_CLOSE", "交易已经关闭")
            if row["state"] != "WAIT_BUYER_PAY":
                raise business_error("TRADE_STATUS_ERROR", "交易状态不合法")
            self._close(row)
        return success(trade_no=row["trade_no"], out_trade_no=row["out_trade_no"])

    def call_off(self, row: sqlite3.Row) -> None:
        """Close an unpaid trade, or withdraw a code, for a cancel; call it in its transaction."""
        if row["state"] == "WAIT_BUYER_PAY":
            self._close(row)

    def close_due(self, now: float) -> float | None:
        """Close what expired; when the next trade expires, if any does."""
        due = "SELECT * FROM alipay_trades WHERE due_at <= :now"
        for row in self._store.all(due, now=now):
            with self._store.transaction():
                self._close(row)
        next_due = self._store.one(
            "SELECT min(due_at) AS due_at FROM alipay_trades WHERE due_at IS NOT NULL"
        )
        return next_due["due_at"] if next_due else None

    def scan(self, found: sqlite3.Row, buyer_id: str | None) -> sqlite3.Row:
        """Let a customer open what they were offered; `PaymentRefused` where they can't pay it."""
        with self._store.transaction():
            row = self._again(found)
            self._require_payable(row, buyer_id)
            return self._exist(row)

    def pay(
        self,
        found: sqlite3.Row,
        buyer_id: str | None,
        amount_fen: int | None,
        *,
        cleared_late: bool = False,
    ) -> sqlite3.Row:
        """Take the customer's money once; `PaymentRefused`.

        `amount_fen` is what a mistaken gateway takes instead of the trade's amount;
        `cleared_late`: the bank had it before the trade was closed or expired.
        """
        now = time.time()
        with self._store.transaction():
            row = self._again(found)
            if not (cleared_late and row["paid_at"] is None):
                self._require_payable(row, buyer_id)
            row = self._exist(row)
            paid_fen = row["amount_fen"] if amount_fen is None else amount_fen
            self._store.run(
                "UPDATE alipay_trades SET state = 'TRADE_SUCCESS', paid_fen = :paid,"
                " fee_fen = :fee, charges = charges + 1, paid_at = :now, due_at = NULL,"
                " closed_at = NULL, buyer_id = :buyer"
                " WHERE seller_id = :seller AND out_trade_no = :number",
                paid=paid_fen,
                fee=_fee(row, paid_fen),
                now=now,
                buyer=row["buyer_id"] or buyer_id or f"2088{secrets.randbelow(10**12):012d}",
                seller=row["seller_id"],
                number=row["out_trade_no"],
            )
            paid = self._again(row)
            self._notices.add(paid, gmt_payment=china_time(now))
        return paid

    def existing(self, seller_id: str, name: TradeName) -> sqlite3.Row:
        """Return the row of a trade that exists at Alipay; ACQ.TRADE_NOT_EXIST."""
        row = self.named(seller_id, name)
        if row is None or row["trade_no"] is None:
            raise business_error("TRADE_NOT_EXIST", "交易不存在")
        return row

    def named(self, seller_id: str, name: TradeName) -> sqlite3.Row | None:
        """Return the row of a trade or offer."""
        if not name.trade_no and not name.out_trade_no:
            raise business_error("INVALID_PARAMETER", "out_trade_no 和 trade_no 不能同时为空")
        if name.trade_no:
            return self._find("trade_no", name.trade_no, seller_id)
        return self.find(seller_id, name.out_trade_no or "")

    def find(self, seller_id: str, out_trade_no: str) -> sqlite3.Row | None:
        """Return the row of the merchant's number."""
        return self._find("out_trade_no", out_trade_no, seller_id)

    def find_code(self, qr_code: str) -> sqlite3.Row | None:
        """Return the row of a scanned code."""
        return self._store.one("SELECT * FROM alipay_trades WHERE qr_code = :code", code=qr_code)

    def _find(self, column: str, number_: str, seller_id: str) -> sqlite3.Row | None:
        return self._store.one(
            f"SELECT * FROM alipay_trades WHERE seller_id = :seller AND {column} = :number",  # noqa: S608 (no input in it)
            seller=seller_id,
            number=number_,
        )

    def _again(self, row: sqlite3.Row) -> sqlite3.Row:
        found = self.find(row["seller_id"], row["out_trade_no"])
        if found is None:
            raise LookupError("a trade vanished")
        return found

    def _offer(
        self, merchant: Merchant, kind: str, body: NewTrade, asked: Json, notify_url: str
    ) -> sqlite3.Row:
        """Return the row of the number, made first if there is none."""
        parameters_id = parameters_hash(kind, asked | {"notify_url": notify_url})
        row = self.find(merchant.seller_id, body.out_trade_no)
        if row is not None:
            return _require_same(row, parameters_id)
        now = time.time()
        expiry = seconds_of(body.time_expire) if body.time_expire else now + DEFAULT_EXPIRY_SECONDS
        if expiry <= now:
            raise business_error("INVALID_PARAMETER", "参数无效：time_expire")
        self._store.insert(
            "alipay_trades",
            {
                "seller_id": merchant.seller_id,
                "out_trade_no": body.out_trade_no,
                "qr_code": QR_CODE + secrets.token_hex(11) if kind == "precreate" else None,
                "parameters_hash": parameters_id,
                "subject": body.subject,
                "amount_fen": body.total_amount,
                "notify_url": notify_url,
                "buyer_id": body.buyer_id or body.buyer_open_id,
                "instalments": int(body.extend_params.hb_fq_num or 0),
                "fee_by_seller": int(body.extend_params.hb_fq_seller_percent == "100"),
                "royalty_freeze": int(body.extend_params.royalty_freeze == "true"),
                "state": "WAIT_BUYER_PAY",
                "created_at": now,
                "expires_at": expiry,
            },
        )
        made = self.find(merchant.seller_id, body.out_trade_no)
        if made is None:
            raise LookupError("a trade vanished")
        return made

    def _exist(self, row: sqlite3.Row) -> sqlite3.Row:
        """Give an offer its trade."""
        if row["trade_no"] is not None:
            return row
        self._store.run(
            "UPDATE alipay_trades SET trade_no = :trade_no, due_at = expires_at"
            " WHERE seller_id = :seller AND out_trade_no = :number",
            trade_no=number(time.time(), 28),
            seller=row["seller_id"],
            number=row["out_trade_no"],
        )
        self._notices.wake.set()
        return self._again(row)

    def _close(self, row: sqlite3.Row) -> None:
        now = time.time()
        self._store.run(
            "UPDATE alipay_trades SET state = 'TRADE_CLOSED', closed_at = :now, due_at = NULL"
            " WHERE seller_id = :seller AND out_trade_no = :number",
            now=now,
            seller=row["seller_id"],
            number=row["out_trade_no"],
        )
        if row["trade_no"] is not None:
            self._notices.add(self._again(row), gmt_close=china_time(now))

    def _require_payable(self, row: sqlite3.Row, buyer_id: str | None) -> None:
        state = row["state"]
        if row["paid_at"] is not None:
            raise PaymentRefused("already_paid", state)
        if state != "WAIT_BUYER_PAY":
            raise PaymentRefused("order_closed", state)
        if time.time() >= row["expires_at"]:
            raise PaymentRefused("order_expired", state)
        if buyer_id is not None and row["buyer_id"] not in {None, buyer_id}:
            raise PaymentRefused("other_payer", state)


def _require_same(row: sqlite3.Row, parameters_id: str) -> sqlite3.Row:
    if row["parameters_hash"] != parameters_id:
        raise business_error("CONTEXT_INCONSISTENT", "交易信息被篡改")
    if row["state"] == "TRADE_CLOSED":
        raise business_error("TRADE_HAS_CLOSE", "交易已经关闭")
    if row["state"] != "WAIT_BUYER_PAY":
        raise business_error("TRADE_HAS_SUCCESS", "交易已被支付")
    return row


def _fee(row: sqlite3.Row, paid_fen: int) -> int:
    instalments = row["instalments"] if row["fee_by_seller"] else 0
    basis_points = SERVICE_FEE_BASIS_POINTS + INSTALMENT_FEE_BASIS_POINTS[instalments]
    return int((paid_fen * basis_points + 5000) // 10_000)


def _fund_channel(row: sqlite3.Row) -> str:
    return "PCREDIT" if row["instalments"] else "ALIPAYACCOUNT"
