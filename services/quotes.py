"""Prices the server has promised for a while: made, kept, and compared when the order comes."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from domain import eta, ids
from domain.contracts.life import AT_ONCE, Order, PayWishes, Timers
from domain.errors import FulfilmentUnavailable, Invalid, NotFound, QuoteExpired, WindowNotKept
from domain.eta import Known, Moment, Window
from domain.geo import Point
from domain.orders import Fulfilment
from domain.prices import FeeRule, Item, Wish, delivery_fee, price
from domain.shops import Shop, delivery_meters, ensure_open
from services.db import Reader, Writer
from services.events import dumps

QUOTE_VALID = timedelta(minutes=15)
WISH_AHEAD_MAX = timedelta(days=1)
"""For how long before its window an order may be placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Where and when a basket is priced: everything that a price depends on beside the wishes."""

    shop: Shop
    menu: Mapping[str, Item]
    fee_rule: FeeRule
    always_open: bool
    place: Point
    """Where the food goes; the shop's own where the customer fetches it."""
    now: datetime
    """On the site's clock."""
    speed: float = 1.0
    """The site's."""
    moment: Moment = field(default_factory=Moment)
    foretell: Callable[[Known], Window] = eta.formula
    """How long it will take: a model's word, or the formula's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A basket and its price, valid until `expires_at` if nothing changes."""

    quote_id: str
    site_id: str
    customer_id: str
    shop_id: str
    address_id: str
    fulfilment: str
    window_from: datetime | None
    window_to: datetime | None
    wishes: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    goods_fen: int
    packing_fen: int
    delivery_fee_fen: int
    tip_fen: int
    discounts: list[dict[str, Any]]
    channel_fee_fen: int
    total_fen: int
    distance_meters: int
    promise_minutes: int
    """The end of the promised window: what an order is late against."""
    expires_at: datetime
    promise: dict[str, Any] = field(default_factory=dict)
    """`told`: the window and its hints; `version` of who foretold it; `known`: from what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basket:
    """What a customer asks a price for."""

    site_id: str
    customer_id: str
    address_id: str
    fulfilment: str
    wishes: Sequence[Wish]
    tip_fen: int = 0
    window_from: datetime | None = None
    window_to: datetime | None = None


_STORE = text("""
INSERT INTO quotes (quote_id, site_id, customer_id, shop_id, address_id, fulfilment, window_from,
  window_to, wishes, lines, goods_fen, packing_fen, delivery_fee_fen, tip_fen, discounts,
  channel_fee_fen, total_fen, distance_meters, promise_minutes, expires_at, promise)
VALUES (:quote_id, :site_id, :customer_id, :shop_id, :address_id, :fulfilment, :window_from,
  :window_to, CAST(:wishes AS jsonb), CAST(:lines AS jsonb), :goods_fen, :packing_fen,
  :delivery_fee_fen, :tip_fen, CAST(:discounts AS jsonb), :channel_fee_fen, :total_fen,
  :distance_meters, :promise_minutes, :expires_at, CAST(:promise AS jsonb))
