"""A day's bills: the signed address that lives 30 seconds, and the zip of GBK tables (§2.6)."""

import hashlib
import hmac
import io
import secrets
import sqlite3
import time
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sandbox.alipay.merchants import Merchant, Merchants
from sandbox.alipay.models import BillName
from sandbox.alipay.protocol import BILL_HOST, AlipayError, china_time, seconds_of, success, yuan
from sandbox.store import Store
from sandbox.wire import Json

ADDRESS_SECONDS = 30
DAY_SECONDS = 24 * 3600
READY_AFTER_SECONDS = 9 * 3600
TRADE_COLUMNS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,"
    "对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,"
    "商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
SUMMARY_COLUMNS = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,"
    "商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)
FUND_COLUMNS = (
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,"
    "账户余额（元）,交易渠道,业务类型,备注"
)
FUND_SUMMARY_COLUMNS = "类型,收入笔数,收入金额（+元）,支出笔数,支出金额（-元）,总金额（元）"

_MOVES = """
    SELECT t.*, 'payment' AS kind, t.paid_fen AS moved_fen, t.fee_fen AS moved_fee,
        t.paid_at AS at, '' AS request_no FROM alipay_trades t WHERE t.paid_at IS NOT NULL
    UNION ALL
    SELECT t.*, 'refund', -r.amount_fen, -r.fee_fen, r.ended_at, r.out_request_no
        FROM alipay_refunds r JOIN alipay_trades t USING (seller_id, out_trade_no)
        WHERE r.status = 'SUCCESS'
    UNION ALL
    SELECT t.*, 'royalty', -y.amount_fen, 0, y.ended_at, s.out_request_no
        FROM alipay_royalties y JOIN alipay_settlements s USING (settle_no)
        JOIN alipay_trades t ON t.trade_no = s.trade_no WHERE y.state = 'SUCCESS'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """A line of the funds bill before it has a balance."""

    trade: sqlite3.Row
    word: str
    fen: int


class Bills:
    """Makes bills from what truly moved, each time somebody asks."""

    def __init__(self, store: Store, merchants: Merchants) -> None:
        """Read trades, refunds and royalties of the store; addresses die with the process."""
        self._store = store
        self._merchants = merchants
        self._secret = secrets.token_bytes(32)

    def address(self, merchant: Merchant, body: BillName) -> Json:
        """Return where the bill can be fetched; isp.bill_not_exist before 9:00 of the next day.

        A day without business has no bill either.
        """
        now = time.time()
        try:
            begin = seconds_of(f"{body.bill_date} 00:00:00")
        except ValueError as error:
            raise AlipayError("40004", "isp.invalid_arguments", "入参不合法") from error
        is_early = self._merchants.habits(merchant.seller_id).early_bills
        is_ready = now >= begin + (0 if is_early else DAY_SECONDS + READY_AFTER_SECONDS)
        if not is_ready or not self._moves(merchant.seller_id, begin, begin + DAY_SECONDS):
            raise AlipayError("40004", "isp.bill_not_exist", "账单不存在")
        claims = {
            "bizType": body.bill_type,
            "userId": merchant.seller_id,
            "bizDates": body.bill_date.replace("-", ""),
            "fileType": "csv.zip",
            "timestamp": str(int(now)),
        }
        query = urlencode(claims | {"token": self._token(claims)})
        address = f"https://{BILL_HOST}/downloadBillFile.resource?{query}"
        return success(bill_download_url=address)

    def download(self, query: Mapping[str, str]) -> tuple[str, bytes] | None:
        """Return (seller, zip) for an address of ours that is still alive."""
        claims = {name: value for name, value in query.items() if name != "token"}
        if not hmac.compare_digest(self._token(claims), query.get("token", "")):
            return None
        if time.time() - int(claims["timestamp"]) > ADDRESS_SECONDS:
            return None
        day = claims["bizDates"]
        begin = seconds_of(f"{day[:4]}-{day[4:6]}-{day[6:]} 00:00:00")
        make = _trade_tables if claims["bizType"] == "trade" else _fund_tables
        seller_id = claims["userId"]
        balance_fen = sum(m.fen for row in self._moves(seller_id, 0, begin) for m in _funds(row))
        moves = self._moves(seller_id, begin, begin + DAY_SECONDS)
        head = [
            f"#账号：[{seller_id}0156]",
            f"#起始日期：[{_chinese(begin)}]   终止日期：[{_chinese(begin + DAY_SECONDS)}]",
        ]
        tables = make(moves, head, balance_fen)
        return seller_id, _zip(f"{seller_id}0156_{day}", tables)

    def _token(self, claims: Mapping[str, str]) -> str:
        message = urlencode(sorted(claims.items())).encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    def _moves(self, seller_id: str, begin: float, end: float) -> list[sqlite3.Row]:
        return self._store.all(
            f"SELECT * FROM ({_MOVES}) WHERE seller_id = :seller"  # noqa: S608 (no input in it)
            " AND at >= :begin AND at < :end ORDER BY at, kind",
            seller=seller_id,
            begin=begin,
            end=end,
        )


def _trade_tables(moves: Sequence[sqlite3.Row], head: list[str], _: int) -> dict[str, list[str]]:
    rows = [row for row in moves if row["kind"] != "royalty"]
    counts, sums, fees = {}, {}, {}
    for kind in ("payment", "refund"):
        chosen = [row for row in rows if row["kind"] == kind]
        counts[kind] = len(chosen)
        sums[kind] = sum(row["moved_fen"] for row in chosen)
        fees[kind] = sum(row["moved_fee"] for row in chosen)
    total, fee = sum(sums.values()), sum(fees.values())
    values = ["合计", "", str(counts["payment"]), str(counts["refund"]), yuan(total), yuan(total)]
    values += ["0.00", "0.00", "0.00", yuan(-fee), "0.00", yuan(total - fee)]
    paid, back = yuan(sums["payment"]), yuan(sums["refund"])
    return {
        "业务明细": [
            "#支付宝业务明细查询",
            *head,
            _rule("业务明细列表", 40),
            TRADE_COLUMNS,
            *map(_trade_line, rows),
            _rule("业务明细列表结束", 36),
            f"#交易合计：{counts['payment']}笔，商家实收共{paid}元，商家优惠共0.00元",
            f"#退款合计：{counts['refund']}笔，商家实收退款共{back}元，商家优惠退款共0.00元",
            f"#导出时间：[{_chinese(time.time())}]",
        ],
        "业务明细(汇总)": [
            "#支付宝业务汇总查询",
            *head,
            _rule("业务汇总列表", 40),
            SUMMARY_COLUMNS,
            "\t,".join(values),
            _rule("业务汇总列表结束", 37),
            f"#导出时间：[{_chinese(time.time())}]",
        ],
    }


def _trade_line(row: sqlite3.Row) -> str:
    amount = yuan(row["moved_fen"])
    values = [row["trade_no"] + "\t", row["out_trade_no"] + "\t"]
    values += ["交易\t" if row["kind"] == "payment" else "退款\t", _cell(row["subject"])]
    values += [china_time(row["created_at"]), china_time(row["at"]), "\t", "\t", "\t", "\t"]
    values += ["**客(159****0000)\t", amount, amount, *["0.00"] * 5, "", "0.00\t", "0.00"]
    values += [row["request_no"] if row["kind"] == "refund" else "\t"]
    return ",".join([*values, yuan(-row["moved_fee"]), "0.00", _remark(row)])


def _fund_tables(
    moves: Sequence[sqlite3.Row], head: list[str], balance_fen: int
) -> dict[str, list[str]]:
    lines = []
    entries = [move for row in moves for move in _funds(row)]
    for position, move in enumerate(entries):
        balance_fen += move.fen
        row = move.trade
        flow = f"{row['trade_no'][-16:]}{int(row['at'] * 1000)}{position:04d}"
        values = [flow + "\t", row["trade_no"] + "\t", row["out_trade_no"] + "\t"]
        values += [_cell(row["subject"]), china_time(row["at"]), "\t"]
        values += [yuan(max(move.fen, 0)), yuan(min(move.fen, 0)), yuan(balance_fen)]
        lines.append(",".join([*values, "支付宝\t", move.word + "\t", row["request_no"]]))
    incomes = [move.fen for move in entries if move.fen > 0]
    outgoings = [move.fen for move in entries if move.fen < 0]
    totals = ["合计\t", str(len(incomes)), yuan(sum(incomes)), str(len(outgoings))]
    totals += [yuan(sum(outgoings)), yuan(sum(incomes) + sum(outgoings))]
    return {
        "账务明细": [
            "#支付宝账务明细查询",
            *head,
            _rule("账务明细列表", 40),
            FUND_COLUMNS,
            *lines,
            _rule("账务明细列表结束", 36),
            f"#支出合计：{len(outgoings)}笔，共{yuan(sum(outgoings))}元",
            f"#收入合计：{len(incomes)}笔，共{yuan(sum(incomes))}元",
            f"#导出时间：[{_chinese(time.time())}]",
        ],
        "账务明细(汇总)": [
            "#支付宝账务汇总查询",
            *head,
            _rule("账务汇总列表", 40),
            FUND_SUMMARY_COLUMNS,
            ",".join(totals),
            _rule("账务汇总列表结束", 37),
            f"#导出时间：[{_chinese(time.time())}]",
        ],
    }


def _funds(row: sqlite3.Row) -> Iterable[_Move]:
    words = {"payment": "在线支付", "refund": "交易退款", "royalty": "交易分账"}
    yield _Move(trade=row, word=words[row["kind"]], fen=row["moved_fen"])
    if row["moved_fee"]:
        word = "收费" if row["moved_fee"] > 0 else "退费"
        yield _Move(trade=row, word=word, fen=-row["moved_fee"])


def _remark(row: sqlite3.Row) -> str:
    return f"花呗分期{row['instalments']}期" if row["instalments"] else ""


def _rule(title: str, dashes: int) -> str:
    return f"#{'-' * dashes}{title}{'-' * dashes}"


def _cell(text: str) -> str:
    """The tables know no quotes, so what would break a line is a blank."""
    return text.translate(str.maketrans(",\r\n\t", "    "))


def _chinese(seconds: float) -> str:
    date, _, clock = china_time(seconds).partition(" ")
    year, month, day = date.split("-")
    return f"{year}年{month}月{day}日 {clock}"


def _zip(prefix: str, tables: Mapping[str, list[str]]) -> bytes:
    """Pack the tables; the names are GBK without a mark that says so, as Alipay's are."""
    archive = io.BytesIO()
    names = {}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for position, (title, lines) in enumerate(tables.items()):
            name = f"{prefix}_{title}.csv".encode("gbk")
            # zipfile would write UTF-8: a stand-in of the same length is overwritten below.
            stand_in = f"{position}{secrets.token_hex(len(name))}"[: len(name)]
            names[stand_in.encode()] = name
            content = "".join(f"{line}\r\n" for line in lines)
            packed.writestr(stand_in, content.encode("gbk", errors="replace"))
    packed_bytes = archive.getvalue()
    for stand_in_name, real_name in names.items():
        packed_bytes = packed_bytes.replace(stand_in_name, real_name)
    return packed_bytes
