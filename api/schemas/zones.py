"""How a zone hands out its work; meanings and units in `domain.matching`."""

from typing import Literal

from pydantic import Field

from api.schemas.base import Asked

METERS_MAX = 50_000
SECONDS_MAX = 86_400
MINUTES_MAX = 1_440


class SearchStep(Asked):
    """From a moment on a search goes so far, and pays so much more."""

    after_seconds: float = Field(ge=0, le=SECONDS_MAX)
    radius_meters: float = Field(gt=0, le=METERS_MAX)
    bonus_fen: int = Field(default=0, ge=0, le=100_000)


class ZoneRules(Asked):
    """A zone's rules; spans are of life, in a site of any speed."""

    way: Literal["dispatch", "grab", "both"] = "dispatch"
    grab_after_seconds: float = Field(default=120, ge=0, le=SECONDS_MAX)
    late: bool = True
    plan_seconds: float = Field(default=30, ge=0, le=600)
    ahead_minutes: float = Field(default=1, ge=0, le=60)
    meters_per_minute: float = Field(default=320, gt=0, le=5_000)
    leg_minutes: float = Field(default=0, ge=0, le=60)
    pickup_minutes: float = Field(default=4, ge=0, le=60)
    dropoff_minutes: float = Field(default=4, ge=0, le=60)
    promise_minutes: float = Field(default=40, gt=0, le=MINUTES_MAX)
    bearable_minutes: float = Field(default=90, gt=0, le=MINUTES_MAX)
    guaranteed_orders_per_hour: float = Field(default=0, ge=0, le=60)
    probation_fen: int = Field(default=10_000, ge=0)
    neighbours: list[str] = Field(default=[], max_length=20)
    steps: list[SearchStep] = Field(default=[], max_length=10)
