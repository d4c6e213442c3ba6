"""What customers say of food and ride, and who sees which part of it."""

from datetime import datetime

from pydantic import Field

from api.schemas.base import Asked, Code, Free, Told
from domain.rating import STARS_MAX, TAGS_MAX

TEXT_CHARS = 500


class NewStars(Asked):
    """Stars for one thing; tags as in `GET /v1/policies/ratings`."""

    stars: int = Field(ge=1, le=STARS_MAX)
    tags: list[Code] = Field(default_factory=list, max_length=TAGS_MAX)
    text: Free = Field(default="", max_length=TEXT_CHARS)


class NewRating(Asked):
    """A customer's word; said again, it replaces what was said before."""

    food: NewStars
    ride: NewStars | None = None


class StarsGiven(Told):
    """Stars for one thing."""

    stars: int
    tags: list[str]
    text: str


class OwnRating(Told):
    """What a customer has said."""

    food: StarsGiven
    ride: StarsGiven | None
    rated_at: datetime


class RatingSums(Told):
    """What all say: exact sums, and their average to two digits."""

    count: int
    stars: int
    average: float | None


class RatingWord(Told):
    """One customer's word on what is the caller's; nothing names the customer."""

    order_id: str
    shop_id: str
    stars: int
    tags: list[str]
    text: str
    rated_at: datetime


class RatingWords(Told):
    """A page of words, newest first."""

    items: list[RatingWord]
    next_cursor: str | None


class RiderRatings(RatingWords):
    """A rider's words and sums."""

    sums: RatingSums


class RatingPolicy(Told):
    """Tags by code, with their names."""

    food_tags: dict[str, str]
    ride_tags: dict[str, str]
    stars_max: int
    changes_max: int
