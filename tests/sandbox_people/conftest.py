"""A small site of a test's own on the running stack, with people to put into it."""

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from cli import city, people
from cli.mdrp import Courier, Instance, Order
from cli.people import People
from services.settings import Settings, settings

SPEED = 60
SHOP_PLACE = (0.0, 0.0)
HOME_PLACE = (600.0, 0.0)
Group = tuple[People, str]
"""People of a fresh site, and the id of its one shop and merchant."""


@pytest.fixture
def known(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The stack's settings, as a command line in its folder would see them."""
    for name in [name for name in os.environ if "PAOTUI_" in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAOTUI_HOME", str(stack.home))
    settings.cache_clear()
    yield settings()
    settings.cache_clear()


@pytest.fixture
async def gather(known: Settings) -> AsyncIterator[Callable[..., Awaitable[Group]]]:
    """A maker of sites with one shop, one customer `o1` and riders `c1`, `c2`."""
    async with AsyncExitStack() as kept:

        async def make(**timers: float) -> Group:
            site_id = f"people-{secrets.token_hex(4)}"
            made = city.city_of(day(), site_id, SPEED)
            made["site"]["timers"] = timers
            await city.seed(made)
            group = await kept.enter_async_context(people.session(known, site_id, speed=SPEED))
            return group, city.of(site_id, "r1")

        yield make


def day() -> Instance:
    """One order of one restaurant, two couriers."""
    order = Order(
        name="o1", place=HOME_PLACE, restaurant="r1", placement_minute=10, ready_minute=15
    )
    couriers = tuple(
        Courier(name=name, place=(east, 400.0), on_minute=0, off_minute=90)
        for name, east in (("c1", 0.0), ("c2", 300.0))
    )
    return Instance(
        name="one",
        orders=(order,),
        restaurants={"r1": SHOP_PLACE},
        couriers=couriers,
        meters_per_minute=320,
        pickup_service_minutes=4,
        dropoff_service_minutes=4,
    )


def wish(shop_id: str, **more: Any) -> dict[str, Any]:
    """One dish, home."""
    order = {
        "customer_id": "o1",
        "shop_id": shop_id,
        "lines": [{"item_id": "dish-0", "quantity": 1, "choices": {}}],
        "place": city.plane_of(day()).place(HOME_PLACE),
        "key": secrets.token_hex(8),
    }
    return order | more


def rider(name: str, **habits: Any) -> dict[str, Any]:
    """A quick rider's habits, from that courier's place."""
    place = next(courier.place for courier in day().couriers if courier.name == name)
    quick = {"service_seconds_pickup": 30, "service_seconds_dropoff": 30}
    return {"start": city.plane_of(day()).place(place), **quick, **habits}
