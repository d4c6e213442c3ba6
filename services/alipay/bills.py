"""Alipay's bills: a zip of GBK tables, read by header name, believed whole or not at all.

Everything raises ValueError where the tables, their footers and the summary don't agree.
"""

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date, datetime

from domain.channels import Bill, BillKind, BillRow, FundRow
from services.alipay.accounts import Account
from services.alipay.answers import fen, moment
from services.channel_json import text

MAX_TABLE_BYTES = 512 * 1024 * 1024
MAX_TABLES = 8

_TITLES = {
    BillKind.TRADE: ("#支付宝业务明细查询", "#支付宝业务汇总查询"),
    BillKind.FUNDS: ("#支付宝账务明细查询", "#支付宝账务汇总查询"),
}
_FOOTER = re.compile(r"#(交易|退款|收入|支出)合计：([0-9]+)笔，[^，]*共(-?[0-9.]+)元")
_BEGINS = re.compile(r"#起始日期：\[([0-9]+)年([0-9]+)月([0-9]+)日 00:00:00\]")
_KINDS = {"交易": "payment", "退款": "refund"}

_MADE = "#导出时间"

Line = Mapping[str, str]


def read_bill(account: Account, kind: BillKind, day: date, content: bytes) -> Bill:
    """The bill of a payee's day out of the bytes that were fetched."""
    tables = list(_tables(content))
    detail, summary = (_titled(tables, title) for title in _TITLES[kind])
    for lines in (detail, summary):
        _require_of(account, day, lines)
    sums = {
        match[1]: (int(match[2]), fen(match[3])) for match in map(_FOOTER.match, detail) if match
    }
    total = next((line for line in _rows(summary) if "合计" in line.values()), None)
    if total is None:
        raise ValueError("the summary has no total")
    # A file is made anew each time it is fetched: only when that was differs.
    said = [line for line in (*detail, *summary) if not line.startswith(_MADE)]
    sha256 = hashlib.sha256("\n".join(said).encode()).hexdigest()
    if kind is BillKind.TRADE:
        trades = tuple(_read_trade(line) for line in _rows(detail))
        _require_trade_sums(trades, sums, total)
        return Bill(kind=kind, sha256=sha256, trades=trades)
    funds = tuple(_read_fund(line) for line in _rows(detail))
    _require_fund_sums(funds, sums, total)
    return Bill(kind=kind, sha256=sha256, funds=funds)


def _tables(content: bytes) -> Iterator[list[str]]:
    """The lines of each table; names in the zip are not looked at, their encoding is a guess."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MAX_TABLES or sum(m.file_size for m in members) > MAX_TABLE_BYTES:
                raise ValueError("the bill is larger than any")
            for member in members:
                yield archive.read(member).decode("gbk").splitlines()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise ValueError("not a zip, or a damaged one") from error


def _titled(tables: list[list[str]], title: str) -> list[str]:
    found = [lines for lines in tables if lines and lines[0].strip() == title]
    if len(found) != 1:
        raise ValueError("not one table of each kind")
    return found[0]


def _require_of(account: Account, day: date, lines: list[str]) -> None:
    if not any(line.startswith(f"#账号：[{account.seller_id}") for line in lines[:4]):
        raise ValueError("the bill of another payee")
    begins = next((match for match in map(_BEGINS.match, lines[:4]) if match), None)
    if begins is None or date(int(begins[1]), int(begins[2]), int(begins[3])) != day:
        raise ValueError("the bill of another day")


def _rows(lines: list[str]) -> Iterator[Line]:
    """The lines between a table's two rules, by header name; values end in tabs."""
    rules = [at for at, line in enumerate(lines) if line.startswith("#--")]
    if len(rules) != 2 or "结束" not in lines[rules[1]]:
        raise ValueError("the table has no end")
    cells = csv.reader(lines[rules[0] + 1 : rules[1]], quoting=csv.QUOTE_NONE)
    header = [name.strip() for name in next(cells, [])]
    if len(set(header)) != len(header):
        raise ValueError("a column twice")
    for row in cells:
        if len(row) != len(header):
            raise ValueError("a line with other columns")
        yield dict(zip(header, (cell.strip() for cell in row), strict=True))


def _read_trade(line: Line) -> BillRow:
    kind = _KINDS.get(line.get("业务类型", ""))
    if kind is None:
        raise ValueError("an unknown kind of line")
    amount_fen = fen(text(line, "订单金额（元）"))
    if (amount_fen < 0) != (kind == "refund"):
        raise ValueError("payments are positive, refunds negative")
    return BillRow(
        out_trade_no=text(line, "商户订单号"),
        transaction_id=text(line, "支付宝交易号"),
        kind=kind,
        amount_fen=abs(amount_fen),
        fee_fen=-fen(text(line, "服务费（元）")),
        state="success",
        out_refund_no=text(line, "退款批次号/请求号") if kind == "refund" else "",
        at=_at(line, "完成时间"),
    )


def _read_fund(line: Line) -> FundRow:
    income, outgoing = fen(text(line, "收入金额（+元）")), fen(text(line, "支出金额（-元）"))
    if income < 0 or outgoing > 0 or (income and outgoing):
        raise ValueError("a line goes one way")
    return FundRow(
        flow_id=text(line, "账务流水号"),
        business_no=text(line, "业务流水号"),
        kind=text(line, "业务类型"),
        amount_fen=income + outgoing,
        balance_fen=fen(text(line, "账户余额（元）")),
        at=_at(line, "发生时间"),
    )


def _at(line: Line, name: str) -> datetime:
    return moment(line, name)


def _require_trade_sums(
    rows: tuple[BillRow, ...], sums: Mapping[str, tuple[int, int]], total: Line
) -> None:
    paid = [row.amount_fen for row in rows if row.kind == "payment"]
    back = [-row.amount_fen for row in rows if row.kind == "refund"]
    fee_fen = sum(row.fee_fen for row in rows)
    told = {
        "交易订单总笔数": len(paid),
        "退款订单总笔数": len(back),
        "订单金额（元）": sum(paid) + sum(back),
        "服务费（元）": -fee_fen,
    }
    for name, value in told.items():
        read = fen if "元" in name else int
        if read(text(total, name)) != value:
            raise ValueError(f"the summary disagrees about {name}")
    # The net tells which sign fees have, whatever the columns mean by theirs.
    parts = ("商家实收（元）", "服务费（元）", "分润（元）")
    if sum(fen(text(total, name)) for name in parts) != fen(text(total, "实收净额（元）")):
        raise ValueError("the summary's net is another")
    if sums.get("交易", (0, 0))[0] != len(paid) or sums.get("退款", (0, 0))[0] != len(back):
        raise ValueError("the footer counts otherwise")


def _require_fund_sums(
    rows: tuple[FundRow, ...], sums: Mapping[str, tuple[int, int]], total: Line
) -> None:
    for word, sign in (("收入", 1), ("支出", -1)):
        chosen = [row.amount_fen for row in rows if row.amount_fen * sign > 0]
        if sums.get(word) != (len(chosen), sum(chosen)):
            raise ValueError("the footer counts otherwise")
    if fen(text(total, "总金额（元）")) != sum(row.amount_fen for row in rows):
        raise ValueError("the summary's total is another")
