"""What the platform gives for lateness without being asked: tiers, and caps per day."""

from dataclasses import dataclass
from typing import Literal

VERSION = "1"
"""Of these tables, as quotes name it; raised with every change."""
PERCENT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """From so many seconds after the promised time (at speed 1): a share of a base, capped."""

    late_seconds: int
    base: Literal["delivery_fee", "goods"]
    percent: int
    cap_fen: int


TIERS = (
    Tier(late_seconds=600, base="delivery_fee", percent=100, cap_fen=2_000),
    Tier(late_seconds=1_800, base="goods", percent=30, cap_fen=3_000),
    Tier(late_seconds=3_600, base="goods", percent=50, cap_fen=5_000),
)
CUSTOMER_DAY_FEN = 8_000
"""A customer's compensations of one business day at a site; above it a person decides."""
SITE_DAY_FEN = 1_000_000
"""All of a site's of one business day."""


def for_lateness(late_seconds: float, *, delivery_fee_fen: int, goods_fen: int) -> int:
    """The best of the tiers reached, fen; later is never less."""
    bases = {"delivery_fee": delivery_fee_fen, "goods": goods_fen}
    reached = [tier for tier in TIERS if late_seconds >= tier.late_seconds]
    amounts = [min(bases[tier.base] * tier.percent // PERCENT, tier.cap_fen) for tier in reached]
    return max(amounts, default=0)
