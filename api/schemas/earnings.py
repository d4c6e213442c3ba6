"""What riders have earned, and how evenly."""

from datetime import date, datetime

from pydantic import Field

from api.schemas.base import Told


class EarnedByOrder(Told):
    """One order's part of a rider's day."""

    order_id: str
    at: datetime
    parts: dict[str, int] = Field(description="Fen by what it is: `fee`, `tip`.")
    earned_fen: int


class Earnings(Told):
    """A rider's day; `statement_in_fen` also has what is no order's, such as a payout undone."""

    day: date
    orders: list[EarnedByOrder]
    parts: dict[str, int]
    earned_fen: int
    statement_in_fen: int


class RiderShare(Told):
    """One rider's part of a zone's day."""

    rider_id: str
    orders: int
    earned_fen: int
    shift_seconds: float = Field(description="At speed 1.")
    hourly_fen: float


class FairShare(Told):
    """Everybody who was on shift, and how evenly earnings per hour are spread."""

    zone_id: str
    day: date
    riders: list[RiderShare]
    gini: float | None
    max_over_median: float | None
