"""`paotui demo`: one order of the demo city from tap to delivered, its timeline printed."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from typing import Any
from urllib.parse import quote

import click
import httpx

from cli import city, people
from cli.money import show_money
from cli.report import Report
from cli.stories import STORIES, tell_story
from cli.ways import WAYS, prepare
from services.settings import Settings, settings

SITE_ID = "hangzhou-demo"
CUSTOMER_ID = "customer-1"
CUSTOMERS = (CUSTOMER_ID, "customer-2")
RIDERS = 6
BOUND_SECONDS = 120
LOOK_SECONDS = 0.2
CALL_TIMEOUT_SECONDS = 15
NORTH_OF_SHOP = 0.0055
"""Degrees, about 600 m: where the customer lives."""
RIDER_STEP = 0.0015
SHOWN = ("status", "payment", "kitchen", "delivery", "close_reason")
WALLET = "wallet-demo-1"
"""The customer's, as `workers/demo_city.py` says."""
MERCHANT = {"accepts_after_seconds": 2, "cooks_seconds": 4}
RIDER = {
    "answers_after_seconds": 1,
    "speed_meters_per_minute": 12_000,
    "service_seconds_pickup": 2,
    "service_seconds_dropoff": 2,
}


@click.command()
@click.option("--channel", type=click.Choice(list(WAYS)), default="wechat", show_default=True)
@click.option("--story", type=click.Choice(list(STORIES)), help="What goes wrong, instead.")
def demo(*, channel: str, story: str | None) -> None:
    """Drive one order of the demo city from tap to delivered; print its timeline and its money."""
    if story is None:
        drive_demo(channel, money=True)
    else:
        _run(tell_story(settings(), Report(), story))


def drive_demo(channel: str = "wechat", *, money: bool = False) -> None:
    """Drive one order; raises click's exceptions when it doesn't get there."""
    settings.cache_clear()  # `paotui up` has just written where the parts are
    _run(_drive(settings(), Report(), channel, money=money))


def _run(telling: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(telling)
    except httpx.HTTPError as error:
        raise click.ClickException(f"the demo could not reach the stack: {error!r}") from error


async def _drive(known: Settings, report: Report, channel: str, *, money: bool) -> None:
    people.need_stack(known)
    headers = {"Authorization": f"Bearer {people.token(SITE_ID, 'customer', CUSTOMER_ID)}"}
    async with (
        httpx.AsyncClient(
            base_url=known.api_url, headers=headers, timeout=CALL_TIMEOUT_SECONDS, trust_env=False
        ) as api,
        people.session(known, SITE_ID, speed=1) as group,
    ):
        shops = await _shops(api, report)
        shop = next((shop for shop in shops if shop["open"]), None)
        if shop is None:
            raise click.ClickException("no shop of the demo city is open")
        await _gather(group, shops)
        report.say(f"one order at {shop['name']}, from tap to delivered:")
        began = time.monotonic()
        await prepare(group, api, CUSTOMER_ID, WALLET, WAYS[channel])
        order_id = await _place(api, group, shop, WAYS[channel])
        async for event in _events(api, order_id):
            report.say(_line(event))
        seconds = time.monotonic() - began
        report.say(f"order {order_id} was delivered after {seconds:.1f} s")
        if money:
            await show_money(known, report, SITE_ID, order_id)
        if known.temporal_ui_url:
            workflow = quote(f"order/{order_id}", safe="")
            namespace = known.temporal_namespace
            report.say(f"{known.temporal_ui_url}/namespaces/{namespace}/workflows/{workflow}")


async def _shops(api: httpx.AsyncClient, report: Report) -> list[dict[str, Any]]:
    shops = await _get(api, "/v1/shops", site=SITE_ID)
    if not shops.get("items"):
        report.say(await city.seed())
        shops = await _get(api, "/v1/shops", site=SITE_ID)
    return list(shops["items"])


async def _gather(group: people.People, shops: list[dict[str, Any]]) -> None:
    """Everybody of the city: open orders of before find their people again."""
    for merchant_id in {shop["merchant_id"] for shop in shops}:
        await group.add("merchant", merchant_id, MERCHANT)
    for customer_id in CUSTOMERS:
        await group.add("customer", customer_id, {"pay_after_seconds": 1})
    for number in range(RIDERS):
        near = shops[number % len(shops)]
        start = {"lat": near["lat"] - (number + 1) * RIDER_STEP, "lng": near["lng"]}
        await group.add("rider", f"rider-{number + 1}", RIDER | {"start": start})


async def _place(
    api: httpx.AsyncClient, group: people.People, shop: dict[str, Any], way: dict[str, Any]
) -> str:
    menu = await _get(api, f"/v1/shops/{shop['shop_id']}/menu")
    item = next(item for item in menu["items"] if item["available"] and item["stock"] != 0)
    choices = {
        option["option_id"]: option["choices"][0]["choice_id"]
        for option in item["options"]
        if option["required"]
    }
    wish = {
        "customer_id": CUSTOMER_ID,
        "shop_id": shop["shop_id"],
        "lines": [{"item_id": item["item_id"], "quantity": 1, "choices": choices}],
        "place": {"lat": shop["lat"] + NORTH_OF_SHOP, "lng": shop["lng"]},
        "key": uuid.uuid4().hex,
        **way,
    }
    seen = await group.order(wish, wait_seconds=BOUND_SECONDS / 2)
    if not seen["order_id"]:
        refused = seen["refused"] or {}
        why = f"{refused.get('title', '')} {refused.get('detail', '')}".strip()
        raise click.ClickException(f"the order was not placed: {why or 'no answer in time'}")
    return str(seen["order_id"])


async def _events(api: httpx.AsyncClient, order_id: str) -> AsyncIterator[dict[str, Any]]:
    """The order's events as they come, until it is delivered; raises when it isn't in time."""
    seq, status = 0, ""
    until = time.monotonic() + BOUND_SECONDS
    while status != "delivered":
        page = await _get(api, f"/v1/orders/{order_id}/events", since=seq)
        for event in page["items"]:
            seq, status = event["seq"], event["data"].get("status", status)
            yield event
        if status == "cancelled" or time.monotonic() > until:
            raise click.ClickException(f"order {order_id} is {status}, it was not delivered")
        await asyncio.sleep(LOOK_SECONDS)


async def _get(api: httpx.AsyncClient, path: str, **query: str | int) -> dict[str, Any]:
    answer = await api.get(path, params=query)
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body


def _line(event: dict[str, Any]) -> str:
    clock = str(event["at"])[11:23]
    changed = (f"{name} {event['data'][name]}" for name in SHOWN if event["data"].get(name))
    return f"{event['seq']:>4}  {clock}  {event['type']:<20} {', '.join(changed)}"
