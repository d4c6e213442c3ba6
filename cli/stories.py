"""`paotui demo --story`: what goes wrong with money, and how it is put right by itself."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import click
import httpx

from cli import city, people
from cli.money import show_money
from cli.report import Report
from cli.story_town import CUSTOMER, GATEWAY_HABITS, RIDER, SUPPORT, Json, Town, city_of
from services.settings import Settings

CALL_TIMEOUT_SECONDS = 30
BUSINESS = timezone(timedelta(hours=8))
"""Of business days."""


async def refund_line(town: Town) -> Json:
    """One of two bowls was missing: the customer asks, the shop agrees, its share goes back."""
    order = await _delivered(town)
    wish = {"lines": [{"line_no": 1, "quantity": 1}], "reason_code": "missing_item"}
    path = f"/orders/{order['order_id']}/refunds"
    asked = await town.tap("customer", CUSTOMER, "POST", path, wish)
    town.report.say(f"after-sale {asked['after_sale_id']}: one of two bowls is asked back")
    path = f"/merchant/after-sales/{asked['after_sale_id']}/approve"
    said = await town.tap("merchant", town.merchant_id, "POST", path)
    town.report.say(f"the shop agrees to {said['amount_fen'] / 100:.2f}")
    await town.until(order, lambda view: view["payment"] == "partially_refunded")
    return order


async def late_money(town: Town) -> Json:
    """Money comes after the order has expired: suspense, and home."""
    order = await town.place()
    await town.until(order, lambda view: view["status"] == "cancelled")
    town.report.say("nobody has paid in time; now the customer's money comes all the same")
    payment = {"mchid": town.payee("wechat"), "out_trade_no": f"{order['order_id']}p01"}
    await town.ask("POST", "/pay", payment | {"cleared_late": True})
    await town.until(order, lambda view: view.get("late_payment") == "success")
    return order


async def two_channels(town: Town) -> Json:
    """Two channels are paid at the same moment: one is kept, the other goes home."""
    first = await town.place()
    path = f"/orders/{first['order_id']}/payments"
    way = {"channel": "alipay", "method": "native"}
    second = await town.tap("customer", CUSTOMER, "POST", path, way)
    await asyncio.gather(town.pay(first), town.pay(second))
    await _paid(town, first)
    await town.works()
    await town.until(first, lambda view: view["status"] == "delivered")
    await town.until(first, lambda view: view.get("late_payment") == "success")
    return first


async def abnormal_refund(town: Town) -> Json:
    """The customer's card is closed: the refund can't arrive, a person sends it on."""
    habits = GATEWAY_HABITS | {"refund_outcome": "ABNORMAL"}
    await town.ask("PUT", f"/merchants/{town.payee('wechat')}/settings", habits)
    order = await town.place()
    await town.pay(order)
    await _paid(town, order)
    await town.tap("customer", CUSTOMER, "POST", f"/orders/{order['order_id']}/cancel")
    ticket = await town.ticket("refund_abnormal")
    path = f"/finance/refunds/{ticket['data']['out_refund_no']}/retry"
    card = {"bank_type": "CMB_DEBIT", "number": "6225880000000000", "name": "李四"}
    again = {"card": card, "reason_code": "card_closed"}
    await town.tap("finance", "finance-1", "POST", path, again)
    town.report.say("finance sends it to another card of the customer")
    await town.until(order, lambda view: view["payment"] == "refunded")
    await town.ticket("refund_abnormal", "resolved")
    return order


async def dispute(town: Town) -> Json:
    """A customer denies a card payment at the bank, and the bank agrees with them."""
    order = await _delivered(town, "card", "card")
    owner = {"account": town.payee("card")}
    number = {"out_trade_no": f"{order['order_id']}p01"}
    opened = await town.ask("POST", "/card/disputes", owner | number)
    town.report.say(f"the bank took {opened['amount'] / 100:.2f} back: dispute {opened['id']}")
    await town.ticket("dispute")
    await town.ask("POST", f"/card/disputes/{opened['id']}/lose", owner)
    await town.ticket("dispute", "resolved")
    return order


async def merchant_silent(town: Town) -> Json:
    """The shop never answers: the order ends by itself and the money goes back."""
    order = await town.place()
    await town.pay(order)
    await _paid(town, order)
    await town.works(accepts=False)
    await town.until(order, lambda view: view["payment"] == "refunded")
    return order


async def split_fails(town: Town) -> Json:
    """The platform's account takes no share: new numbers, then the merchant has all and owes it."""
    broken = {"account": town.platform("wechat"), "fail_reason": "ACCOUNT_ABNORMAL"}
    await town.ask("PUT", "/receivers", broken)
    order = await _delivered(town)
    await town.until(order, lambda view: view["status"] == "completed")
    await town.ticket("split_failed")
    return order


