"""Cities for the platform: a published day as a site of its own, and seeding in a child process."""

import asyncio
import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from cli.mdrp import Instance, Point

ORIGIN_LAT = 30.25
ORIGIN_LNG = 120.15
METERS_PER_DEGREE = 111_194.926
"""Of latitude, on a sphere of 6,371 km, as distances are measured."""
AREA_MARGIN_METERS = 500
ZONE_ID = "day"
DISHES = 3
CHEAPEST_FEN = 1_500
DEAREST_FEN = 4_500


class Plane:
    """A day's plane of meters laid on the globe around one place, true to 0.1 % in a city."""

    def __init__(self, places: list[Point]) -> None:
        self._low = min(x for x, _ in places), min(y for _, y in places)
        self._high = max(x for x, _ in places), max(y for _, y in places)
        self._middle = tuple((a + b) / 2 for a, b in zip(self._low, self._high, strict=True))

    def place(self, point: Point) -> dict[str, float]:
        """A point as {lat, lng}."""
        east, north = point[0] - self._middle[0], point[1] - self._middle[1]
        per_degree_east = METERS_PER_DEGREE * math.cos(math.radians(ORIGIN_LAT))
        return {
            "lat": round(ORIGIN_LAT + north / METERS_PER_DEGREE, 7),
            "lng": round(ORIGIN_LNG + east / per_degree_east, 7),
        }

    def area(self) -> list[list[float]]:
        """A rectangle around every place."""
        (west, south), (east, north) = self._low, self._high
        margin = AREA_MARGIN_METERS
        corners = [
            (west - margin, south - margin),
            (east + margin, south - margin),
            (east + margin, north + margin),
            (west - margin, north + margin),
        ]
        return [list(self.place(corner).values()) for corner in corners]


def plane_of(instance: Instance) -> Plane:
    """The plane that holds every place of a day."""
    return Plane(
        [
            *(order.place for order in instance.orders),
            *instance.restaurants.values(),
            *(courier.place for courier in instance.couriers),
        ]
    )


PLATFORM = "platform"
COMMISSION_BP = 1_000
SPLITTING = ("wechat", "alipay", "bank")
"""Channels at which the platform has an account, to be given its shares."""
REVENUE_FEN = 100_000_000
"""On a site's own account at the bank, to pay out from."""
PAYEES = {"wechat": "17", "alipay": "20880017", "card": "acct_17", "bank": "17"}
"""Channels, and how the numbers of a day's merchants begin there."""


