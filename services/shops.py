"""Sites, shops and menus: reading them, and the switches a merchant has; never prices."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row, text

from domain.errors import NotFound
from domain.geo import Point
from domain.prices import Choice, FeeRule, Item, Option
from domain.shops import Hours, Shop
from services.db import Reader, Writer
from services.events import dumps

MENU_ITEMS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A city or campus: its clock, its fees, how fast it lives."""

    site_id: str
    zone: ZoneInfo
    speed: float
    fee_rule: FeeRule
    timers: dict[str, Any]
    """Overrides of `domain.contracts.life.Timers`, in seconds at speed 1."""
    always_open: bool

    def local(self, now: datetime) -> datetime:
        """A moment on the site's clock."""
        return now.astimezone(self.zone)


_SITE = text("SELECT * FROM sites WHERE site_id = :site_id")
_SHOP = text("SELECT * FROM shops WHERE shop_id = :shop_id AND site_id = :site_id")
_SHOPS = text("""
SELECT * FROM shops WHERE site_id = :site_id AND shop_id > :after ORDER BY shop_id LIMIT :limit
""")
_MENU = text("SELECT * FROM items WHERE shop_id = :shop_id ORDER BY item_id LIMIT :limit")
_SITE_OF = text("SELECT site_id FROM shops WHERE shop_id = :shop_id")
_SWITCH = text("""
UPDATE shops SET open = coalesce(:open, open), paused = coalesce(:paused, paused),
  auto_accept = coalesce(:auto_accept, auto_accept),
  self_pickup = coalesce(:self_pickup, self_pickup),
  prep_minutes = coalesce(:prep_minutes, prep_minutes),
  paused_until = CASE WHEN :set_pause THEN CAST(:paused_until AS timestamptz)
    ELSE paused_until END
WHERE shop_id = :shop_id AND site_id = :site_id AND merchant_id = :merchant_id RETURNING *
""")
_AVAILABILITY = text("""
UPDATE items SET available = :available,
  stock = CASE WHEN :set_stock THEN CAST(:stock AS int) ELSE stock END
FROM shops
WHERE items.shop_id = :shop_id AND items.item_id = :item_id AND shops.shop_id = items.shop_id
  AND shops.site_id = :site_id AND shops.merchant_id = :merchant_id
RETURNING items.*
""")
_CARRIAGE = text("""
UPDATE items SET load = :load, needs = CAST(:needs AS jsonb) FROM shops
WHERE items.shop_id = :shop_id AND items.item_id = :item_id AND shops.shop_id = items.shop_id
  AND shops.site_id = :site_id AND shops.merchant_id = :merchant_id
RETURNING items.*
""")


async def site(reader: Reader, site_id: str) -> Site:
    """A site; raises NotFound."""
    row = await reader.first(_SITE, {"site_id": site_id})
    if row is None:
        raise NotFound("there is no such site")
    return Site(
        site_id=row.site_id,
        zone=ZoneInfo(row.time_zone),
        speed=row.speed,
        fee_rule=FeeRule(**row.fee_rule),
        timers=row.timers,
        always_open=row.always_open,
    )


async def shop(reader: Reader, site_id: str, shop_id: str) -> Shop:
    """A shop of this site; raises NotFound."""
    row = await reader.first(_SHOP, {"shop_id": shop_id, "site_id": site_id})
    if row is None:
        raise NotFound("there is no such shop")
    return _shop(row)


async def site_of(reader: Reader, shop_id: str) -> str:
    """The site of a shop, for those who come without one; raises NotFound."""
    found = await reader.scalar(_SITE_OF, {"shop_id": shop_id})
    if found is None:
        raise NotFound("there is no such shop")
    return str(found)


async def page(reader: Reader, site_id: str, *, after: str, limit: int) -> list[Shop]:
    """Shops of a site by id, after one of them."""
    rows = await reader.all(_SHOPS, {"site_id": site_id, "after": after, "limit": limit})
    return [_shop(row) for row in rows]


