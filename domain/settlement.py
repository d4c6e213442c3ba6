"""How an order's money is divided by its merchant's contract (合同), to the fen; pays nobody.

What a channel then does of it, and what it cannot, is the acts' of settlement.
"""

from dataclasses import dataclass
from enum import StrEnum

PLATFORM = "platform"
"""Whose payees are the platform's own: receivers of its shares, never anybody's merchant."""
WHOLE_BP = 10_000
SPLITS_MAX = 3
"""Numbers under which one order's share is tried before the rest is unfrozen."""


class Deliverer(StrEnum):
    """Whose riders bring a merchant's orders, and who has the delivery fee."""

    PLATFORM = "platform"
    """平台配送"""
    MERCHANT = "merchant"
    """商家自配送"""


class SplitState(StrEnum):
    """Where one number of a settlement is, a share's (分账), its return's or an unfreeze's."""

    CREATED = "created"
    """Its number is stored; the channel may not have heard of it."""
    ASKED = "asked"
    """The channel works on it."""
    SUCCESS = "success"
    """The receiver has it; of an unfreeze: the payee has the rest."""
    CLOSED = "closed"
    """Not done, for certain: `reason` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A merchant's terms for a kind of order; one hundredth of a per cent is one `bp`."""

    commission_bp: int = 0
    """Of what the merchant earned: goods and packing less own discounts and borne refunds."""
    delivered_by: Deliverer = Deliverer.PLATFORM
    rider_fee_bp: int = WHOLE_BP
    """The rider's part of the delivery fee; whole, as their offers show it."""

    def rider_fee(self, delivery_fee_fen: int) -> int:
        """What a platform's rider earns by a delivery, fen."""
        if self.delivered_by is Deliverer.MERCHANT:
            return 0
        return delivery_fee_fen * self.rider_fee_bp // WHOLE_BP


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """An order whose after-sale window has closed; full prices, fen."""

    goods_fen: int
    packing_fen: int
    delivery_fee_fen: int
    channel_fee_fen: int = 0
    """The part that the customer bears; the channel takes its fee from the payee."""
    merchant_discount_fen: int = 0
    """Discounts that the merchant gives; the platform's are its own subsidy."""
    borne_fen: int = 0
    """Refunds that the merchant bears."""
    held_fen: int
    """Paid and not given back: what there is to divide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Who gets what is held; `subsidy_fen` comes on top, out of the platform's own money."""

    merchant_fen: int
    commission_fen: int
    delivery_fen: int
    """What the platform's delivery brings, less what the platform's discounts took."""
    subsidy_fen: int
    """What is held does not reach for the merchant's part: the platform owes it."""

    @property
    def platform_fen(self) -> int:
        """What a split should bring the platform."""
        return self.commission_fen + self.delivery_fen


def divide(contract: Contract, sale: Sale) -> Shares:
    """The merchant's part first, the platform has the rest: the parts add up to what is held."""
    own_delivery = sale.delivery_fee_fen if contract.delivered_by is Deliverer.MERCHANT else 0
    less = sale.merchant_discount_fen + sale.borne_fen
    base = max(sale.goods_fen + sale.packing_fen - less, 0)
    earned = max(sale.goods_fen + sale.packing_fen + own_delivery - less, 0)
    commission = base * contract.commission_bp // WHOLE_BP
    due = earned - commission + sale.channel_fee_fen
    merchant = min(due, sale.held_fen)
    rest = sale.held_fen - merchant
    return Shares(
        merchant_fen=merchant,
        commission_fen=min(commission, rest),
        delivery_fen=rest - min(commission, rest),
        subsidy_fen=due - merchant,
    )


def to_split(
    platform_fen: int, *, paid_fen: int, left_fen: int, merchant_fen: int, cap_bp: int
) -> int:
    """How much of the platform's part a channel splits off what is left there of a payment.

    The merchant's part goes first: with money that isn't there (credit, a refund that the platform
    bears) the platform would have to pay out what it had itself split off.
    """
    return max(min(platform_fen, left_fen - merchant_fen, paid_fen * cap_bp // WHOLE_BP), 0)


def waived(commission_fen: int, *, base_fen: int, borne_fen: int) -> int:
    """The commission on what a merchant has given back in all; all of it for all of the base."""
    if borne_fen >= base_fen:
        return commission_fen
    return commission_fen * borne_fen // base_fen
