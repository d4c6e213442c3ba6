"""What a shop is to those who order from it: where it is, how far it delivers, when it is open."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from domain.errors import OutOfDeliveryArea, ShopClosed
from domain.geo import Point, contains, distance_meters
from domain.orders import Fulfilment


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A daily span in the site's time zone; one that closes before it opens ends next morning."""

    opens: time
    closes: time
    """Equal to `opens`: around the clock."""
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    """ISO: Monday is 1; the day on which the span opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A shop as its orders need it."""

    shop_id: str
    site_id: str
    merchant_id: str
    name: str
    place: Point
    delivery_area: tuple[Point, ...]
    hours: tuple[Hours, ...]
    """Empty: never closed by the clock."""
    prep_minutes: int
    open: bool
    paused: bool
    auto_accept: bool
    self_pickup: bool = False
    """Customers may fetch their food themselves."""
    paused_until: datetime | None = None
    """The kitchen rests, and takes orders again by itself."""

    def offers(self) -> list[Fulfilment]:
        """The ways to get its food."""
        return [Fulfilment.DELIVERY, *([Fulfilment.SELF_PICKUP] if self.self_pickup else [])]


def is_open(shop: Shop, local: datetime, *, always_open: bool = False) -> bool:
    """Whether the shop takes orders at a local time; its own switches go before everything."""
    if not shop.open or shop.paused or rests(shop, local):
        return False
    return always_open or not shop.hours or _within(shop.hours, local)


def rests(shop: Shop, now: datetime) -> bool:
    """Whether the kitchen pauses for a while."""
    return shop.paused_until is not None and now < shop.paused_until


def _within(hours: Sequence[Hours], local: datetime) -> bool:
    now, today = local.time(), local.isoweekday()
    yesterday = (today - 2) % 7 + 1
    for span in hours:
        if span.opens < span.closes:
            if today in span.weekdays and span.opens <= now < span.closes:
                return True
        elif (today in span.weekdays and now >= span.opens) or (
            yesterday in span.weekdays and now < span.closes
        ):
            return True
    return False


def ensure_open(shop: Shop, local: datetime, *, always_open: bool = False) -> None:
    """Raise ShopClosed unless the shop takes orders now; with `paused_until` where it rests."""
    if is_open(shop, local, always_open=always_open):
        return
    if shop.paused_until is not None and rests(shop, local):
        raise ShopClosed(
            "the kitchen takes no orders for a while",
            shop_id=shop.shop_id,
            paused_until=shop.paused_until.astimezone(UTC).isoformat(),
        )
    raise ShopClosed(shop_id=shop.shop_id)


def delivery_meters(shop: Shop, place: Point) -> int:
    """The way to a place inside the delivery area; raises OutOfDeliveryArea."""
    if not contains(shop.delivery_area, place):
        raise OutOfDeliveryArea(shop_id=shop.shop_id)
    return distance_meters(shop.place, place)
