"""Everything a price depends on, gathered from the services for one customer at one shop."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from api.parts import Parts, utc_now
from domain.geo import Point
from services import addresses, shops
from services.db import Reader
from services.identity import Identity
from services.quotes import Market
from services.shops import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A market, and what an order placed in it needs beside."""

    market: Market
    site: Site
    address: dict[str, Any]


async def market(reader: Reader, who: Identity, shop_id: str, address_id: str) -> Here:
    """Raises NotFound for a shop of another site, or somebody else's address.

    Without an address the customer comes to the shop.
    """
    site = await shops.site(reader, who.site_id)
    shop = await shops.shop(reader, who.site_id, shop_id)
    address: dict[str, Any] = {}
    if address_id:
        address = await addresses.get(
            reader, site_id=who.site_id, customer_id=who.subject, address_id=address_id
        )
    return Here(
        market=Market(
            shop=shop,
            menu=await shops.menu(reader, shop_id),
            fee_rule=site.fee_rule,
            always_open=site.always_open,
            place=Point(address["lat"], address["lng"]) if address else shop.place,
            now=site.local(utc_now()),
            speed=site.speed,
        ),
        site=site,
        address=address,
    )


async def foretold(parts: Parts, reader: Reader, here: Here) -> Market:
    """The market with what goes on in it, and who says how long that makes an order take."""
    shop, foretell = here.market.shop, parts.foreteller.window
    return replace(
        here.market,
        moment=await parts.foreteller.moment(reader, shop),
        foretell=partial(foretell, site_id=here.site.site_id),
    )