""")
_FIND = text("""
SELECT * FROM quotes
WHERE quote_id = :quote_id AND site_id = :site_id AND customer_id = :customer_id
""")


def make(basket: Basket, market: Market) -> Quote:
    """Price a basket now; raises what stands in the way (closed, too far, sold out, unknown)."""
    shop = market.shop
    fetched = basket.fulfilment == Fulfilment.SELF_PICKUP
    if basket.fulfilment not in shop.offers():
        raise FulfilmentUnavailable(fulfilment=basket.fulfilment, available=shop.offers())
    if not (fetched or basket.address_id):
        raise Invalid("a delivery needs an address_id")
    if fetched and basket.tip_fen:
        raise Invalid("there is no rider to be tipped")
    wished = (basket.window_to or market.now).astimezone(market.now.tzinfo)
    if basket.window_from and not market.now <= wished > basket.window_from:
        raise Invalid("the requested window is over before it begins, or in the past")
    ensure_open(shop, market.now, always_open=market.always_open)
    meters = 0 if fetched else delivery_meters(shop, market.place)
    fee_fen = 0 if fetched else delivery_fee(market.fee_rule, meters)
    priced = price(market.menu, basket.wishes, fee_fen, tip_fen=basket.tip_fen)
    known = Known(
        shop_id=shop.shop_id,
        prep_minutes=shop.prep_minutes,
        meters=meters,
        hour=wished.hour,
        weekday=wished.isoweekday(),
        moment=market.moment,
    )
    window_ahead = eta.until_ready(known) if fetched else market.foretell(known)
    if basket.window_to:
        _ensure_kept(market, wished, timedelta(minutes=window_ahead.promise_minutes))
    return Quote(
        quote_id=ids.derive("quote", uuid.uuid4().hex),
        site_id=basket.site_id,
        customer_id=basket.customer_id,
        shop_id=shop.shop_id,
        address_id=basket.address_id,
        fulfilment=basket.fulfilment,
        window_from=basket.window_from,
        window_to=basket.window_to,
        wishes=[asdict(wish) for wish in basket.wishes],
        lines=[asdict(line) for line in priced.lines],
        goods_fen=priced.goods_fen,
        packing_fen=priced.packing_fen,
        delivery_fee_fen=priced.delivery_fee_fen,
        tip_fen=priced.tip_fen,
        discounts=[asdict(discount) for discount in priced.discounts],
        channel_fee_fen=priced.channel_fee_fen,
        total_fen=priced.total_fen,
        distance_meters=meters,
        promise_minutes=window_ahead.promise_minutes,
        expires_at=market.now.astimezone(UTC) + QUOTE_VALID,
        promise={
            "told": window_ahead.told(),
            "version": window_ahead.version,
            "known": known.features(),
        },
    )


def _ensure_kept(market: Market, wished: datetime, takes: timedelta) -> None:
    """Raise WindowNotKept, or ShopClosed where nobody cooks when it would have to be begun."""
    earliest, latest = market.now + takes / market.speed, market.now + WISH_AHEAD_MAX
    if not earliest <= wished <= latest:
        said = (one.astimezone(UTC).isoformat(timespec="seconds") for one in (earliest, latest))
        raise WindowNotKept(**dict(zip(("earliest", "latest"), said, strict=True)))
    ensure_open(market.shop, market.now + (wished - earliest), always_open=market.always_open)


async def store(writer: Writer, quote: Quote) -> None:
    """Keep a quote, so that an order can name it."""
    await writer.run(
        _STORE,
        asdict(quote)
        | {
            name: dumps(getattr(quote, name))
            for name in ("wishes", "lines", "discounts", "promise")
        },
    )


async def find(reader: Reader, *, site_id: str, customer_id: str, quote_id: str) -> Quote:
    """The customer's own quote; raises NotFound."""
    row = await reader.first(
        _FIND, {"quote_id": quote_id, "site_id": site_id, "customer_id": customer_id}
    )
    if row is None:
        raise NotFound("there is no such quote")
    return Quote(**row._mapping)  # noqa: SLF001


def price_again(quote: Quote, market: Market) -> Quote | None:
    """A new quote where the price is another one now, else None; raises as `make` does."""
    if quote.expires_at <= market.now:
        raise QuoteExpired(quote_id=quote.quote_id)
    fresh = make(
        Basket(
            site_id=quote.site_id,
            customer_id=quote.customer_id,
            address_id=quote.address_id,
            fulfilment=quote.fulfilment,
            wishes=[Wish(**wish) for wish in quote.wishes],
            tip_fen=quote.tip_fen,
        ),
        market,
    )
    same = fresh.lines == quote.lines and fresh.total_fen == quote.total_fen
    return (
        None if same else replace(fresh, window_from=quote.window_from, window_to=quote.window_to)
    )


def order(
    quote: Quote,
    shop: Shop,
    *,
    order_id: str,
    credit_fen: int,
    channel: str,
    method: str,
    wishes: PayWishes,
    tableware: int,
    speed: float,
    overrides: Mapping[str, Any],
    approval_limit_fen: int,
    now: datetime,
) -> Order:
    """The workflow's input: every span in it is already divided by the site's speed."""
    named: dict[str, Any] = {
        "promise_seconds": quote.promise_minutes * 60.0,
        "kitchen_seconds": shop.prep_minutes * 60.0,
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in overrides.items()
        },
    }
    timers = Timers(**named).scaled(speed)
    return Order(
        order_id=order_id,
        site_id=quote.site_id,
        customer_id=quote.customer_id,
        merchant_id=shop.merchant_id,
        shop_id=shop.shop_id,
        quote_id=quote.quote_id,
        channel=channel,
        method=method,
        wishes=wishes,
        total_fen=quote.total_fen,
        credit_fen=credit_fen,
        auto_accept=shop.auto_accept,
        fulfilment=quote.fulfilment,
        tableware=tableware,
        pay_by=now + timedelta(seconds=timers.payment_seconds),
        wished_by=quote.window_to or AT_ONCE,
        timers=timers,
        approval_limit_fen=approval_limit_fen,
    )
