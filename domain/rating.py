"""What customers say of food and ride: stars, tags of a table, when support looks."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import Invalid

STARS_MAX = 5
LOW_STARS = 2
"""Up to here support looks."""
CHANGES_MAX = 10
"""How often a rating may be changed."""
TAGS_MAX = 5
FOOD_TAGS: Mapping[str, str] = {
    "tasty": "味道好",
    "fresh": "食材新鲜",
    "generous": "分量足",
    "well_packed": "包装好",
    "clean": "干净卫生",
    "bland": "味道一般",
    "cold": "凉了",
    "small": "分量少",
    "badly_packed": "包装差",
    "not_as_described": "与描述不符",
}
RIDE_TAGS: Mapping[str, str] = {
    "punctual": "准时",
    "polite": "礼貌",
    "careful": "餐品完好",
    "found_the_way": "找路快",
    "slow": "送得慢",
    "rude": "态度差",
    "spilled": "餐品洒漏",
    "marked_early": "提前点送达",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stars:
    """A customer's word on one thing, from 1 to `STARS_MAX`; the text is personal."""

    stars: int
    tags: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """A customer's word on an order; no `ride`: they say nothing of it, or there was none."""

    food: Stars
    ride: Stars | None = None

    @property
    def is_low(self) -> bool:
        """Whether support should look."""
        return min(one.stars for one in (self.food, self.ride) if one) <= LOW_STARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """All of a shop's or rider's ratings."""

    count: int = 0
    stars: int = 0

    @property
    def average(self) -> float | None:
        """To two digits; None where nobody has said anything."""
        return round(self.stars / self.count, 2) if self.count else None


def ensure_rating(rating: Rating, *, had_ride: bool) -> None:
    """Refuse what no table knows, and a word on a ride that there was not."""
    if rating.ride is not None and not had_ride:
        raise Invalid("no rider brought this order")
    for one, known in ((rating.food, FOOD_TAGS), (rating.ride, RIDE_TAGS)):
        if one is None:
            continue
        if not 1 <= one.stars <= STARS_MAX:
            raise Invalid(f"stars are 1 to {STARS_MAX}")
        if len(one.tags) > TAGS_MAX or len(set(one.tags)) < len(one.tags):
            raise Invalid(f"at most {TAGS_MAX} tags, each once")
        unknown = set(one.tags) - set(known)
        if unknown:
            raise Invalid("there is no such tag", tag=min(unknown), known=sorted(known))
