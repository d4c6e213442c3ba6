"""Steps that many tests of the client take: numbers, orders, payments, refunds."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from domain.channels import Create, RefundSaid, SplitSaid, Transaction
from domain.outcomes import Accepted, Outcome
from services.wechat.accounts import Account
from services.wechat.client import WechatPay
from tests.services.wechat.gateway import NOTIFY_URL, SPEED, Gateway, NoticeEar

YOUNGEST_SECONDS = 60
REFUND_POLLS = 100
REFUND_POLL_SECONDS = 0.05


def new_number(prefix: str = "T") -> str:
    return prefix + secrets.token_hex(12)


def new_order(out_trade_no: str, **changes: Any) -> Create:
    order = Create(
        method="native",
        out_trade_no=out_trade_no,
        amount_fen=2999,
        description="订单",
        notify_url=NOTIFY_URL,
        expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=15),
    )
    return replace(order, **changes)


def new_refund(out_trade_no: str, out_refund_no: str, **changes: Any) -> dict[str, Any]:
    return {
        "out_trade_no": out_trade_no,
        "out_refund_no": out_refund_no,
        "refund_fen": 1000,
        "total_fen": 2999,
        "reason": "merchant_silent",
        "notify_url": NOTIFY_URL,
    } | changes


async def paid_order(gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar) -> str:
    out_trade_no = new_number()
    assert isinstance(await pay.create(account, new_order(out_trade_no)), Accepted)
    gateway.pay(account, out_trade_no)
    await ear.next()
    return out_trade_no


async def queried(pay: WechatPay, account: Account, out_trade_no: str) -> Transaction:
    outcome = await pay.query(account, out_trade_no=out_trade_no)
    assert isinstance(outcome, Accepted)
    return outcome.value


async def ended_refund(
    pay: WechatPay, account: Account, out_trade_no: str, out_refund_no: str
) -> RefundSaid:
    for _ in range(REFUND_POLLS):
        outcome = await pay.query_refund(
            account, out_trade_no=out_trade_no, out_refund_no=out_refund_no
        )
        assert isinstance(outcome, Accepted)
        if outcome.value.state != "processing":
            return outcome.value
        await asyncio.sleep(REFUND_POLL_SECONDS)
    raise TimeoutError("the refund stays PROCESSING")


async def paid_to_share(
    gateway: Gateway, pay: WechatPay, account: Account, ear: NoticeEar
) -> tuple[str, str]:
    """A payment of 29.99 that may be shared out by now; its number and WeChat's."""
    out_trade_no = new_number()
    assert isinstance(await pay.create(account, new_order(out_trade_no, split=True)), Accepted)
    gateway.pay(account, out_trade_no)
    await ear.next()
    await asyncio.sleep(YOUNGEST_SECONDS / SPEED)
    transaction_id = (await queried(pay, account, out_trade_no)).transaction_id
    assert transaction_id
    return out_trade_no, transaction_id


async def until(look: Callable[[], Awaitable[Outcome[SplitSaid]]]) -> SplitSaid:
    """Ask until a split or return has ended."""
    for _ in range(REFUND_POLLS):
        outcome = await look()
        assert isinstance(outcome, Accepted)
        if outcome.value.finished:
            return outcome.value
        await asyncio.sleep(REFUND_POLL_SECONDS)
    raise TimeoutError("it does not finish")


def today() -> date:
    """The date in China."""
    return datetime.now(timezone(timedelta(hours=8))).date()