async def self_pickup(town: Town) -> Json:
    """The customer fetches the food, and tells the shop the code at the counter."""
    order = await town.place(fetched=True)
    await town.pay(order)
    await _paid(town, order)
    await town.works()
    view = await town.until(order, lambda view: view["status"] == "delivered")
    town.report.say(f"handed over at the counter; delivery: {view['delivery']}")
    await town.until(order, lambda view: view["status"] == "completed")
    return order


async def tip(town: Town) -> Json:
    """A tip with the order is the rider's as soon as they have delivered."""
    order = await town.place(tip_fen=300)
    await town.pay(order)
    await _paid(town, order)
    await town.works()
    await town.until(order, lambda view: view["status"] == "delivered")
    today = datetime.now(BUSINESS).date()
    earned = await town.tap("rider", RIDER, "GET", f"/rider/earnings?day={today}")
    parts = {name: f"{fen / 100:.2f}" for name, fen in earned["parts"].items()}
    town.report.say(f"the rider has earned {parts}")
    await town.until(order, lambda view: view["status"] == "completed")
    return order


@dataclass(frozen=True, slots=True)
class Story:
    """What happens, and which silences of the city are shorter for it (seconds)."""

    tell: Callable[[Town], Awaitable[Json]]
    timers: Mapping[str, float] = field(default_factory=dict)
    speed: float = 1
    """Of the city, for what no timer of the order shortens."""


STORIES = {
    "refund-line": Story(refund_line),
    "late-money": Story(late_money, {"payment_seconds": 3}),
    "two-channels": Story(two_channels),
    "split-fails": Story(split_fails, {"after_sale_seconds": 1}, speed=30),
    "abnormal-refund": Story(abnormal_refund),
    "dispute": Story(dispute),
    "self-pickup": Story(self_pickup, {"after_sale_seconds": 1}),
    "tip": Story(tip, {"after_sale_seconds": 1}),
    "merchant-silent": Story(
        merchant_silent, {"merchant_remind_seconds": 1, "merchant_seconds": 3}
    ),
}


async def tell_story(known: Settings, report: Report, name: str) -> None:
    """Seed a city, let the story happen, print its timeline and its money.

    Raises click's exceptions where it does not end well or the books differ from the gateway's.
    """
    story = STORIES[name]
    site_id = f"story-{uuid.uuid4().hex[:10]}"
    report.say(f"{name}: {' '.join((story.tell.__doc__ or '').split())}")
    report.say(await city.seed(city_of(site_id, dict(story.timers), story.speed)))
    async with (
        httpx.AsyncClient(
            base_url=known.api_url, timeout=CALL_TIMEOUT_SECONDS, trust_env=False
        ) as api,
        people.session(known, site_id, speed=1) as group,
    ):
        town = Town(known=known, report=report, api=api, group=group)
        await town.ask("PUT", f"/merchants/{town.payee('wechat')}/settings", GATEWAY_HABITS)
        order = await story.tell(town)
        path = f"/support/orders/{order['order_id']}/timeline"
        for line in (await town.tap("support", SUPPORT, "GET", path))["items"]:
            report.say(f"{str(line['at'])[11:23]}  {line['kind']}")
        if not await show_money(known, report, site_id, order["order_id"]):
            raise click.ClickException("the ledger differs from the gateway")


async def _delivered(town: Town, channel: str = "wechat", method: str = "jsapi") -> Json:
    order = await town.place(channel, method)
    await town.pay(order)
    await _paid(town, order)
    await town.works()
    await town.until(order, lambda view: view["status"] == "delivered")
    town.report.say("delivered")
    return order


async def _paid(town: Town, order: Json) -> None:
    await town.until(order, lambda view: view["status"] == "awaiting_acceptance")
