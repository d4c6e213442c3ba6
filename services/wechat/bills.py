"""Bills of a day: asked for, fetched, held against their hash and their own sums, and read.

Source: WeChat Pay API v3, 申请交易账单, 申请资金账单, 下载账单: every value is behind a backtick,
amounts are in yuan, the last two lines are the summary.
"""

import hashlib
import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import httpx

from domain.channels import Bill, BillKind, BillRow, FundRow
from domain.outcomes import Accepted, Outcome, Unknown
from services.channel_json import text
from services.wechat.accounts import Account
from services.wechat.wire import HOST, Wire

DOWNLOADS = f"{HOST}/v3/billdownload/file?"
MAX_BILL_BYTES = 512 * 1024 * 1024
CHINA = timezone(timedelta(hours=8))
REFUND_STATES = {
    "SUCCESS": "success",
    "PROCESSING": "processing",
    "FAIL": "failed",
    "CHANGE": "failed",
}
_AMOUNT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,5})?")
_GZIP = 16 + zlib.MAX_WBITS

Row = Mapping[str, str]


class BillDamaged(ValueError):
    """A bill that does not agree with itself; the text is a code."""


class Bills(Wire):
    """The calls that fetch bills."""

    async def bill(self, account: Account, *, kind: BillKind, day: date) -> Outcome[Bill]:
        """A day's bill, ready at 10:00 of the next; damaged in any way it is no bill at all."""
        if kind is BillKind.FUNDS and account.sub_mchid:
            raise NotImplementedError  # A service provider's merchants fetch their own.
        wanted = {"bill_date": day.isoformat(), "tar_type": "GZIP"}
        if kind is BillKind.TRADE:
            target, wanted = "tradebill", wanted | {"bill_type": "ALL"} | account.sub
        else:
            target, wanted = "fundflowbill", wanted | {"account_type": "BASIC"}
        offered = await self._ask(
            account,
            "GET",
            f"/v3/bill/{target}?{httpx.QueryParams(wanted)}",
            read=lambda data: tuple(
                text(data, name) for name in ("hash_type", "hash_value", "download_url")
            ),
        )
        if not isinstance(offered, Accepted):
            return offered
        hash_type, hash_value, url = offered.value
        if hash_type != "SHA1" or not url.startswith(DOWNLOADS):
            return Unknown(reason="bill_elsewhere")
        file = await self._download(account, url.removeprefix(HOST))
        if not isinstance(file, Accepted):
            return file
        try:
            return Accepted(value=read_bill(kind, _unpacked(file.value, hash_value)))
        except BillDamaged as damage:
            return Unknown(reason=str(damage))


def read_bill(kind: BillKind, content: bytes) -> Bill:
    """A bill whose rows and summary agree; raises BillDamaged."""
    try:
        rows, summary = _read_table(content.decode("utf-8-sig"))
        bill = Bill(
            kind=kind,
            sha256=hashlib.sha256(content).hexdigest(),
            trades=tuple(map(_trade, rows)) if kind is BillKind.TRADE else (),
            funds=tuple(map(_fund, rows)) if kind is BillKind.FUNDS else (),
        )
        said, counted = _sums(kind, rows, summary)
    except (ValueError, KeyError) as error:
        raise BillDamaged("bill_wrong_shape") from error
    if said != counted:
        raise BillDamaged("bill_wrong_sums")
    return bill


def _unpacked(packed: bytes, sha1: str) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(packed, MAX_BILL_BYTES)
    except zlib.error as error:
        raise BillDamaged("bill_not_gzip") from error
    if not unpacker.eof:
        raise BillDamaged("bill_cut")
    # Theirs, not ours: the protocol offers no other hash.
    if hashlib.sha1(content, usedforsecurity=False).hexdigest() != sha1.lower():
        raise BillDamaged("bill_wrong_hash")
    return content


def _read_table(content: str) -> tuple[list[Row], Row]:
    """The rows by column name, and the summary."""
    lines = [line.removesuffix("\r") for line in content.removesuffix("\n").split("\n")]
    head, *between, summary_head, summary = lines
    rows = [_row(head.split(","), line) for line in between]
    return rows, _row(summary_head.split(","), summary)


def _row(names: Sequence[str], line: str) -> Row:
    if not line.startswith("`"):
        raise ValueError("a value without its backtick")
    return dict(zip(names, line[1:].split(",`"), strict=True))


def _fen(row: Row, name: str) -> int:
    """Yuan as exact fen."""
    value = row[name]
    if not _AMOUNT.fullmatch(value):
        raise ValueError(f"{name} is no amount")
    amount = Decimal(value) * 100
    if amount != int(amount):
        raise ValueError(f"{name} is not in whole fen")
    return int(amount)


def _moment(row: Row, name: str) -> datetime:
    local = datetime.strptime(row[name], "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA)
    return local.astimezone(UTC)


def _trade(row: Row) -> BillRow:
    refund = {"SUCCESS": False, "REFUND": True}[row["交易状态"]]
    return BillRow(
        out_trade_no=row["商户订单号"],
        transaction_id=row["微信订单号"],
        kind="refund" if refund else "payment",
        amount_fen=_fen(row, "申请退款金额" if refund else "订单金额"),
        fee_fen=_fen(row, "手续费"),
        state=REFUND_STATES[row["退款状态"]] if refund else "success",
        out_refund_no=row["商户退款单号"] if refund else "",
        refund_id=row.get("微信退款单号", "") if refund else "",
        at=_moment(row, "交易时间"),
    )


def _fund(row: Row) -> FundRow:
    sign = {"收入": 1, "支出": -1}[row["收支类型"]]
    return FundRow(
        flow_id=row["资金流水单号"],
        business_no=row["微信支付业务单号"],
        kind=row["业务类型"],
        amount_fen=sign * _fen(row, "收支金额(元)"),
        balance_fen=_fen(row, "账户结余(元)"),
        at=_moment(row, "记账时间"),
    )


def _sums(kind: BillKind, rows: Sequence[Row], summary: Row) -> tuple[list[int], list[int]]:
    """What the summary says, and what the rows come to."""
    if kind is BillKind.TRADE:
        columns = {
            "应结订单总金额": "应结订单金额",
            "退款总金额": "退款金额",
            "手续费总金额": "手续费",
            "订单总金额": "订单金额",
            "申请退款总金额": "申请退款金额",
        }
        said = [int(summary["总交易单数"]), *(_fen(summary, total) for total in columns)]
        return said, [len(rows), *(sum(_fen(r, name) for r in rows) for name in columns.values())]
    came = [_fen(row, "收支金额(元)") for row in rows if row["收支类型"] == "收入"]
    went = [_fen(row, "收支金额(元)") for row in rows if row["收支类型"] == "支出"]
    names = ("资金流水总笔数", "收入笔数", "支出笔数")
    said = [*(int(summary[name]) for name in names)]
    said += [_fen(summary, "收入金额"), _fen(summary, "支出金额")]
    return said, [len(rows), len(came), len(went), sum(came), sum(went)]
