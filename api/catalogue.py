"""What can be bought, and for how much: shops, menus, a customer's addresses, quotes."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from api import cursors, replies, schemas, views
from api.identity import Customer
from api.market import foretold, market
from api.parts import Held, utc_now
from api.paying import ways
from api.replies import reply
from api.schemas import PAGE_ITEMS, Id
from domain.prices import Wish
from domain.shops import is_open
from services import addresses, credit, quotes, ratings, shops
from services.quotes import Basket

router = APIRouter(prefix="/v1")
Cursor = Annotated[str | None, Query(max_length=cursors.CURSOR_CHARS)]
Limit = Annotated[int, Query(ge=1, le=PAGE_ITEMS)]


@router.get("/shops", response_model=schemas.Shops, tags=["catalogue"])
async def list_shops(parts: Held, site: Id, cursor: Cursor = None, limit: Limit = 20) -> Response:
    """Shops of a site."""
    after = str(cursors.decode(cursor, str)[0]) if cursor else ""
    async with parts.database.read() as reader:
        where = await shops.site(reader, site)
        found = await shops.page(reader, site, after=after, limit=limit + 1)
        rated = await ratings.sums(reader, site, [f"shop:{shop.shop_id}" for shop in found])
    now = where.local(utc_now())
    items = [
        views.shop(
            shop,
            takes_orders=is_open(shop, now, always_open=where.always_open),
            rated=rated[f"shop:{shop.shop_id}"],
        )
        for shop in found[:limit]
    ]
    more = cursors.encode(found[limit - 1].shop_id) if len(found) > limit else None
    return replies.page(items, more)


@router.get("/shops/{shop_id}/menu", response_model=schemas.Menu, tags=["catalogue"])
async def get_menu(parts: Held, shop_id: Id) -> Response:
    """What a shop offers."""
    async with parts.database.read() as reader:
        await shops.site_of(reader, shop_id)
        menu = await shops.menu(reader, shop_id)
    return reply({"shop_id": shop_id, "items": [views.item(item) for item in menu.values()]})


@router.post("/addresses", response_model=schemas.Address, status_code=201, tags=["customer"])
async def add_address(parts: Held, who: Customer, address: schemas.NewAddress) -> Response:
    """Keep an address."""
    value = address.model_dump()
    async with parts.database.write() as writer:
        address_id = await addresses.add(
            writer, site_id=who.site_id, customer_id=who.subject, address=value
        )
    return reply({"address_id": address_id, **value}, 201)


@router.get("/addresses", response_model=schemas.Addresses, tags=["customer"])
async def list_addresses(parts: Held, who: Customer) -> Response:
    """The caller's addresses, all on one page."""
    async with parts.database.read() as reader:
        found = await addresses.mine(reader, site_id=who.site_id, customer_id=who.subject)
    return replies.page(found, None)


@router.delete("/addresses/{address_id}", status_code=204, tags=["customer"])
async def delete_address(parts: Held, who: Customer, address_id: Id) -> Response:
    """Forget an address; orders keep their copy."""
    async with parts.database.write() as writer:
        await addresses.remove(
            writer, site_id=who.site_id, customer_id=who.subject, address_id=address_id
        )
    return Response(status_code=204)


@router.post("/quotes", response_model=schemas.Quote, status_code=201, tags=["customer"])
async def make_quote(parts: Held, who: Customer, wanted: schemas.NewQuote) -> Response:
    """Price a basket."""
    window = wanted.requested_window
    async with parts.database.read() as reader:
        here = await market(reader, who, wanted.shop_id, wanted.address_id)
        offered = await ways(parts, reader, who, here.market.shop.merchant_id)
        available_fen = await credit.available_fen(reader, who.site_id, who.subject, now=utc_now())
        now = await foretold(parts, reader, here)
    quote = quotes.make(
        Basket(
            site_id=who.site_id,
            customer_id=who.subject,
            address_id=wanted.address_id,
            fulfilment=wanted.fulfilment,
            wishes=[Wish(**line.model_dump()) for line in wanted.lines],
            tip_fen=wanted.tip_fen,
            window_from=window.from_ if window else None,
            window_to=window.to if window else None,
        ),
        now,
    )
    async with parts.database.write() as writer:
        await quotes.store(writer, quote)
    return reply(views.quote(quote, offered, credit_fen=available_fen), 201)