async def menu(reader: Reader, shop_id: str) -> dict[str, Item]:
    """What the shop offers, by item id."""
    rows = await reader.all(_MENU, {"shop_id": shop_id, "limit": MENU_ITEMS})
    return {row.item_id: _item(row) for row in rows}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What a merchant changes of a shop; None leaves it as it is."""

    open: bool | None = None
    paused: bool | None = None
    auto_accept: bool | None = None
    self_pickup: bool | None = None
    prep_minutes: int | None = None
    set_pause: bool = False
    """Whether `paused_until` is meant: None then ends a pause."""
    paused_until: datetime | None = None


async def switch(
    writer: Writer, switches: Switches, *, site_id: str, merchant_id: str, shop_id: str
) -> Shop:
    """Set the switches that are given; raises NotFound for another merchant's shop."""
    whose = {"site_id": site_id, "merchant_id": merchant_id, "shop_id": shop_id}
    row = await writer.first(_SWITCH, asdict(switches) | whose)
    if row is None:
        raise NotFound("there is no such shop")
    return _shop(row)


async def set_availability(
    writer: Writer,
    *,
    site_id: str,
    merchant_id: str,
    shop_id: str,
    item_id: str,
    available: bool,
    stock: int | None,
    set_stock: bool,
) -> Item:
    """Sell an item or not, and how many are left (None: no limit) where `set_stock`."""
    row = await writer.first(
        _AVAILABILITY,
        {
            "site_id": site_id,
            "merchant_id": merchant_id,
            "shop_id": shop_id,
            "item_id": item_id,
            "available": available,
            "stock": stock,
            "set_stock": set_stock,
        },
    )
    if row is None:
        raise NotFound("there is no such item in this shop")
    return _item(row)


async def set_carriage(
    writer: Writer,
    *,
    site_id: str,
    merchant_id: str,
    shop_id: str,
    item_id: str,
    load: int,
    needs: Sequence[str],
) -> Item:
    """Say what an item takes of a rider's box and what its rider must have; raises NotFound.

    Tasks that are open keep what held when they began.
    """
    row = await writer.first(
        _CARRIAGE,
        {
            "site_id": site_id,
            "merchant_id": merchant_id,
            "shop_id": shop_id,
            "item_id": item_id,
            "load": load,
            "needs": dumps(needs),
        },
    )
    if row is None:
        raise NotFound("there is no such item in this shop")
    return _item(row)


def _shop(row: Row[Any]) -> Shop:
    return Shop(
        shop_id=row.shop_id,
        site_id=row.site_id,
        merchant_id=row.merchant_id,
        name=row.name,
        place=Point(row.lat, row.lng),
        delivery_area=tuple(Point(lat, lng) for lat, lng in row.delivery_area),
        hours=tuple(_hours(span) for span in row.opening_hours),
        prep_minutes=row.prep_minutes,
        open=row.open,
        paused=row.paused,
        auto_accept=row.auto_accept,
        self_pickup=row.self_pickup,
        paused_until=row.paused_until,
    )


def _hours(span: dict[str, Any]) -> Hours:
    """`{"opens": "10:00", "closes": "22:00", "weekdays": [1, …, 7]}`; weekdays may be left out."""
    return Hours(
        opens=time.fromisoformat(span["opens"]),
        closes=time.fromisoformat(span["closes"]),
        weekdays=tuple(span.get("weekdays", range(1, 8))),
    )


def _item(row: Row[Any]) -> Item:
    return Item(
        item_id=row.item_id,
        name=row.name,
        price_fen=row.price_fen,
        packing_fen=row.packing_fen,
        available=row.available,
        stock=row.stock,
        options=tuple(_option(option) for option in row.options),
        load=row.load,
        needs=tuple(row.needs),
    )


def _option(option: dict[str, Any]) -> Option:
    """`{option_id, name, required, choices: [{choice_id, name, add_fen}]}`, as in public menus."""
    return Option(
        option_id=option["option_id"],
        name=option["name"],
        required=option["required"],
        choices=tuple(Choice(**choice) for choice in option["choices"]),
    )
