"""What riders earn, by the events that book it, and how evenly a zone's work is shared out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

SECONDS_PER_HOUR = 3_600
EARNINGS: Mapping[str, str] = {
    "rider_earned": "fee",
    "rider_tipped": "tip",
    "tip_captured": "tip",
    "rider_bonus": "bonus",
}
"""Events of `domain.books` that pay a rider for an order → what it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One rider's part of a zone's day."""

    rider_id: str
    orders: int
    earned_fen: int
    shift_seconds: float
    """At speed 1."""

    @property
    def hourly_fen(self) -> float:
        """Earned per hour on shift."""
        if not self.shift_seconds:
            return 0.0
        return self.earned_fen / self.shift_seconds * SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """How evenly earnings per hour on shift are spread; None where nobody worked."""

    gini: float | None
    max_over_median: float | None


def fairness(shares: Sequence[Share]) -> Fairness:
    """Of all who were on shift, whether they got work or not."""
    hourly = sorted(one.hourly_fen for one in shares if one.shift_seconds > 0)
    middle = median(hourly) if hourly else 0
    return Fairness(
        gini=round(gini(hourly), 4) if hourly else None,
        max_over_median=round(hourly[-1] / middle, 2) if middle else None,
    )


def gini(ascending: Sequence[float]) -> float:
    """The Gini coefficient of amounts in ascending order: 0 all have the same, near 1 one has all.

    The discrete form of Gini's mean difference: 2 Σ i·xᵢ / (n Σ xᵢ) - (n + 1) / n.
    """
    count, whole = len(ascending), sum(ascending)
    if not whole:
        return 0.0
    weighted = sum(number * amount for number, amount in enumerate(ascending, 1))
    return 2 * weighted / (count * whole) - (count + 1) / count
