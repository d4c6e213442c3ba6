"""Bills: read whole by header name, or refused whole."""

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from domain.channels import Bill, BillKind
from domain.outcomes import Accepted, Rejected, Unknown
from services.alipay.accounts import Account
from services.alipay.answers import CHINA
from services.alipay.bills import read_bill
from services.alipay.client import Alipay, _read_address
from tests.sandbox.alipay import AlipayMerchant
from tests.sandbox.outside import MerchantServer, SandboxProcess
from tests.services.alipay.conftest import account_of

ADDRESS = "alipay.data.dataservice.bill.downloadurl.query"


def _today() -> date:
    return datetime.now(UTC).astimezone(CHINA).date()


@pytest.fixture
def busy(merchant: AlipayMerchant) -> AlipayMerchant:
    """A merchant whose day had two payments and a refund."""
    by_seller = {"hb_fq_num": "3", "hb_fq_seller_percent": "100"}
    first = merchant.paid(out_trade_no="T1", subject="外卖")
    merchant.paid(out_trade_no="T2", extend_params=by_seller)
    merchant.refund(first, "10.00", "R1")
    return merchant


async def _bill(pay: Alipay, account: Account, kind: BillKind) -> Bill:
    outcome = await pay.bill(account, kind=kind, day=_today())
    assert isinstance(outcome, Accepted)
    return outcome.value


@pytest.mark.usefixtures("busy")
async def test_the_trade_bill(pay: Alipay, account: Account) -> None:
    bill = await _bill(pay, account, BillKind.TRADE)
    rows = [(r.out_trade_no, r.kind, r.amount_fen, r.fee_fen, r.out_refund_no) for r in bill.trades]
    assert rows == [
        ("T1", "payment", 1000, 6, ""),
        ("T2", "payment", 1000, 24, ""),
        ("T1", "refund", 1000, -6, "R1"),
    ]
    at = bill.trades[0].at
    assert at is not None
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.usefixtures("busy")
async def test_the_funds_bill(pay: Alipay, account: Account) -> None:
    bill = await _bill(pay, account, BillKind.FUNDS)
    assert sum(row.amount_fen for row in bill.funds) == 976
    assert bill.funds[-1].balance_fen == 976
    assert len({row.flow_id for row in bill.funds}) == len(bill.funds) == 6


async def test_a_day_without_a_bill(pay: Alipay, account: Account) -> None:
    outcome = await pay.bill(account, kind=BillKind.TRADE, day=_today())
    assert outcome == Rejected(code="isp.bill_not_exist")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("http_502", "http_502"), ("bad_signature", "bill_damaged")],
)
@pytest.mark.usefixtures("busy")
async def test_a_bill_that_comes_badly(
    pay: Alipay, account: Account, sandbox: SandboxProcess, fault: str, reason: str
) -> None:
    sandbox.fault("bill_download", fault, mchid=account.seller_id)
    outcome = await pay.bill(account, kind=BillKind.TRADE, day=_today())
    assert outcome == Unknown(reason=reason)


def _packed(tables: list[bytes]) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for position, table in enumerate(tables):
            packed.writestr(str(position), table)
    return archive.getvalue()


def _swap(old: str, new: str, which: int = 0) -> Callable[[list[bytes]], list[bytes]]:
    def change(tables: list[bytes]) -> list[bytes]:
        changed = list(tables)
        changed[which] = tables[which].replace(old.encode("gbk"), new.encode("gbk"), 1)
        assert changed != tables, old
        return changed

    return change


def _without_a_line(tables: list[bytes]) -> list[bytes]:
    lines = tables[0].splitlines(keepends=True)
    return [b"".join(lines[:5] + lines[6:]), tables[1]]


DAMAGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "no summary": lambda tables: tables[:1],
    "no detail": lambda tables: tables[1:],
    "twice": lambda tables: [*tables, tables[0]],
    "a line lost": _without_a_line,
    "a line doubled": lambda tables: [
        tables[0].replace(*(tables[0].splitlines(keepends=True)[5] * n for n in (1, 2))),
        tables[1],
    ],
    "no end": lambda tables: [tables[0][: tables[0].index(b"#", 400)], tables[1]],
    "not gbk": lambda tables: [tables[0] + b"\xff", tables[1]],
    "other account": _swap("账号：[2088", "账号：[2089"),
    "other account in the summary": _swap("账号：[2088", "账号：[2089", 1),
    "other day": _swap("起始日期：[2", "起始日期：[3"),
    "an amount": _swap(",10.00,10.00,", ",10.01,10.01,"),
    "a fee": _swap(",-0.06,", ",-0.07,"),
    "an unknown kind": _swap("交易\t", "转账\t"),
    "a positive refund": _swap(",-10.00,-10.00,", ",10.00,10.00,"),
    "no number": _swap("T1\t", "\t"),
    "a comma": _swap("外卖", "外,卖"),
    "a renamed column": _swap("商户订单号", "商户单号"),
    "a column twice": _swap("门店名称", "门店编号"),
    "the footer's count": _swap("交易合计：2笔", "交易合计：3笔"),
    "the summary's count": _swap("合计\t,\t,2\t", "合计\t,\t,3\t", 1),
    "the summary's total": _swap(",10.00\t", ",10.01\t", 1),
    "the summary's net": _swap("9.94", "10.06", 1),
    "no total": _swap("合计", "小计", 1),
}


@pytest.fixture(scope="module")
def fetched(outside: tuple[SandboxProcess, MerchantServer]) -> Iterator[tuple[Account, bytes]]:
    """A day's bill as it came, and whose it is: one for all damages."""
    merchant = AlipayMerchant(outside[0])
    merchant.paid(out_trade_no="T2")
    merchant.refund(merchant.paid(out_trade_no="T1", subject="外卖"), "10.00", "R1")
    found = merchant.ask(ADDRESS, bill_type="trade", bill_date=_today().isoformat())
    yield account_of(merchant), merchant.http.get(found["bill_download_url"]).content
    merchant.http.close()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_bill_is_refused_whole(fetched: tuple[Account, bytes], name: str) -> None:
    account, content = fetched
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        tables = [packed.read(member) for member in packed.infolist()]
    repacked = _packed(tables)
    bill = read_bill(account, BillKind.TRADE, _today(), repacked)
    later = _packed(_swap("导出时间：[2", "导出时间：[3")(tables))
    assert read_bill(account, BillKind.TRADE, _today(), later) == bill
    with pytest.raises(ValueError):
        read_bill(account, BillKind.TRADE, _today(), _packed(DAMAGES[name](tables)))


def test_a_cut_bill_is_refused(fetched: tuple[Account, bytes]) -> None:
    account, content = fetched
    for cut in (0, 1, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError):
            read_bill(account, BillKind.TRADE, _today(), content[:cut])
    with pytest.raises(ValueError):
        read_bill(account, BillKind.FUNDS, _today(), content)


@pytest.mark.parametrize(
    "address", ["http://dwbillcenter.alipay.com/x", "https://alipay.com.example/x", "file:///x"]
)
def test_an_address_elsewhere_is_not_followed(address: str) -> None:
    with pytest.raises(ValueError):
        _read_address({"bill_download_url": address})
