"""How a zone hands out its work, and to whom; meanings and units in `domain.matching`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from api.schemas.base import Asked, Code, Id, Lat, Lng
from domain.eta import Vehicle
from domain.geo import MIN_CORNERS

METERS_MAX = 50_000
SECONDS_MAX = 86_400
MINUTES_MAX = 1_440
OTHERS = r"^(shop|customer):[\w.:@~-]{1,64}$"


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
    near_minutes: float = Field(default=0, ge=0, le=60)
    promise_minutes: float = Field(default=40, gt=0, le=MINUTES_MAX)
    bearable_minutes: float = Field(default=90, gt=0, le=MINUTES_MAX)
    guaranteed_orders_per_hour: float = Field(default=0, ge=0, le=60)
    probation_fen: int = Field(default=10_000, ge=0)
    neighbours: list[str] = Field(default=[], max_length=20)
    steps: list[SearchStep] = Field(default=[], max_length=10)


class RiderTerms(Asked):
    """What is settled about a rider; whole: what is not said gets its default."""

    zone_id: Id
    vehicle: Vehicle = Vehicle.E_BIKE
    skills: list[Code] = Field(default=[], max_length=20)
    room: int = Field(default=5, ge=1, le=100)
    area: list[tuple[Lat, Lng]] = Field(default=[], max_length=100)
    probation: bool = False
    not_with: list[Annotated[str, StringConstraints(pattern=OTHERS)]] = Field(
        default=[], max_length=200
    )
    """`shop:<id>` or `customer:<id>`."""

    @field_validator("area")
    @classmethod
    def _is_one(cls, area: list[tuple[float, float]]) -> list[tuple[float, float]]:
        if area and len(area) < MIN_CORNERS:
            raise ValueError("an area has three corners at least")
        return area
