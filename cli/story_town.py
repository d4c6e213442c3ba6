"""A small city of a story's own: one shop with every channel, a rider, and everybody's taps."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import click
import httpx

from cli import city, people
from cli.people import People
from cli.report import Report
from services.settings import Settings

Json = dict[str, Any]

BOUND_SECONDS = 120
LOOK_SECONDS = 0.1
PLACE = {"lat": 30.26, "lng": 120.14}
DOOR = {"lat": 30.265, "lng": 120.14}
AREA = [[30.16, 120.04], [30.16, 120.24], [30.36, 120.24], [30.36, 120.04]]
MERCHANT, PLATFORM, OWN_BANK = "18", "19", "16"
"""How the numbers at channels begin: the merchant's, the platform's, the account it pays from."""
CUSTOMER, RIDER, SUPPORT = "customer-1", "rider-1", "support-1"
TIMERS: Json = {"notice_seconds": 2, "poll_seconds": [1], "refund_poll_seconds": [1, 2]}
GATEWAY_HABITS = {"refund_seconds": 60, "speed": 60}
"""WeChat wants a minute between refunds of one payment; stories don't."""
SHOWN = {"alipay": "qr_code", "card": "client_secret", "bank": "code_url"}
"""What a customer's app gets at a channel, and pays with; at WeChat all of it."""
CUSTOMER_HABITS = {"pays": "no", "fetches_after_seconds": 1, "rates": 5}
RIDER_HABITS = {
    "start": PLACE,
    "answers_after_seconds": 0.5,
    "speed_meters_per_minute": 12_000,
    "service_seconds_pickup": 1,
    "service_seconds_dropoff": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """A story's city on the running stack, and its people."""

    known: Settings
    report: Report
    api: httpx.AsyncClient
    group: People

    @property
    def site_id(self) -> str:
        """The city; its shop and merchant begin with it."""
        return self.group.site_id

    @property
    def merchant_id(self) -> str:
        """The shop's owner."""
        return f"{self.site_id}-merchant"

    def payee(self, channel: str) -> str:
        """The merchant's number at a channel."""
        return numbers_of(self.site_id)[channel]

    def platform(self, channel: str) -> str:
        """The platform's number at a channel."""
        return numbers_of(self.site_id, PLATFORM)[channel]

    async def tap(
        self, role: str, subject: str, method: str, path: str, body: Json | None = None
    ) -> Json:
        """Somebody's call of the API; a refusal ends the story."""
        token = people.token(self.site_id, role, subject)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": uuid.uuid4().hex}
        answer = await self.api.request(method, f"/v1{path}", headers=headers, json=body)
        if not answer.is_success:
            raise click.ClickException(f"{method} {path}: {answer.status_code} {answer.text}")
        found: Json = answer.json() if answer.content else {}
        return found

    async def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """A call of the sandbox's control: the gateways, and what customers do there."""
        answer = await self.group.http.request(method, f"/control{path}", json=body)
        if not answer.is_success:
            raise click.ClickException(f"{method} {path}: {answer.status_code} {answer.text}")
        found: Json = answer.json() if answer.content else {}
        return found

    async def place(
        self, channel: str = "wechat", method: str = "jsapi", *, fetched: bool = False, **more: int
    ) -> Json:
        """The customer orders, two bowls unless told otherwise; the answer with its payment."""
        who = {"name": "小陶", "phone": "13800138000", "text": "文三路 1 号"}
        address = await self.tap("customer", CUSTOMER, "POST", "/addresses", who | DOOR)
        line = {"item_id": "noodles", "quantity": more.get("quantity", 2), "choices": {}}
        quote = await self.tap(
            "customer",
            CUSTOMER,
            "POST",
            "/quotes",
            {
                "shop_id": f"{self.site_id}-shop",
                "address_id": address["address_id"],
                "lines": [line],
                "fulfilment": "self_pickup" if fetched else "delivery",
                "tip_fen": more.get("tip_fen", 0),
            },
        )
        order = await self.tap(
            "customer",
            CUSTOMER,
            "POST",
            "/orders",
            {
                "quote_id": quote["quote_id"],
                "address_id": address["address_id"],
                "remark": "",
                "tableware": 1,
                "payment": {"channel": channel, "method": method},
            },
        )
        self.report.say(f"ordered for {order['total_fen'] / 100:.2f}, to be paid by {channel}")
        return order

    async def pay(self, order: Json) -> None:
        """The customer pays with what the app was given."""
        channel, given = order["payment_channel"], order["payment_parameters"]
        if channel == "wechat":
            await self.ask("POST", "/pay", {"parameters": given})
        else:
            await self.ask("POST", f"/{channel}/pay", {SHOWN[channel]: given[SHOWN[channel]]})
        self.report.say(f"the customer has paid by {channel}")

    async def works(self, *, accepts: bool = True) -> None:
        """The kitchen and the rider begin to work; the customer waits, who has paid."""
        answers = 0.5 if accepts else "silent"
        kitchen = {"accepts_after_seconds": answers, "cooks_seconds": 1}
        await self.group.add("merchant", self.merchant_id, kitchen)
        await self.group.add("rider", RIDER, RIDER_HABITS)
        await self.group.add("customer", CUSTOMER, CUSTOMER_HABITS)

    async def view(self, order: Json) -> Json:
        """The order as its customer sees it."""
        return await self.tap("customer", CUSTOMER, "GET", f"/orders/{order['order_id']}")

    async def until(self, order: Json, reached: Callable[[Json], bool]) -> Json:
        """The order's view once it is as it should be."""

        async def look() -> Json | None:
            view = await self.view(order)
            return view if reached(view) else None

        return await wait_for(look)

    async def ticket(self, kind: str, state: str = "") -> Json:
        """The city's ticket of a kind, once there is one in that state."""

        async def look() -> Json | None:
            narrow = f"?kind={kind}" + (f"&state={state}" if state else "")
            found = await self.tap("support", SUPPORT, "GET", f"/support/tickets{narrow}")
            return found["items"][0] if found["items"] else None

        found = await wait_for(look)
        self.report.say(
            f"ticket {found['ticket_id']}: {kind}, {found['state']} {found['outcome']},"
            f" owner {found['owner']}"
        )
        return found


async def wait_for(look: Callable[[], Awaitable[Json | None]]) -> Json:
    """What `look` finds, bounded; the story ends where it finds nothing."""
    until = time.monotonic() + BOUND_SECONDS
    while (found := await look()) is None:
        if time.monotonic() > until:
            raise click.ClickException(f"nothing has happened for {BOUND_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)
    return found


def numbers_of(site_id: str, whose: str = MERCHANT) -> dict[str, str]:
    """Channels, and the numbers there of the merchant, or of whom else."""
    own = f"{int(site_id.rpartition('-')[2], 16) % 10**8:08d}"
    return {
        "wechat": f"{whose}{own}",
        "alipay": f"208800{whose}{own}",
        "card": f"acct_{whose}{own}",
        "bank": f"{whose}{own}",
    }


def city_of(site_id: str, timers: Json, speed: float) -> Json:
    """The city's rows, as `workers.seed` plants them; `timers` in seconds of real time."""
    named = {"merchant_id": f"{site_id}-merchant"}
    bank = numbers_of(site_id, OWN_BANK)["bank"]
    platform = city.platform_of(site_id, numbers_of(site_id, PLATFORM), bank)
    return {
        "site": {
            "site_id": site_id,
            "name": "故事",
            "time_zone": "Asia/Shanghai",
            "always_open": True,
            "speed": speed,
            "timers": {
                name: [one * speed for one in wait] if isinstance(wait, list) else wait * speed
                for name, wait in (TIMERS | timers).items()
            },
        },
        "zones": [{"zone_id": "z", "rules": {"late": False, "plan_seconds": 0}}],
        "merchants": [*platform["merchants"], named | {"name": "故事面馆", "payee": {}}],
        "contracts": platform["contracts"],
        "channel_accounts": [
            *platform["channel_accounts"],
            *(
                named | {"account_id": f"{site_id}-{channel}", "channel": channel, "mchid": number}
                for channel, number in numbers_of(site_id).items()
            ),
        ],
        "shops": [
            named
            | PLACE
            | {
                "shop_id": f"{site_id}-shop",
                "zone_id": "z",
                "name": "故事面馆",
                "delivery_area": AREA,
                "prep_minutes": 1,
                "self_pickup": True,
            }
        ],
        "items": [
            {
                "shop_id": f"{site_id}-shop",
                "item_id": "noodles",
                "name": "片儿川",
                "price_fen": 1_800,
                "packing_fen": 100,
            }
        ],
        "customers": [{"customer_id": CUSTOMER, "openid": f"oStory{site_id[-8:]}"}],
        "riders": [{"rider_id": RIDER, "zone_id": "z", "payee": {}}],
    }
