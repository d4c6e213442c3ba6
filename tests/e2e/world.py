"""A small city of a test's own on the running stack, and people's taps as plain calls."""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
from sqlalchemy import text

from services import laws
from services.db import Database
from services.laws import Verdict
from services.settings import Settings
from tests.stack import environment_of

Json = dict[str, Any]
WAIT_SECONDS = 90.0
CANARIES = ("Canary Wang", "13900000000", "Canary Road 1", "canary remark")
"""A name, a phone, an address and a remark that must never leave their rows."""
PLACE = {"lat": 30.26, "lng": 120.14}
AREA = [[30.16, 120.04], [30.16, 120.24], [30.36, 120.24], [30.36, 120.04]]


@dataclass
class World:
    """One site; every name in it is this test's own."""

    settings: Settings
    api: httpx.AsyncClient
    gateway: httpx.AsyncClient
    database: Database
    speed: float = 1.0
    timers: Json = field(default_factory=dict)
    stock: int | None = None
    riders: int = 0
    auto_accept: bool = False
    channels: tuple[str, ...] = ("wechat",)
    payers: dict[str, str] = field(default_factory=dict)
    contract: Json | None = None
    """Terms of the site; with them the platform has an account at each channel."""
    site_id: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:10]}")
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def shop_id(self) -> str:
        return f"{self.site_id}-shop"

    @property
    def merchant_id(self) -> str:
        return f"{self.site_id}-merchant"

    @property
    def account_id(self) -> str:
        return f"{self.site_id}-account"

    @property
    def mchid(self) -> str:
        return "19" + str(int(self.site_id[1:], 16))[:8].zfill(8)

    def account_of(self, channel: str) -> str:
        """Our name of the merchant's account at a channel."""
        return self.account_id + ("" if channel == "wechat" else channel)

    def payee(self, channel: str) -> str:
        """The merchant's number at a channel."""
        begins = {"wechat": "", "alipay": "208800", "card": "acct_", "bank": ""}
        return begins[channel] + self.mchid

    async def seed(self, customers: int = 1) -> "World":
        """Put the city into the database."""
        city = self._city(customers)
        if self.contract is not None:
            self._add_platform(city)
        seeded = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "workers.seed", "-"],
            input=json.dumps(city),
            env=environment_of(self.settings.home),
            capture_output=True,
            text=True,
            check=False,
        )
        assert seeded.returncode == 0, seeded.stderr
        habits = {"refund_seconds": 18, "speed": 60}  # WeChat wants a minute between refunds
        path = f"/control/merchants/{self.mchid}/settings"
        (await self.gateway.put(path, json=habits)).raise_for_status()
        for number in range(self.riders):
            await self.rider(f"r{number}", "shift", {"on": True, **PLACE})
        return self

    def _city(self, customers: int) -> Json:
        """Its rows, as `workers.seed` plants them."""
        people = [
            {
                "customer_id": f"c{number}",
                "openid": f"o{self.site_id}{number}",
                "payers": self.payers,
            }
            for number in range(customers)
        ]
        return {
            "site": {
                "site_id": self.site_id,
                "name": "test",
                "speed": self.speed,
                "always_open": True,
                "timers": self.timers,
            },
            "zones": [{"zone_id": "z", "rules": {"late": False, "plan_seconds": 0}}],
            "merchants": [{"merchant_id": self.merchant_id, "name": "Test"}],
            "channel_accounts": [
                {
                    "account_id": self.account_of(channel),
                    "merchant_id": self.merchant_id,
                    "channel": channel,
                    "mchid": self.payee(channel),
                }
                for channel in self.channels
            ],
            "shops": [
                {
                    "shop_id": self.shop_id,
                    "merchant_id": self.merchant_id,
                    "zone_id": "z",
                    "name": "Test kitchen",
                    **PLACE,
                    "delivery_area": AREA,
                    "prep_minutes": 10,
                    "auto_accept": self.auto_accept,
                }
            ],
            "items": [
                {
                    "shop_id": self.shop_id,
                    "item_id": "noodles",
                    "name": "Noodles",
                    "price_fen": 1800,
                    "packing_fen": 100,
                    "stock": self.stock,
                }
            ],
            "customers": [*people, {"customer_id": "unlinked", "openid": None}],
            "riders": [{"rider_id": f"r{number}", "zone_id": "z"} for number in range(self.riders)],
        }

    def _add_platform(self, city: Json) -> None:
        """The platform's terms, its name, and its account at each channel."""
        city["contracts"] = [self.contract]
        city["merchants"].append({"merchant_id": "platform", "name": "Platform"})
        city["channel_accounts"] += [
            account
            | {
                "account_id": f"{account['account_id']}-platform",
                "merchant_id": "platform",
                "mchid": f"{account['mchid']}0",
            }
            for account in city["channel_accounts"]
        ]

    def token(self, role: str, subject: str) -> dict[str, str]:
        """A bearer's header."""
        claims = {"site": self.site_id, "role": role, "sub": subject}
        key = self.settings.token_key.get_secret_value()
        token = jwt.encode(claims | {"exp": int(time.time()) + 3600}, key, algorithm="HS256")
        return {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, who: dict[str, str], body: Any = None) -> Json:
        """A call that must be answered well."""
        answer = await self.api.request(method, path, headers=who, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}

    async def quote(self, customer: str = "c0", quantity: int = 1) -> Json:
        """A quote for noodles to an address of theirs."""
        who = self.token("customer", customer)
        if customer not in self.addresses:
            near = {"lat": PLACE["lat"] + 0.01, "lng": PLACE["lng"]}
            name, phone, street, _ = CANARIES
            card = {"name": name, "phone": phone, "text": street, **near}
            address = await self.call("POST", "/v1/addresses", who, card)
            self.addresses[customer] = address["address_id"]
        wish = {
            "shop_id": self.shop_id,
            "address_id": self.addresses[customer],
            "lines": [{"item_id": "noodles", "quantity": quantity, "choices": {}}],
            "fulfilment": "delivery",
        }
        return await self.call("POST", "/v1/quotes", who, wish)

    async def try_place(
        self,
        quote: Json,
        customer: str = "c0",
        *,
        key: str = "",
        method: str = "jsapi",
        **more: Any,
    ) -> httpx.Response:
        """Place an order, whatever the answer."""
        body = {
            "quote_id": quote["quote_id"],
            "address_id": quote["address_id"],
            "remark": CANARIES[3],
            "tableware": 1,
            "payment": {"channel": "wechat", "method": method},
            **more,
        }
        headers = self.token("customer", customer) | {"Idempotency-Key": key or uuid.uuid4().hex}
        return await self.api.post("/v1/orders", headers=headers, json=body)

    async def place(self, customer: str = "c0", **more: Any) -> Json:
        """A placed order, with its payment parameters."""
        answer = await self.try_place(await self.quote(customer), customer, **more)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def pay(self, order: Json, **more: Any) -> httpx.Response:
        """The customer pays with what the app was given."""
        payment = {"parameters": order["payment_parameters"], **more}
        return await self.gateway.post("/control/pay", json=payment)

    async def pay_number(self, order_id: str, attempt: int = 1, **more: Any) -> httpx.Response:
        """The money of an attempt arrives, whatever the app shows."""
        payment = {"mchid": self.mchid, "out_trade_no": f"{order_id}p{attempt:02d}", **more}
        return await self.gateway.post("/control/pay", json=payment)

    async def gift(self, amount_fen: int, customer: str = "c0") -> None:
        """Support gives a customer credit."""
        expires_at = datetime.now(UTC) + timedelta(days=1)
        gift = {"customer_id": customer, "amount_fen": amount_fen, "reason_code": "test"}
        headers = self.token("support", "ann") | {"Idempotency-Key": uuid.uuid4().hex}
        gift |= {"expires_at": expires_at.isoformat()}
        await self.call("POST", "/v1/support/credit", headers, gift)

    async def credit(self, customer: str = "c0") -> int:
        """What a customer may spend."""
        found = await self.call("GET", "/v1/credit", self.token("customer", customer))
        assert sum(grant["left_fen"] for grant in found["items"]) == found["available_fen"]
        return int(found["available_fen"])

    async def paid(self, customer: str = "c0", **more: Any) -> Json:
        """An order that waits for its merchant."""
        order = await self.place(customer, **more)
        if order["status"] == "awaiting_payment":
            assert (await self.pay(order)).is_success
        await self.until(order["order_id"], lambda view: view["status"] == "awaiting_acceptance")
        return order

    async def accepted(self, customer: str = "c0", **more: Any) -> Json:
        """An order in the kitchen."""
        order = await self.paid(customer, **more)
        await self.merchant(order["order_id"], "accept")
        return order

    async def picked_up(
        self, customer: str = "c0", rider: str = "r0", **more: Any
    ) -> tuple[Json, Json]:
        """An order on the road, and its task."""
        order = await self.accepted(customer, **more)
        task = await self.claim(order["order_id"], rider)
        await self.merchant(order["order_id"], "ready")
        await self.rider(rider, f"tasks/{task['task_id']}/pickup", {"token": task["token"]})
        return order, task

    async def delivered(self, customer: str = "c0", rider: str = "r0", **more: Any) -> Json:
        """An order handed over."""
        order, task = await self.picked_up(customer, rider, **more)
        view = await self.view(order["order_id"], customer)
        proof = {"token": task["token"], "code": view["handover_code"]}
        await self.rider(rider, f"tasks/{task['task_id']}/deliver", proof)
        return order

    async def claim(self, order_id: str, rider: str) -> Json:
        """Wait for the offer of this order, and take it."""
        who = self.token("rider", rider)

        async def offered() -> Json | None:
            work = await self.call("GET", "/v1/rider/offers", who)
            return next((one for one in work["offers"] if one["order_id"] == order_id), None)

        offer = await poll(offered)
        path = f"tasks/{offer['task_id']}/claim"
        return offer | await self.rider(rider, path, {"token": offer["token"]})

    async def merchant(self, order_id: str, action: str, body: Json | None = None) -> Json:
        """A tap on the shop's screen."""
        who = self.token("merchant", self.merchant_id)
        return await self.call("POST", f"/v1/merchant/orders/{order_id}/{action}", who, body)

    async def rider(self, rider: str, path: str, body: Json) -> Json:
        """A tap on the rider's phone."""
        return await self.call("POST", f"/v1/rider/{path}", self.token("rider", rider), body)

    async def cancel(self, order_id: str, customer: str = "c0") -> httpx.Response:
        """The customer wants out."""
        who = self.token("customer", customer)
        return await self.api.post(f"/v1/orders/{order_id}/cancel", headers=who)

    async def intervene(
        self, order_id: str, action: str, subject: str = "ann", **args: Any
    ) -> httpx.Response:
        """Support's hand."""
        request_id = args.pop("request_id", uuid.uuid4().hex)
        body = {"action": action, "reason_code": "test", "request_id": request_id, "args": args}
        headers = self.token("support", subject) | {"Idempotency-Key": request_id}
        path = f"/v1/support/orders/{order_id}/interventions"
        return await self.api.post(path, headers=headers, json=body)

    async def timeline(self, order_id: str) -> list[Json]:
        """What support sees."""
        path = f"/v1/support/orders/{order_id}/timeline"
        return list((await self.call("GET", path, self.token("support", "ann")))["items"])

    async def view(self, order_id: str, customer: str = "c0", *, live: bool = False) -> Json:
        """The order as its customer sees it."""
        path = f"/v1/orders/{order_id}" + ("?live=true" if live else "")
        return await self.call("GET", path, self.token("customer", customer))

    async def until(
        self, order_id: str, reached: Callable[[Json], bool], customer: str = "c0"
    ) -> Json:
        """The order's view, once it is as it should be."""

        async def look() -> Json | None:
            view = await self.view(order_id, customer)
            return view if reached(view) else None

        return await poll(look)

    async def until_home(self, order_id: str, customer: str = "c0") -> Json:
        """The order's view once it is cancelled and the customer has everything back."""
        return await self.until(
            order_id,
            lambda view: view["status"] == "cancelled" and view["payment"] == "refunded",
            customer,
        )

    def ports(self) -> dict[str, int]:
        """Where the parts listen."""
        return dict(json.loads((self.settings.home / "run" / "ports.json").read_text()))

    async def untold(self) -> int:
        """Facts and events of this site that nobody has heard of yet."""
        async with self.database.read() as reader:
            question = """SELECT (SELECT count(*) FROM outbox WHERE site_id = :site_id)
              + (SELECT count(*) FROM facts WHERE site_id = :site_id AND confirmed_at IS NULL)"""
            return int(await reader.scalar(text(question), {"site_id": self.site_id}))

    async def oracle(self, order_id: str) -> list[Json]:
        """What truly moved at the gateway for an order."""
        answer = await self.gateway.get("/control/oracle", params={"prefix": order_id})
        return list(answer.raise_for_status().json()["orders"])

    async def fault(self, operation: str, fault: str, **more: Any) -> None:
        """Script the gateway to this site's payee."""
        script = {"operation": operation, "fault": fault, "mchid": self.mchid, **more}
        (await self.gateway.post("/control/faults", json=script)).raise_for_status()

    async def moved(self, channel: str = "wechat") -> list[Json]:
        """What truly moved at a channel, payment by payment."""
        path = "/control/oracle" if channel == "wechat" else f"/control/{channel}/oracle"
        answer = await self.gateway.get(path, params={"mchid": self.payee(channel)})
        return list(answer.raise_for_status().json()["orders"])

    async def verdicts(self) -> list[Verdict]:
        """Broken laws of this site, the oracles' included."""
        moved = [order for channel in self.channels for order in await self.moved(channel)]
        async with self.database.read() as reader:
            found = await laws.check(reader, self.site_id)
            found.append(await laws.compare(reader, moved, self.site_id))
        return [verdict for verdict in found if verdict.broken]

    async def assert_laws(self) -> None:
        """No law is broken; what is still on its way may arrive first."""

        async def kept() -> bool | None:
            return not await self.verdicts() or None

        try:
            await poll(kept, seconds=20)
        except TimeoutError:
            raise AssertionError(await self.verdicts()) from None


async def poll(look: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What `look` finds, asked every 50 ms; TimeoutError if it finds nothing in time."""
    async with asyncio.timeout(seconds):
        while True:
            found = await look()
            if found is not None:
                return found
            await asyncio.sleep(0.05)
