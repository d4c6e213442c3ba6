"""A day's bill is read whole or not at all."""

import gzip
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.channels import BillKind
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services.wechat.accounts import Account
from services.wechat.bills import BillDamaged, read_bill
from services.wechat.client import WechatPay
from tests.services.wechat.gateway import Gateway, NoticeEar
from tests.services.wechat.platform import NOW, Platform
from tests.services.wechat.steps import ended_refund, new_number, new_refund, paid_order, today

TRADES = (
    "\ufeff交易时间,商户订单号,微信订单号,交易状态,应结订单金额,商户退款单号,退款金额,退款状态,"
    "商品名称,手续费,订单金额,申请退款金额\r\n"
    "`2026-11-22 12:00:00,`T1,`4200,`SUCCESS,`29.99,`0,`0.00,`,`饭,菜,`0.18000,`29.99,`0.00\r\n"
    "`2026-11-22 13:00:00,`T1,`4200,`REFUND,`0.00,`R1,`9.99,`SUCCESS,`饭,`-0.06000,`0.00,`9.99\r\n"
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额\r\n"
    "`2,`29.99,`9.99,`0.00,`0.12000,`29.99,`9.99\r\n"
)


async def test_a_day_is_read_from_its_bills(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> None:
    early = await pay.bill(account, kind=BillKind.TRADE, day=today())
    assert early == Rejected(code="STATEMENT_CREATING", kind=Refusal.LATER)
    gateway.habits(account, bills_ready=True)
    out_trade_no, out_refund_no = await paid_order(gateway, pay, account, ear), new_number("R")
    await pay.refund(account, **new_refund(out_trade_no, out_refund_no))
    await ended_refund(pay, account, out_trade_no, out_refund_no)
    await ear.next()

    trades = await pay.bill(account, kind=BillKind.TRADE, day=today())
    assert isinstance(trades, Accepted)
    payment, refund = trades.value.trades
    assert (payment.kind, payment.out_trade_no, payment.amount_fen) == (
        "payment",
        out_trade_no,
        2999,
    )
    assert (payment.fee_fen, refund.fee_fen) == (18, -6)
    assert (refund.kind, refund.out_refund_no, refund.amount_fen, refund.state) == (
        "refund",
        out_refund_no,
        1000,
        "success",
    )
    assert payment.at is not None
    assert abs(payment.at - datetime.now(UTC)) < timedelta(minutes=1)

    funds = await pay.bill(account, kind=BillKind.FUNDS, day=today())
    assert isinstance(funds, Accepted)
    moved = [(row.kind, row.amount_fen) for row in funds.value.funds]
    assert moved == [("交易", 2999), ("扣除交易手续费", -18), ("退款", -994)]
    assert funds.value.funds[-1].balance_fen == sum(fen for _, fen in moved)
    assert funds.value.funds[0].business_no == payment.transaction_id

    for operation in ("bill", "bill_download"):
        gateway.spoil(account, operation, "http_500")
        doubtful = await pay.bill(account, kind=BillKind.TRADE, day=today())
        assert doubtful == Unknown(reason="http_500")
    idle = await pay.bill(account, kind=BillKind.TRADE, day=today() - timedelta(days=1))
    assert idle == Rejected(code="NO_STATEMENT_EXIST", kind=Refusal.NOT_FOUND)
    future = await pay.bill(account, kind=BillKind.TRADE, day=today() + timedelta(days=2))
    assert isinstance(future, Rejected)
    assert (future.code, future.kind) == ("PARAM_ERROR", Refusal.NEVER)


def test_values_are_read_by_the_name_of_their_column() -> None:
    bill = read_bill(BillKind.TRADE, TRADES.encode())
    assert [(row.amount_fen, row.fee_fen, row.state) for row in bill.trades] == [
        (2999, 18, "success"),
        (999, -6, "success"),
    ]
    assert bill.trades[0].at == datetime(2026, 11, 22, 4, tzinfo=UTC)
    assert bill.sha256 == hashlib.sha256(TRADES.encode()).hexdigest()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("`29.99,`0.00\r\n", "`29.98,`0.00\r\n", "bill_wrong_sums"),
        ("`2,`29.99", "`3,`29.99", "bill_wrong_sums"),
        ("`0.18000", "`0.17000", "bill_wrong_sums"),
        ("`0.18000", "`0.18500", "bill_wrong_shape"),
        ("`9.99,`SUCCESS", "`9.99,`MAYBE", "bill_wrong_shape"),
        ("`REFUND", "`REVOKED", "bill_wrong_shape"),
        ("`T1,`4200,`SUCCESS", "`T1,`SUCCESS", "bill_wrong_shape"),
        ("订单金额,申请", "金额,申请", "bill_wrong_shape"),
        ("`2026-11-22 12", "2026-11-22 12", "bill_wrong_shape"),
        ("`29.99,`0.00\r\n", "`1e3,`0.00\r\n", "bill_wrong_shape"),
    ],
)
def test_a_damaged_bill_is_refused_whole(old: str, new: str, reason: str) -> None:
    assert old in TRADES
    with pytest.raises(BillDamaged, match=reason):
        read_bill(BillKind.TRADE, TRADES.replace(old, new, 1).encode())


@given(cut=st.integers(0, len(TRADES.encode()) - 3))
def test_a_bill_that_was_cut_is_never_read(cut: int) -> None:
    with pytest.raises(BillDamaged):
        read_bill(BillKind.TRADE, TRADES.encode()[:cut])


Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda _: gzip.compress(TRADES.replace("饭", "面").encode()), "bill_wrong_hash"),
        (lambda packed: packed[:-20], "bill_cut"),
        (lambda _: b"<html>", "bill_not_gzip"),
    ],
)
async def test_bytes_that_are_not_what_was_hashed_are_no_bill(
    platform: Platform, damage: Damage, reason: str
) -> None:
    packed = damage(gzip.compress(TRADES.encode()))
    outcome = await _fetched(platform, packed)
    assert outcome == Unknown(reason=reason)


async def test_a_bill_is_fetched_from_the_gateway_only(platform: Platform) -> None:
    outcome = await _fetched(platform, b"", url="https://example.com/v3/billdownload/file?token=1")
    assert outcome == Unknown(reason="bill_elsewhere")


async def _fetched(
    platform: Platform,
    packed: bytes,
    url: str = "https://api.mch.weixin.qq.com/v3/billdownload/file?token=1",
) -> Outcome[object]:
    offer = orjson.dumps(
        {
            "hash_type": "SHA1",
            "hash_value": hashlib.sha1(TRADES.encode(), usedforsecurity=False).hexdigest(),
            "download_url": url,
        }
    )

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v3/billdownload/file":
            assert request.headers["Authorization"]
            return httpx.Response(200, content=packed)
        return httpx.Response(200, content=offer, headers=platform.headers(offer))

    pay = WechatPay(httpx.AsyncClient(transport=httpx.MockTransport(answer)), lambda: NOW)
    return await pay.bill(platform.account(), kind=BillKind.TRADE, day=NOW.date())
