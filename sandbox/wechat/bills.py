"""Bills of a day at the gateway: trades and funds, as files behind a token (§1.9)."""

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day

from sandbox.store import Store
from sandbox.wechat.flows import yuan
from sandbox.wechat.merchants import Merchant, Merchants
from sandbox.wechat.protocol import WeChatError, parameter_error
from sandbox.wire import CHINA_TIME, Json

READY_AT = time_of_day(10)
"""On the next day."""
KEPT = timedelta(days=92)
URL_SECONDS = 300.0
NOTHING = "账单文件不存在，请检查指定日期是否有交易"
DOWNLOAD_URL = "https://api.mch.weixin.qq.com/v3/billdownload/file?token="

_HEAD = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额"
)
_REFUND = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态"
TRADE_HEADS = {
    "ALL": f"{_HEAD},{_REFUND},商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注",
    "SUCCESS": f"{_HEAD},商品名称,商户数据包,手续费,费率,订单金额,费率备注",
    "REFUND": f"{_HEAD},退款申请时间,退款成功时间,{_REFUND},商品名称,商户数据包,手续费,费率,"
    "订单金额,申请退款金额,费率备注",
}
TRADE_SUMMARY = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
FUND_HEAD = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),"
    "账户结余(元),资金变更提交申请人,备注,业务凭证号"
)
FUND_SUMMARY = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
_REFUND_STATES = {"SUCCESS": "SUCCESS", "PROCESSING": "PROCESSING", "CLOSED": "FAIL"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A bill's bytes; its answer is not signed."""

    content: bytes
    gzipped: bool


class Bills:
    """The gateway's bills, made when they are asked for."""

    def __init__(self, store: Store, merchants: Merchants) -> None:
        """Keep asked for bills in the store until their address dies."""
        self._store = store
        self._merchants = merchants

    def trade(self, keeper: Merchant, payees: Sequence[Merchant], query: Json) -> Json:
        """Make a trade bill of the payees; where to download it, and its hash."""
        kind = query.get("bill_type", "ALL")
        if kind not in TRADE_HEADS:
            raise parameter_error("/query/bill_type", kind, "is no bill type", "query")
        begin, end = self._day(keeper, query)
        rows = [
            row
            for payee in payees
            for row in (
                *(self._payments(payee, begin, end) if kind != "REFUND" else ()),
                *(self._refunds(payee, begin, end) if kind != "SUCCESS" else ()),
            )
        ]
        if not rows:
            raise WeChatError(400, "NO_STATEMENT_EXIST", NOTHING)
        rows.sort(key=lambda row: row["交易时间"])
        summary = (
            str(len(rows)),
            *(
                yuan(sum(row[name] for row in rows))
                for name in ("应结订单金额", "退款金额", "充值券退款金额")
            ),
            yuan(sum(row["手续费"] for row in rows), 5),
            *(yuan(sum(row[name] for row in rows)) for name in ("订单金额", "申请退款金额")),
        )
        head = TRADE_HEADS[kind]
        lines = [[_shown(name, row[name]) for name in head.split(",")] for row in rows]
        return self._offer(keeper, query, _file(head, lines, TRADE_SUMMARY, summary))

    def funds(self, payee: Merchant, query: Json) -> Json:
        """Make a bill of what moved on an account."""
        account_type = query.get("account_type", "BASIC")
        if account_type not in {"BASIC", "OPERATION", "FEES"}:
            raise parameter_error("/query/account_type", account_type, "is no account", "query")
        begin, end = self._day(payee, query)
        flows = self._store.all(
            "SELECT * FROM flows WHERE mchid = :mchid AND at < :end ORDER BY at, rowid",
            mchid=payee.mchid,
            end=end,
        )
        lines: list[list[str]] = []
        balance_fen = 0
        moved = []
        for flow in flows if account_type == "BASIC" else ():
            balance_fen += flow["amount_fen"]
            if flow["at"] >= begin:
                moved.append(flow["amount_fen"])
                lines.append(_fund_line(flow, balance_fen))
        if not moved:
            raise WeChatError(400, "NO_STATEMENT_EXIST", NOTHING)
        came = [fen for fen in moved if fen > 0]
        went = [-fen for fen in moved if fen < 0]
        summary = (len(moved), len(came), yuan(sum(came)), len(went), yuan(sum(went)))
        content = _file(FUND_HEAD, lines, FUND_SUMMARY, [str(value) for value in summary])
        return self._offer(payee, query, content)

    def download(self, merchant: Merchant, token: str) -> Download:
        """Return a bill's bytes while its address lives; 404 afterwards."""
        row = self._store.one("SELECT * FROM bill_files WHERE token = :token", token=token)
        if row is None or row["until"] < time.time() or row["mchid"] != merchant.mchid:
            raise WeChatError(404, "RESOURCE_NOT_EXISTS", "下载地址已失效")
        return Download(content=row["content"].encode(), gzipped=bool(row["gzipped"]))

    def _day(self, merchant: Merchant, query: Json) -> tuple[float, float]:
        """A bill's day as moments; STATEMENT_CREATING while it is not ready."""
        try:
            day = date.fromisoformat(query.get("bill_date", ""))
        except ValueError as error:
            raise parameter_error(
                "/query/bill_date", query.get("bill_date"), "is no date", "query"
            ) from error
        if query.get("tar_type") not in {None, "GZIP"}:
            raise parameter_error("/query/tar_type", query["tar_type"], "is not GZIP", "query")
        now = datetime.now(CHINA_TIME)
        ready = datetime.combine(day + timedelta(days=1), READY_AT, CHINA_TIME)
        if day > now.date():
            raise parameter_error("/query/bill_date", str(day), "is in the future", "query")
        if now.date() - day > KEPT:
            raise WeChatError(400, "NO_STATEMENT_EXIST", NOTHING)
        if now < ready and not self._merchants.habits(merchant.mchid).bills_ready:
            raise WeChatError(400, "STATEMENT_CREATING", "账单生成中")
        begin = datetime.combine(day, time_of_day(), CHINA_TIME)
        return begin.timestamp(), (begin + timedelta(days=1)).timestamp()

    def _payments(self, payee: Merchant, begin: float, end: float) -> list[Json]:
        orders = self._store.all(
            "SELECT * FROM orders WHERE mchid = :mchid AND success_time >= :begin"
            " AND success_time < :end",
            mchid=payee.mchid,
            begin=begin,
            end=end,
        )
        return [
            _trade_row(order, payee)
            | {
                "交易时间": order["success_time"],
                "应结订单金额": order["paid_fen"],
                "手续费": order["fee_fen"],
                "订单金额": order["paid_fen"],
            }
            for order in orders
        ]

    def _refunds(self, payee: Merchant, begin: float, end: float) -> list[Json]:
        refunds = self._store.all(
            "SELECT o.*, r.create_time AS asked_at, r.success_time AS back_at, r.refund_id,"
            " r.out_refund_no, r.status, r.amount_fen AS refund_fen, r.fee_fen AS fee_back_fen"
            " FROM refunds r JOIN orders o USING (mchid, out_trade_no)"
            " WHERE mchid = :mchid AND r.create_time >= :begin AND r.create_time < :end",
            mchid=payee.mchid,
            begin=begin,
            end=end,
        )
        return [
            _trade_row(refund, payee)
            | {
                "交易时间": refund["asked_at"],
                "交易状态": "REFUND",
                "退款申请时间": refund["asked_at"],
                "退款成功时间": refund["back_at"] or "",
                "微信退款单号": refund["refund_id"],
                "商户退款单号": refund["out_refund_no"],
                "退款金额": refund["refund_fen"],
                "退款类型": "ORIGINAL",
                "退款状态": _REFUND_STATES.get(refund["status"], "CHANGE"),
                "手续费": -refund["fee_back_fen"],
                "申请退款金额": refund["refund_fen"],
            }
            for refund in refunds
        ]

    def _offer(self, keeper: Merchant, query: Json, content: str) -> Json:
        token = secrets.token_urlsafe(32)
        self._store.run("DELETE FROM bill_files WHERE until < :now", now=time.time())
        self._store.insert(
            "bill_files",
            {
                "token": token,
                "mchid": keeper.mchid,
                "gzipped": int(query.get("tar_type") == "GZIP"),
                "content": content,
                "until": time.time() + URL_SECONDS,
            },
        )
        return {
            "hash_type": "SHA1",
            "hash_value": hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest(),
            "download_url": DOWNLOAD_URL + token,
        }


def _trade_row(order: sqlite3.Row, payee: Merchant) -> Json:
    return {
        "公众账号ID": order["appid"],
        "商户号": payee.sp_mchid or payee.mchid,
        "特约商户号": payee.mchid if payee.sp_mchid else "0",
        "设备号": "",
        "微信订单号": order["transaction_id"],
        "商户订单号": order["out_trade_no"],
        "用户标识": order["openid"],
        "交易类型": order["trade_type"],
        "交易状态": "SUCCESS",
        "付款银行": "OTHERS",
        "货币种类": "CNY",
        "应结订单金额": 0,
        "代金券金额": 0,
        "微信退款单号": "0",
        "商户退款单号": "0",
        "退款金额": 0,
        "充值券退款金额": 0,
        "退款类型": "",
        "退款状态": "",
        "商品名称": order["description"],
        "商户数据包": order["attach"],
        "费率": _rate(order),
        "订单金额": 0,
        "申请退款金额": 0,
        "费率备注": "",
    }


def _rate(order: sqlite3.Row) -> str:
    """The fee's share of what was paid, in percent with two decimals."""
    hundredths = round(order["fee_fen"] * 10_000 / order["paid_fen"])
    return f"{hundredths // 100}.{hundredths % 100:02d}%"


def _fund_line(flow: sqlite3.Row, balance_fen: int) -> list[str]:
    return [
        _moment(flow["at"]),
        flow["business_no"],
        flow["flow_id"],
        flow["kind"],
        flow["kind"],
        "收入" if flow["amount_fen"] > 0 else "支出",
        yuan(abs(flow["amount_fen"])),
        yuan(balance_fen),
        "system",
        flow["note"],
        flow["voucher_no"],
    ]


def _shown(name: str, value: str | float) -> str:
    """A value as the file has it: moments, amounts in yuan, texts without commas."""
    if isinstance(value, float):
        return _moment(value)
    if isinstance(value, int):
        return yuan(value, 5 if name == "手续费" else 2)
    return value.replace(",", " ").replace("\n", " ")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, CHINA_TIME).strftime("%Y-%m-%d %H:%M:%S")


def _file(
    head: str, lines: Sequence[Sequence[str]], summary_head: str, summary: Sequence[str]
) -> str:
    """Every value behind a backtick, a byte order mark before all."""
    values = (",".join(f"`{value}" for value in line) for line in (*lines, summary))
    *shown, last = values
    return "\ufeff" + "".join(f"{line}\r\n" for line in (head, *shown, summary_head, last))
