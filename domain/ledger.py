"""Double entry: accounts, journals and which event books what; rows are `services.ledger`'s."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from domain.errors import IdempotencyConflict

CURRENCY = "CNY"

RefundSource = Literal["held", "suspense", "merchant", "platform"]
"""Whose money a refund takes: the order's, late money, the merchant's share, or the platform's."""


class JournalKeyReused(IdempotencyConflict):
    """This event is booked already, with other accounts or amounts."""


class Side(StrEnum):
    """The two sides of double entry."""

    DEBIT = "D"
    """借: left."""
    CREDIT = "C"
    """贷: right."""


class Keeping(StrEnum):
    """How an account's balance is known."""

    LOCKED = "locked"
    """A running balance on the account's row: people and merchants, whose limits must hold."""
    DERIVED = "derived"
    """The sum of its entries: hot platform and channel accounts, where a row lock would queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of a site; its balance is counted on its normal side."""

    code: str
    normal: Side
    keeping: Keeping = Keeping.DERIVED
    may_go_negative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One leg of a journal."""

    account: Account
    side: Side
    amount_fen: int

    def __post_init__(self) -> None:
        if self.amount_fen <= 0:
            raise ValueError(f"a posting moves money: {self.amount_fen} fen on {self.account.code}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """What one event moved; the key names the event, so that it is booked once."""

    key: str
    event: str
    site_id: str
    order_id: str
    postings: tuple[Posting, ...]
    currency: str = CURRENCY

    def __post_init__(self) -> None:
        if not self.postings or self.total_fen(Side.DEBIT) != self.total_fen(Side.CREDIT):
            raise ValueError(f"journal {self.key} does not balance")

    def total_fen(self, side: Side) -> int:
        """Sum of one side."""
        return sum(posting.amount_fen for posting in self.postings if posting.side is side)


def clearing(channel: str, mchid: str) -> Account:
    """支付渠道清算: what a channel holds for a payee.

    It may go negative: the payee may have withdrawn before the channel pays a refund.
    """
    return Account(code=f"psp:{channel}:{mchid}:clearing", normal=Side.DEBIT, may_go_negative=True)


def order_held(site_id: str) -> Account:
    """订单待结算: paid for orders that are not settled yet."""
    return Account(code=f"order:{site_id}:held", normal=Side.CREDIT)


def merchant_payable(merchant_id: str) -> Account:
    """应付商家: what a merchant has earned."""
    return Account(
        code=f"merchant:{merchant_id}:payable", normal=Side.CREDIT, keeping=Keeping.LOCKED
    )


def platform_expense(site_id: str) -> Account:
    """平台赔付: what the platform bears."""
    return Account(code=f"platform:{site_id}:expense", normal=Side.DEBIT)


def platform_delivery(site_id: str) -> Account:
    """平台配送收入: delivery fees earned."""
    return Account(code=f"platform:{site_id}:delivery", normal=Side.CREDIT)


def refund_in_flight(channel: str) -> Account:
    """退款在途: promised to customers, not yet paid by the channel."""
    return Account(code=f"refund:{channel}:in_flight", normal=Side.CREDIT)


def suspense(kind: str) -> Account:
    """暂记: money that belongs to no order any more and goes home (`late`)."""
    return Account(code=f"suspense:{kind}", normal=Side.CREDIT)


def payment_captured(
    *, site_id: str, order_id: str, channel: str, mchid: str, out_trade_no: str, amount_fen: int
) -> Journal:
    """The customer's payment arrived for an order that wants it."""
    return Journal(
        key=_payment_key(out_trade_no),
        event="payment_captured",
        site_id=site_id,
        order_id=order_id,
        postings=_move(clearing(channel, mchid), order_held(site_id), amount_fen),
    )


def late_payment(
    *, site_id: str, order_id: str, channel: str, mchid: str, out_trade_no: str, amount_fen: int
) -> Journal:
    """A payment arrived after cancel, or a second one; same key as a capture: booked once."""
    return Journal(
        key=_payment_key(out_trade_no),
        event="late_payment",
        site_id=site_id,
        order_id=order_id,
        postings=_move(clearing(channel, mchid), suspense("late"), amount_fen),
    )


