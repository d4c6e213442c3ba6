"""Who bears a discount on what, and what each part of an order gives back: exact to the fen.

An order is a few parts (goods and packing of each line, delivery, a channel's fee, a tip). Each
refund takes from what is *left* of them, so whatever the order of the refunds, the last one ends at
zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.money import allocate

DELIVERY = "delivery"
CHANNEL_FEE = "channel_fee"
TIP = "tip"


class DiscountBearer(StrEnum):
    """Whose money a discount is."""

    PLATFORM = "platform"
    """平台承担"""
    MERCHANT = "merchant"
    """商家承担"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discount:
    """An amount off the whole order, delivery included, and who bears it."""

    code: str
    name: str
    bearer: DiscountBearer
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of an order, or what of one goes back: units, the customer's money, the bearers'."""

    key: str
    """`goods:1`, `packing:1` by line from 1, `delivery`, `channel_fee`, `tip`."""
    quantity: int
    paid_fen: int
    platform_fen: int = 0
    merchant_fen: int = 0

    @property
    def discount_fen(self) -> int:
        """What both bearers take over."""
        return self.platform_fen + self.merchant_fen

    def less(self, taken: "Part") -> "Part":
        """What is left of it."""
        return Part(
            key=self.key,
            quantity=self.quantity - taken.quantity,
            paid_fen=self.paid_fen - taken.paid_fen,
            platform_fen=self.platform_fen - taken.platform_fen,
            merchant_fen=self.merchant_fen - taken.merchant_fen,
        )


def goods(line_no: int) -> str:
    """The key of a line's goods; lines count from 1."""
    return f"goods:{line_no}"


def packing(line_no: int) -> str:
    """The key of a line's packing."""
    return f"packing:{line_no}"


def parts_of(
    lines: Sequence[tuple[int, int, int]],
    *,
    delivery_fee_fen: int,
    discounts: Sequence[Discount] = (),
    channel_fee_fen: int = 0,
    tip_fen: int = 0,
) -> tuple[Part, ...]:
    """An order's parts from its lines (quantity, goods fen, packing fen), discounts taken off.

    Neither a channel's own fee nor the rider's tip is ever discounted. Raises ValueError for
    discounts beyond the price.
    """
    full = [
        part
        for number, (quantity, goods_fen, packing_fen) in enumerate(lines, 1)
        for part in (
            Part(key=goods(number), quantity=quantity, paid_fen=goods_fen),
            Part(key=packing(number), quantity=quantity, paid_fen=packing_fen),
        )
    ]
    full.append(Part(key=DELIVERY, quantity=1, paid_fen=delivery_fee_fen))
    for discount in discounts:
        full = _discounted(full, discount)
    return (
        *full,
        Part(key=CHANNEL_FEE, quantity=1, paid_fen=channel_fee_fen),
        Part(key=TIP, quantity=1, paid_fen=tip_fen),
    )


def _discounted(parts: Sequence[Part], discount: Discount) -> list[Part]:
    if not 0 <= discount.amount_fen <= paid_fen(parts):
        raise ValueError(f"a discount of {discount.amount_fen} fen does not fit the price")
    by_platform = discount.bearer is DiscountBearer.PLATFORM
    shares = allocate(discount.amount_fen, [part.paid_fen for part in parts])
    return [
        Part(
            key=part.key,
            quantity=part.quantity,
            paid_fen=part.paid_fen - share,
            platform_fen=part.platform_fen + (share if by_platform else 0),
            merchant_fen=part.merchant_fen + (0 if by_platform else share),
        )
        for part, share in zip(parts, shares, strict=True)
    ]


def paid_fen(parts: Iterable[Part]) -> int:
    """The customer's money in these parts."""
    return sum(part.paid_fen for part in parts)


def units(left: Part, quantity: int) -> Part:
    """What `quantity` of the units left give back; the odd fen go with the first of them.

    Raises ValueError for more units than are left.
    """
    if not 0 < quantity <= left.quantity:
        raise ValueError(f"{left.key} has {left.quantity} units left, not {quantity}")

    def share(fen: int) -> int:
        each, odd = divmod(fen, left.quantity)
        return each * quantity + min(quantity, odd)

    return Part(
        key=left.key,
        quantity=quantity,
        paid_fen=share(left.paid_fen),
        platform_fen=share(left.platform_fen),
        merchant_fen=share(left.merchant_fen),
    )


def amount(left: Sequence[Part], amount_fen: int) -> tuple[Part, ...]:
    """What an amount without lines takes of each part, in proportion to the money left in it.

    The last fen ends every part. Raises ValueError for more than is left.
    """
    whole = paid_fen(left)
    if not 0 <= amount_fen <= whole:
        raise ValueError(f"{whole} fen are left, not {amount_fen}")
    if amount_fen == whole:
        return tuple(left)
    shares = allocate(amount_fen, [part.paid_fen for part in left])
    return tuple(
        Part(
            key=part.key,
            quantity=0,
            paid_fen=share,
            platform_fen=part.platform_fen * share // part.paid_fen,
            merchant_fen=part.merchant_fen * share // part.paid_fen,
        )
        for part, share in zip(left, shares, strict=True)
        if share
    )


def left_of(parts: Sequence[Part], taken: Iterable[Part]) -> tuple[Part, ...]:
    """What is left of the parts after all that was taken."""
    left = {part.key: part for part in parts}
    for one in taken:
        left[one.key] = left[one.key].less(one)
    return tuple(left.values())
