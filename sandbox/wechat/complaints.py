"""Customers' complaints (消费者投诉): filed at WeChat, answered and completed by merchants."""

import base64
import json
import secrets
import sqlite3
import time
from datetime import date, datetime, timedelta
from typing import Literal

from sandbox.store import Store
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.models import (
    ComplaintBody,
    ComplaintResponseBody,
    ComplaintUrlBody,
    RefundProgressBody,
    parse,
)
from sandbox.wechat.notices import Notices
from sandbox.wechat.orders import Orders
from sandbox.wechat.protocol import OAEP, WeChatError, parameter_error
from sandbox.wire import CHINA_TIME, Json, china_time

ProblemType = Literal["REFUND", "SERVICE_NOT_WORK", "OTHERS"]
MAX_SPAN = timedelta(days=30)
MAX_PAGE = 50


class Complaints:
    """The complaints about merchants, and where they want to hear of them."""

    def __init__(
        self, store: Store, orders: Orders, merchants: Merchants, notices: Notices
    ) -> None:
        """Keep complaints in the store and announce them through the notices."""
        self._store = store
        self._orders = orders
        self._merchants = merchants
        self._notices = notices

    def file(
        self, *, mchid: str, out_trade_no: str, problem_type: ProblemType, detail: str, phone: str
    ) -> str:
        """Let a customer complain about a paid order; the complaint's number; ORDER_NOT_EXIST."""
        self._orders.existing(self._orders.find(mchid, out_trade_no))
        now = time.time()
        complaint_id = f"2002{datetime.fromtimestamp(now, CHINA_TIME):%Y%m%d}" + str(
            secrets.randbelow(10**15)
        ).zfill(15)
        with self._store.transaction():
            self._store.insert(
                "complaints",
                {
                    "complaint_id": complaint_id,
                    "mchid": mchid,
                    "out_trade_no": out_trade_no,
                    "problem_type": problem_type,
                    "detail": detail,
                    "phone": phone,
                    "state": "PENDING",
                    "create_time": now,
                },
            )
            self._tell(complaint_id, "CREATE_COMPLAINT", "COMPLAINT.CREATE")
        return complaint_id

    def list(self, payee: Merchant, query: Json) -> Json:
        """Return complaints of a span of days, newest first."""
        begin, end = _day(query, "begin_date"), _day(query, "end_date")
        if not begin <= end <= begin + MAX_SPAN:
            raise parameter_error("/query/end_date", str(end), "spans over 30 days", "query")
        limit, offset = _count(query, "limit", "10"), _count(query, "offset", "0")
        if not 1 <= limit <= MAX_PAGE:
            raise parameter_error("/query/limit", str(limit), "is out of range", "query")
        rows = self._store.all(
            "SELECT * FROM complaints WHERE mchid = :mchid AND create_time >= :begin"
            " AND create_time < :end ORDER BY create_time DESC",
            mchid=payee.mchid,
            begin=_midnight(begin),
            end=_midnight(end + timedelta(days=1)),
        )
        return {
            "data": [self._shown(row) for row in rows[offset : offset + limit]],
            "limit": limit,
            "offset": offset,
            "total_count": len(rows),
        }

    def query(self, merchant: Merchant, complaint_id: str) -> Json:
        """Return a complaint; RESOURCE_NOT_EXISTS."""
        return self._shown(self._existing(merchant, complaint_id))

    def history(self, merchant: Merchant, complaint_id: str) -> Json:
        """Return what was said about it."""
        said = json.loads(self._existing(merchant, complaint_id)["history"])
        return {"data": said, "limit": 100, "offset": 0, "total_count": len(said)}

    def respond(self, merchant: Merchant, complaint_id: str, raw: bytes) -> None:
        """Answer the customer: PROCESSING."""
        body, _ = parse(ComplaintResponseBody, raw)
        self._act(merchant, complaint_id, body, "MERCHANT_RESPONSE", body.response_content)

    def complete(self, merchant: Merchant, complaint_id: str, raw: bytes) -> None:
        """Say that it is done with: PROCESSED."""
        body, _ = parse(ComplaintBody, raw)
        self._act(merchant, complaint_id, body, "MERCHANT_CONFIRM_COMPLETE", "")

    def refund_progress(self, merchant: Merchant, complaint_id: str, raw: bytes) -> None:
        """Agree to the refund the customer wants, or not; repeatable."""
        body, _ = parse(RefundProgressBody, raw)
        row = self._existing(merchant, complaint_id)
        if row["problem_type"] != "REFUND":
            raise WeChatError(400, "INVALID_REQUEST", "不是申请退款的投诉单")
        with self._store.transaction():
            self._say(row, f"MERCHANT_{body.action}_REFUND", body.reject_reason or "", row["state"])

    def notify_at(self, merchant: Merchant, raw: bytes, *, new: bool) -> Json:
        """Set where complaints are told; there is one such address."""
        body, _ = parse(ComplaintUrlBody, raw)
        known = self._url(merchant.mchid)
        if new and known is not None:
            raise WeChatError(400, "PARAM_ERROR", "投诉通知回调地址已存在")
        self._store.run(
            "INSERT INTO complaint_urls VALUES (:mchid, :url)"
            " ON CONFLICT (mchid) DO UPDATE SET url = :url",
            mchid=merchant.mchid,
            url=body.url,
        )
        return {"mchid": merchant.mchid, "url": body.url}

    def notified_at(self, merchant: Merchant) -> Json:
        """Return where complaints are told; RESOURCE_NOT_EXISTS."""
        url = self._url(merchant.mchid)
        if url is None:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "投诉通知回调地址不存在")
        return {"mchid": merchant.mchid, "url": url}

    def notify_no_more(self, merchant: Merchant) -> None:
        """Forget the address."""
        self._store.run("DELETE FROM complaint_urls WHERE mchid = :mchid", mchid=merchant.mchid)

    def _act(
        self, merchant: Merchant, complaint_id: str, body: ComplaintBody, action: str, content: str
    ) -> None:
        row = self._existing(merchant, complaint_id)
        if body.complainted_mchid != row["mchid"]:
            raise WeChatError(403, "NO_AUTH", "被诉商户号不符")
        done = action == "MERCHANT_CONFIRM_COMPLETE"
        if row["state"] == "PROCESSED":
            raise WeChatError(400, "INVALID_REQUEST", "投诉单已处理完成")
        if done and row["state"] == "PENDING":
            raise WeChatError(400, "INVALID_REQUEST", "请先回复用户")
        with self._store.transaction():
            self._say(row, action, content, "PROCESSED" if done else "PROCESSING")
            self._tell(complaint_id, action, "COMPLAINT.STATE_CHANGE")

    def _say(self, row: sqlite3.Row, action: str, content: str, state: str) -> None:
        said = {
            "log_id": secrets.token_hex(12),
            "operator": "商户",
            "operate_time": china_time(time.time()),
            "operate_type": action,
            "operate_details": content,
        }
        self._store.run(
            "UPDATE complaints SET state = :state, history = :history WHERE complaint_id = :id",
            state=state,
            history=json.dumps([said, *json.loads(row["history"])]),
            id=row["complaint_id"],
        )

    def _tell(self, complaint_id: str, action: str, event_type: str) -> None:
        row = self._store.one("SELECT * FROM complaints WHERE complaint_id = :id", id=complaint_id)
        if row is None:
            raise LookupError("a complaint vanished")
        keeper = self._merchants.keeper(row["mchid"])
        url = self._url(keeper.mchid)
        if url is None:
            return
        order = self._orders.existing(self._orders.find(row["mchid"], row["out_trade_no"]))
        self._notices.add(
            mchid=row["mchid"],
            out_trade_no=row["out_trade_no"],
            notify_url=url,
            event_type=event_type,
            resource={
                "complaint_id": complaint_id,
                "action_type": action,
                "out_trade_no": row["out_trade_no"],
                "transaction_id": order["transaction_id"] or "",
                "complaint_time": china_time(row["create_time"]),
                "amount": order["paid_fen"],
                "complaint_detail": row["detail"],
                "complaint_state": row["state"],
                "payer_phone": self._sealed(keeper, row["phone"]),
            },
        )

    def _shown(self, row: sqlite3.Row) -> Json:
        order = self._orders.existing(self._orders.find(row["mchid"], row["out_trade_no"]))
        keeper = self._merchants.keeper(row["mchid"])
        return {
            "complaint_id": row["complaint_id"],
            "complainted_mchid": row["mchid"],
            "complaint_time": china_time(row["create_time"]),
            "complaint_detail": row["detail"],
            "complaint_state": row["state"],
            "payer_phone": self._sealed(keeper, row["phone"]),
            "payer_openid": order["openid"],
            "complaint_order_info": [
                {
                    "transaction_id": order["transaction_id"] or "",
                    "out_trade_no": row["out_trade_no"],
                    "amount": order["paid_fen"],
                }
            ],
            "complaint_full_refunded": False,
            "incoming_user_response": row["state"] == "PENDING",
            "user_complaint_times": 1,
            "problem_description": row["detail"],
            "problem_type": row["problem_type"],
        }

    @staticmethod
    def _sealed(keeper: Merchant, plain: str) -> str:
        """Encrypted for the merchant, as every personal field of an answer (§1.4)."""
        return base64.b64encode(keeper.public_key.encrypt(plain.encode(), OAEP)).decode()

    def _url(self, mchid: str) -> str | None:
        row = self._store.one("SELECT url FROM complaint_urls WHERE mchid = :mchid", mchid=mchid)
        return str(row["url"]) if row else None

    def _existing(self, merchant: Merchant, complaint_id: str) -> sqlite3.Row:
        row = self._store.one("SELECT * FROM complaints WHERE complaint_id = :id", id=complaint_id)
        if row is None or self._merchants.keeper(row["mchid"]) is not merchant:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "投诉单不存在")
        return row


def _day(query: Json, name: str) -> date:
    try:
        return date.fromisoformat(query.get(name, ""))
    except ValueError as error:
        raise parameter_error(f"/query/{name}", query.get(name), "is no date", "query") from error


def _count(query: Json, name: str, default: str) -> int:
    given = query.get(name, default)
    if not (given.isascii() and given.isdigit()):
        raise parameter_error(f"/query/{name}", given, "is no count", "query")
    return int(given)


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=CHINA_TIME).timestamp()
