"""A city of the benchmark's own on the running stack, and its people as plain calls."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.wire import Http, Unexpected
from domain.matching import AT_ONCE
from services import identity
from services.settings import Settings

Json = dict[str, Any]

PLACE = {"lat": 30.26, "lng": 120.14}
NEAR = {"lat": 30.27, "lng": 120.14}
AREA = [[30.16, 120.04], [30.16, 120.24], [30.36, 120.24], [30.36, 120.04]]
SHOPS = 5
CUSTOMERS = 25
RIDERS = 60
AFTER_SALE_SECONDS = 0.05
TOKEN_SECONDS = 86_400
SEED_SECONDS = 120
CLAIMED = "claimed"
"""A rider's phone has its answer; no event of the platform has this name."""
FACT_SECONDS = 60.0
"""For anything that must happen to an order next."""


@dataclass(slots=True)
class Order:
    """One order as the people around it know it."""

    order_id: str
    handover_code: str
    payment_parameters: Json
    happened: dict[str, asyncio.Event] = field(default_factory=dict)
    rider_id: str = ""
    task: Json = field(default_factory=dict)
    """What that rider has claimed: task_id, token."""

    def event(self, kind: str) -> asyncio.Event:
        """Set when an event of that type is seen."""
        return self.happened.setdefault(kind, asyncio.Event())

    async def until(self, kind: str) -> None:
        """Wait for an event; raises Unexpected when it doesn't come."""
        try:
            async with asyncio.timeout(FACT_SECONDS):
                await self.event(kind).wait()
        except TimeoutError:
            raise Unexpected(f"order {self.order_id} saw no {kind}") from None


