"""Contracts of tips that are given after delivery: each is a payment of its own."""

from dataclasses import dataclass
from datetime import datetime

from domain.contracts.act import act
from domain.contracts.life import PayWishes
from domain.contracts.payments import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveTip:
    """The input of `Tip`; spans are already divided by the site's speed."""

    order_id: str
    out_trade_no: str
    amount_fen: int
    channel: str
    method: str
    wishes: PayWishes
    pay_by: datetime
    notice_seconds: float
    poll_seconds: tuple[float, ...]
    refund_poll_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TipSaid:
    """Where the tip is: `opened` or `unknown`; in the end `closed`, or what became of its money."""

    out_trade_no: str
    outcome: str


STORE = act("tips.store", GiveTip, Attempt)
"""Store the payment's number before the gateway hears of it."""