def city_of(
    instance: Instance,
    site_id: str,
    speed: float,
    *,
    channels: Sequence[str] = ("wechat",),
    timers: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """A day as a site: each restaurant a shop with its own merchant, each order a customer."""
    plane = plane_of(instance)
    names = sorted(instance.restaurants)
    numbers = _numbers(site_id, [*names, PLATFORM, f"{PLATFORM}-bank"])
    platform = platform_of(
        site_id,
        {channel: PAYEES[channel] + numbers[PLATFORM] for channel in channels},
        PAYEES["bank"] + numbers[f"{PLATFORM}-bank"],
    )
    return {
        "site": {
            "site_id": site_id,
            "name": f"MDRP {instance.name}",
            "time_zone": "Asia/Shanghai",
            "speed": speed,
            "always_open": True,
            "fee_rule": {},
            "timers": dict(timers or {}),
        },
        "zones": [{"zone_id": ZONE_ID, "rules": _rules(instance)}],
        "merchants": [
            *platform["merchants"],
            *({"merchant_id": of(site_id, name), "name": name, "payee": {}} for name in names),
        ],
        "contracts": platform["contracts"],
        "channel_accounts": [
            *platform["channel_accounts"],
            *(
                {
                    "account_id": account_of(site_id, name, channel),
                    "merchant_id": of(site_id, name),
                    "channel": channel,
                    "mchid": PAYEES[channel] + numbers[name],
                }
                for name in names
                for channel in channels
            ),
        ],
        "shops": _shops(instance, site_id, plane),
        "items": [
            {
                "shop_id": of(site_id, name),
                "item_id": f"dish-{number}",
                "name": f"{name} 套餐 {number}",
                "price_fen": _price_fen(name, number),
                "packing_fen": 100,
            }
            for name in names
            for number in range(DISHES)
        ],
        "customers": [_customer(site_id, order.name) for order in instance.orders],
        "riders": [
            {"rider_id": courier.name, "zone_id": ZONE_ID, "payee": {}}
            for courier in instance.couriers
        ],
    }


def _customer(site_id: str, name: str) -> dict[str, Any]:
    payers = {"bank": wallet_of(site_id, name)}
    return {"customer_id": name, "openid": _openid(site_id, name), "payers": payers}


def _shops(instance: Instance, site_id: str, plane: Plane) -> list[dict[str, Any]]:
    """Each restaurant as a shop that delivers everywhere."""
    area = plane.area()
    return [
        {
            "shop_id": of(site_id, name),
            "merchant_id": of(site_id, name),
            "zone_id": ZONE_ID,
            "name": name,
            "delivery_area": area,
            "prep_minutes": _prep_minutes(instance, name),
            **plane.place(instance.restaurants[name]),
        }
        for name in sorted(instance.restaurants)
    ]


def platform_of(site_id: str, numbers: Mapping[str, str], bank: str) -> dict[str, Any]:
    """The platform's side of a site: its number at each channel, a contract with all merchants.

    `bank` is the number of the account that it pays out from.
    """
    own = {"account_id": f"{site_id}-bank-own", "merchant_id": "", "channel": "bank"}
    return {
        "merchants": [{"merchant_id": PLATFORM, "name": "跑腿平台有限公司"}],
        "contracts": [{"commission_bp": COMMISSION_BP, "delivered_by": "platform"}],
        "channel_accounts": [
            own | {"mchid": bank, "fund_fen": REVENUE_FEN},
            *(
                {
                    "account_id": f"{site_id}-{PLATFORM}-{channel}",
                    "merchant_id": PLATFORM,
                    "channel": channel,
                    "mchid": number,
                }
                for channel, number in numbers.items()
                if channel in SPLITTING
            ),
        ],
    }


def of(site_id: str, name: str) -> str:
    """The id of a restaurant's shop and merchant, which are global."""
    return f"{site_id}-{name}"


def wallet_of(site_id: str, customer_id: str) -> str:
    """A customer's wallet at the partner's bank."""
    return f"wallet-{of(site_id, customer_id)}"


def account_of(site_id: str, name: str, channel: str) -> str:
    """The id of a restaurant's account at a channel."""
    return f"{of(site_id, name)}-{channel}"


async def seed(city: dict[str, Any] | None = None) -> str:
    """Run `python -m workers.seed` on a city (None: the demo city); its one line."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers.seed", *(["-"] if city else [])),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await child.communicate(json.dumps(city).encode() if city else b"")
    if child.returncode:
        raise click.ClickException(errors.decode().strip() or "seeding failed")
    return output.decode().strip()


def _rules(instance: Instance) -> dict[str, Any]:
    """How the day's zone plans: as the published rules do, with riders who answer at once."""
    return {
        "plan_seconds": 60,
        "ahead_minutes": 0,
        "meters_per_minute": instance.meters_per_minute,
        "leg_minutes": instance.leg_minutes,
        "pickup_minutes": instance.pickup_service_minutes,
        "dropoff_minutes": instance.dropoff_service_minutes,
        "promise_minutes": instance.promise_minutes,
        "bearable_minutes": instance.bearable_minutes,
        "guaranteed_orders_per_hour": instance.guaranteed_orders_per_hour,
    }


def _prep_minutes(instance: Instance, restaurant: str) -> int:
    """A shop's usual preparation: the mean of its day."""
    spans = [
        order.ready_minute - order.placement_minute
        for order in instance.orders
        if order.restaurant == restaurant
    ]
    return max(1, round(sum(spans) / len(spans)))


def _numbers(site_id: str, names: list[str]) -> dict[str, str]:
    """Eight digits for each, their own within the site."""
    taken: dict[str, str] = {}
    for name in names:
        attempt = 0
        while (digits := f"{_number(site_id, name, attempt) % 10**8:08d}") in taken.values():
            attempt += 1
        taken[name] = digits
    return taken


def _price_fen(name: str, number: int) -> int:
    return CHEAPEST_FEN + _number(name, number) % (DEAREST_FEN - CHEAPEST_FEN)


def _openid(site_id: str, customer_id: str) -> str:
    return f"o{hashlib.sha256(f'{site_id}/{customer_id}'.encode()).hexdigest()[:27]}"


def _number(*parts: object) -> int:
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