class City:
    """One site: shops of one merchant with one screen, customers, riders on shift."""

    def __init__(self, settings: Settings, api: Http, gateway: Http) -> None:
        self.settings = settings
        self.api = api
        self.gateway = gateway
        self.site_id = f"b{uuid.uuid4().hex[:10]}"
        self._tokens: dict[tuple[str, str], str] = {}
        self._addresses: dict[str, str] = {}
        self._orders: dict[str, Order] = {}
        self._turn = 0

    def token(self, role: str, subject: str) -> str:
        """Somebody's bearer token."""
        known = self._tokens.get((role, subject))
        if known is None:
            known = identity.issue(
                site=self.site_id, role=role, subject=subject, ttl_seconds=TOKEN_SECONDS
            )
            self._tokens[role, subject] = known
        return known

    @property
    def merchant(self) -> str:
        """The shop's token."""
        return self.token("merchant", "merchant")

    @property
    def mchid(self) -> str:
        """The merchant's number at the gateway."""
        return "18" + str(int(self.site_id[1:], 16))[:8].zfill(8)

    # Acts of people -------------------------------------------------------------------------

    async def quote(self, customer: str, number: int) -> Json:
        """What two portions would cost; `number` picks the shop."""
        wish = {
            "shop_id": f"{self.site_id}-shop{number % SHOPS}",
            "address_id": self._addresses[customer],
            "lines": [{"item_id": "noodles", "quantity": 2, "choices": {}}],
            "fulfilment": "delivery",
        }
        return await self.api.call("POST", "/v1/quotes", self.token("customer", customer), wish)

    def next_customer(self) -> tuple[str, int]:
        """Whose turn it is, and which."""
        self._turn += 1
        return f"c{self._turn % CUSTOMERS}", self._turn

    async def place(self, customer: str, quote: Json) -> Order:
        """POST /v1/orders, until 201 with what to pay with."""
        body = {
            "quote_id": quote["quote_id"],
            "address_id": quote["address_id"],
            "remark": "",
            "tableware": 1,
            "payment": {"channel": "wechat", "method": "jsapi"},
        }
        token = self.token("customer", customer)
        placed = await self.api.call("POST", "/v1/orders", token, body, key=uuid.uuid4().hex)
        if "payment_parameters" not in placed:
            raise Unexpected(f"placed without payment parameters: {placed}")
        order = Order(
            order_id=placed["order_id"],
            handover_code=placed["handover_code"],
            payment_parameters=placed["payment_parameters"],
        )
        self._orders[order.order_id] = order
        return order

    async def live(self, order: Order) -> None:
        """Everything after the order was placed, each step as soon as it can be."""
        pay = {"parameters": order.payment_parameters}
        await self.gateway.call("POST", "/control/pay", body=pay)
        await order.until("order.paid")
        path = f"/v1/merchant/orders/{order.order_id}"
        await self.api.call("POST", f"{path}/accept", self.merchant)
        await self.api.call("POST", f"{path}/ready", self.merchant)
        await order.until(CLAIMED)
        path = f"/v1/rider/tasks/{order.task['task_id']}"
        rider, proof = self.token("rider", order.rider_id), {"token": order.task["token"]}
        await self.api.call("POST", f"{path}/pickup", rider, proof)
        proof |= {"code": order.handover_code}
        await self.api.call("POST", f"{path}/deliver", rider, proof)
        await order.until("order.completed")
        del self._orders[order.order_id]

    async def whole(self) -> Order:
        """One order from the quote to the end of its after-sale."""
        customer, number = self.next_customer()
        order = await self.place(customer, await self.quote(customer, number))
        await self.live(order)
        return order

    async def cancel(self, customer: str, order: Order) -> None:
        """The customer doesn't want it any more."""
        token = self.token("customer", customer)
        await self.api.call("POST", f"/v1/orders/{order.order_id}/cancel", token)

    async def lose_notices(self) -> None:
        """From now on nothing that the gateway says of its own accord arrives."""
        fault = {"operation": "notify", "fault": "lost", "mchid": self.mchid, "times": None}
        await self.gateway.call("POST", "/control/faults", body=fault)

    # Screens and phones -----------------------------------------------------------------------

    @asynccontextmanager
    async def awake(self) -> AsyncIterator["City"]:
        """Everybody at their screens until the block ends; raises what one of them met."""
        async with AsyncExitStack() as sockets:
            shop = await sockets.enter_async_context(self._socket("merchant/live", self.merchant))
            phones = {
                rider: await sockets.enter_async_context(
                    self._socket("rider/live", self.token("rider", rider))
                )
                for rider in (f"r{number}" for number in range(RIDERS))
            }
            for rider in phones:
                token = self.token("rider", rider)
                await self.api.call("POST", "/v1/rider/shift", token, {"on": True, **PLACE})
            async with asyncio.TaskGroup() as group:
                people = [group.create_task(self._watch_shop(shop))]
                people += [
                    group.create_task(self._ride(rider, phone)) for rider, phone in phones.items()
                ]
                yield self
                for one in people:
                    one.cancel()

    def _socket(self, path: str, token: str) -> connect:
        return connect(
            self.settings.api_url.replace("http", "ws", 1) + f"/v1/{path}",
            additional_headers={"Authorization": f"Bearer {token}"},
            proxy=None,
            compression=None,
        )

    async def _watch_shop(self, screen: ClientConnection) -> None:
        async for line in screen:
            message = orjson.loads(line)
            order = self._orders.get(message.get("order_id", ""))
            if order is not None:
                order.event(message["type"]).set()

    async def _ride(self, rider: str, phone: ClientConnection) -> None:
        async for line in phone:
            offer = orjson.loads(line)
            if offer["type"] == "offer.made":
                path = f"/v1/rider/tasks/{offer['task_id']}/claim"
                token = self.token("rider", rider)
                done = await self.api.call("POST", path, token, {"token": offer["token"]})
                order = self._orders.get(done["order_id"])
                if order is not None:
                    order.task = {"task_id": done["task_id"], "token": done["token"]}
                    order.rider_id = rider
                    order.event(CLAIMED).set()

    # The city's rows ----------------------------------------------------------------------------

    async def seed(self, **timers: float | list[float]) -> "City":
        """Put it into the database and let customers write down where they live."""
        seeded = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "workers.seed", "-"],
            input=orjson.dumps(self._rows({"after_sale_seconds": AFTER_SALE_SECONDS} | timers)),
            env=os.environ | {"PAOTUI_HOME": str(self.settings.home)},
            timeout=SEED_SECONDS,
            capture_output=True,
            check=False,
        )
        if seeded.returncode:
            raise Unexpected(seeded.stderr.decode())
        for number in range(CUSTOMERS):
            customer = f"c{number}"
            card = {"name": "Benchmark", "phone": "13900000000", "text": "Road 1", **NEAR}
            token = self.token("customer", customer)
            made = await self.api.call("POST", "/v1/addresses", token, card)
            self._addresses[customer] = made["address_id"]
        return self

    def _rows(self, timers: Json) -> Json:
        shops = [f"{self.site_id}-shop{number}" for number in range(SHOPS)]
        account_id = f"{self.site_id}-account"
        return {
            "site": {
                "site_id": self.site_id,
                "name": "benchmark",
                "speed": 1,
                "always_open": True,
                "timers": timers,
            },
            "zones": [{"zone_id": "z", "rules": AT_ONCE}],
            "merchants": [{"merchant_id": "merchant", "name": "Benchmark"}],
            "channel_accounts": [
                {
                    "account_id": account_id,
                    "merchant_id": "merchant",
                    "channel": "wechat",
                    "mchid": self.mchid,
                }
            ],
            "shops": [
                {
                    "shop_id": shop_id,
                    "merchant_id": "merchant",
                    "zone_id": "z",
                    "name": "Kitchen",
                    **PLACE,
                    "delivery_area": AREA,
                    "prep_minutes": 10,
                }
                for shop_id in shops
            ],
            "items": [
                {"shop_id": shop_id, "item_id": "noodles", "name": "Noodles", "price_fen": 1_800}
                for shop_id in shops
            ],
            "customers": [
                {"customer_id": f"c{number}", "openid": f"o{self.site_id}{number}"}
                for number in range(CUSTOMERS)
            ],
            "riders": [{"rider_id": f"r{number}", "zone_id": "z"} for number in range(RIDERS)],
        }


@asynccontextmanager
async def city_on(settings: Settings, **timers: float | list[float]) -> AsyncIterator[City]:
    """A fresh city with its people awake."""
    async with Http(settings.api_url) as api, Http(settings.sandbox_url) as gateway:
        city = await City(settings, api, gateway).seed(**timers)
        async with city.awake():
            yield city
