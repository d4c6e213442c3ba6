"""What an order's workflow is told of time, and when a price has changed."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from domain.contracts.life import PayWishes
from domain.errors import QuoteExpired, ShopClosed, SoldOut, WindowNotKept
from domain.geo import Point
from domain.prices import FeeRule, Item, Wish
from domain.shops import Hours, Shop
from services import quotes
from services.quotes import Basket, Market

NOW = datetime(2026, 11, 13, 12, tzinfo=UTC)
AREA = (Point(0, 0), Point(0, 1), Point(1, 1), Point(1, 0))
SHOP = Shop(
    shop_id="shop",
    site_id="site",
    merchant_id="merchant",
    name="Noodles",
    place=Point(0.5, 0.5),
    delivery_area=AREA,
    hours=(),
    prep_minutes=12,
    open=True,
    paused=False,
    auto_accept=True,
)
TEA = Item(item_id="tea", name="tea", price_fen=500, stock=3)
MARKET = Market(
    shop=SHOP,
    menu={"tea": TEA},
    fee_rule=FeeRule(),
    always_open=False,
    place=Point(0.51, 0.5),
    now=NOW,
)
BASKET = Basket(
    site_id="site",
    customer_id="ann",
    address_id="address",
    fulfilment="delivery",
    wishes=[Wish(item_id="tea", quantity=2)],
    window_from=NOW + timedelta(hours=1),
    window_to=NOW + timedelta(hours=2),
)


def test_the_same_market_has_the_same_price() -> None:
    quote = quotes.make(BASKET, MARKET)
    assert (quote.goods_fen, quote.delivery_fee_fen, quote.total_fen) == (1_000, 400, 1_400)
    assert quotes.price_again(quote, MARKET) is None
    later = replace(MARKET, now=NOW + timedelta(minutes=14))
    assert quotes.price_again(quote, later) is None


@pytest.mark.parametrize(
    "market",
    [
        replace(MARKET, menu={"tea": replace(TEA, price_fen=501)}),
        replace(MARKET, menu={"tea": replace(TEA, packing_fen=1)}),
        replace(MARKET, fee_rule=FeeRule(base_fen=299)),
        replace(MARKET, shop=replace(SHOP, place=Point(0.6, 0.6))),
    ],
)
def test_another_price_is_a_new_quote_for_the_same_wish(market: Market) -> None:
    quote = quotes.make(BASKET, MARKET)
    fresh = quotes.price_again(quote, market)
    assert fresh is not None
    assert fresh.total_fen != quote.total_fen
    assert fresh.quote_id != quote.quote_id
    assert (fresh.window_from, fresh.window_to) == (quote.window_from, quote.window_to)
    assert fresh.wishes == quote.wishes


def test_a_window_is_kept_or_refused() -> None:
    takes = timedelta(minutes=12 + 5 + 10)

    def wished(ends: timedelta, market: Market = MARKET) -> quotes.Quote:
        window = {"window_from": NOW, "window_to": NOW + ends}
        return quotes.make(replace(BASKET, **window), market)

    assert wished(takes).window_to == NOW + takes
    assert wished(takes / 10, replace(MARKET, speed=10)).window_to == NOW + takes / 10
    with pytest.raises(WindowNotKept) as refused:
        wished(takes - timedelta(seconds=1))
    assert refused.value.data == {
        "earliest": "2026-11-13T12:27:00+00:00",
        "latest": "2026-11-14T12:00:00+00:00",
    }
    with pytest.raises(WindowNotKept):
        wished(timedelta(days=1, seconds=1))
    until_two = Hours(opens=time(8), closes=time(14))
    day = replace(MARKET, shop=replace(SHOP, hours=(until_two,)))
    assert wished(timedelta(hours=2), day)
    with pytest.raises(ShopClosed):
        wished(timedelta(hours=2) + takes, day)


def test_old_quotes_and_sold_out_items() -> None:
    quote = quotes.make(BASKET, MARKET)
    with pytest.raises(QuoteExpired):
        quotes.price_again(quote, replace(MARKET, now=NOW + quotes.QUOTE_VALID))
    with pytest.raises(SoldOut):
        quotes.price_again(quote, replace(MARKET, menu={"tea": replace(TEA, stock=1)}))


def test_the_workflows_input_lives_as_fast_as_its_site() -> None:
    quote = quotes.make(BASKET, MARKET)
    order = quotes.order(
        quote,
        SHOP,
        order_id="order",
        credit_fen=400,
        channel="wechat",
        method="native",
        wishes=PayWishes(),
        tableware=1,
        speed=10,
        overrides={"offer_seconds": 50, "poll_seconds": [10, 20]},
        approval_limit_fen=7,
        now=NOW,
    )
    assert quote.promise_minutes == 12 + 5 + 10
    assert order.timers.promise_seconds == 27 * 60 / 10
    assert order.timers.kitchen_seconds == 12 * 60 / 10
    assert order.timers.offer_seconds == 5
    assert order.timers.poll_seconds == (1, 2)
    assert order.pay_by == NOW + timedelta(seconds=90)
    assert (order.auto_accept, order.total_fen, order.approval_limit_fen) == (True, 1_400, 7)
    assert order.wished_by == NOW + timedelta(hours=2)
    assert order.credit_fen == 400