def refund_opened(
    *,
    site_id: str,
    order_id: str,
    channel: str,
    merchant_id: str,
    out_refund_no: str,
    source: RefundSource,
    amount_fen: int,
) -> Journal:
    """A refund was decided; the delivery fee given back is one from `held`."""
    payer = _refund_payer(source, site_id=site_id, merchant_id=merchant_id)
    return Journal(
        key=f"refund/{out_refund_no}/opened",
        event="refund_opened",
        site_id=site_id,
        order_id=order_id,
        postings=_move(payer, refund_in_flight(channel), amount_fen),
    )


def refund_settled(
    *, site_id: str, order_id: str, channel: str, mchid: str, out_refund_no: str, amount_fen: int
) -> Journal:
    """The channel says the customer has the money."""
    return Journal(
        key=_refund_end_key(out_refund_no),
        event="refund_settled",
        site_id=site_id,
        order_id=order_id,
        postings=_move(refund_in_flight(channel), clearing(channel, mchid), amount_fen),
    )


def refund_failed(
    *,
    site_id: str,
    order_id: str,
    channel: str,
    merchant_id: str,
    out_refund_no: str,
    source: RefundSource,
    amount_fen: int,
) -> Journal:
    """The channel refused the refund for good: undoes `refund_opened`.

    CLOSED and ABNORMAL book nothing: that money stays in flight until a person ends it. A refund
    ends once: settled and failed share their key.
    """
    payer = _refund_payer(source, site_id=site_id, merchant_id=merchant_id)
    return Journal(
        key=_refund_end_key(out_refund_no),
        event="refund_failed",
        site_id=site_id,
        order_id=order_id,
        postings=_move(refund_in_flight(channel), payer, amount_fen),
    )


def order_settled(
    *, site_id: str, order_id: str, merchant_id: str, merchant_fen: int, delivery_fen: int
) -> Journal:
    """The after-sale window closed: all that is still held goes to those who earned it.

    `merchant_fen` is what is left of goods and packing, `delivery_fen` of the delivery fee; either
    may be zero, not both.
    """
    earned = (
        (merchant_payable(merchant_id), merchant_fen),
        (platform_delivery(site_id), delivery_fen),
    )
    return Journal(
        key=f"order/{order_id}/settled",
        event="order_settled",
        site_id=site_id,
        order_id=order_id,
        postings=(
            Posting(
                account=order_held(site_id),
                side=Side.DEBIT,
                amount_fen=merchant_fen + delivery_fen,
            ),
            *(
                Posting(account=account, side=Side.CREDIT, amount_fen=amount_fen)
                for account, amount_fen in earned
                if amount_fen
            ),
        ),
    )


def merchant_paid_by_platform(
    *, site_id: str, order_id: str, merchant_id: str, amount_fen: int
) -> Journal:
    """A refund after acceptance that is not the merchant's fault leaves the merchant paid."""
    return Journal(
        key=f"order/{order_id}/merchant_paid",
        event="merchant_paid_by_platform",
        site_id=site_id,
        order_id=order_id,
        postings=_move(platform_expense(site_id), merchant_payable(merchant_id), amount_fen),
    )


def _payment_key(out_trade_no: str) -> str:
    return f"payment/{out_trade_no}/arrived"


def _refund_end_key(out_refund_no: str) -> str:
    return f"refund/{out_refund_no}/ended"


def _refund_payer(source: RefundSource, *, site_id: str, merchant_id: str) -> Account:
    payers = {
        "held": order_held(site_id),
        "suspense": suspense("late"),
        "merchant": merchant_payable(merchant_id),
        "platform": platform_expense(site_id),
    }
    return payers[source]


def _move(debit: Account, credit: Account, amount_fen: int) -> tuple[Posting, Posting]:
    return (
        Posting(account=debit, side=Side.DEBIT, amount_fen=amount_fen),
        Posting(account=credit, side=Side.CREDIT, amount_fen=amount_fen),
    )
