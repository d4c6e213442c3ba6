"""Taps that are repeated as they were until somebody answers; what an answer means is not here."""

import asyncio
import uuid
from typing import Any

import httpx

from domain.ids import order_id
from tests.e2e.world import PLACE, Json, World

PATIENCE_SECONDS = 300.0
"""Longer than everything together is ever away."""
PAUSE_SECONDS = 0.5
AGAIN = frozenset({202, 429, 500, 502, 503, 504})
BUSY = AGAIN - {202, 500}
METHODS = {"wechat": "jsapi", "card": "card"}
REFUSED = frozenset({409})
TOO_LATE = frozenset({409, 422})
"""A create whose deadline has passed meanwhile is refused by the gateway: the order has ended."""


class Steady(httpx.AsyncClient):
    """An app that repeats a tap as it was while the platform is too busy to answer."""

    async def request(self, *words: Any, **more: Any) -> httpx.Response:
        """The first answer that is one; every tap has a key, so that a repeat is the same tap."""
        headers = {"Idempotency-Key": uuid.uuid4().hex} | dict(more.pop("headers", None) or {})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    answer = await super().request(*words, headers=headers, **more)
                except httpx.TransportError:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                if answer.status_code not in BUSY:
                    return answer
                await asyncio.sleep(PAUSE_SECONDS)


class Patient:
    """The people of one city: every call is the same call until it is answered."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def call(
        self,
        method: str,
        path: str,
        who: dict[str, str],
        body: Any = None,
        *,
        key: str = "",
        refused: frozenset[int] = REFUSED,
    ) -> httpx.Response:
        """The first answer that is one: well, or refused; raises AssertionError for any other."""
        headers = who | ({"Idempotency-Key": key} if key else {})
        answer = await self._insist(self.world.api, method, path, headers, body)
        said = f"{method} {path}: {answer.status_code} {answer.text}"
        assert answer.is_success or answer.status_code in refused, said
        return answer

    async def at_gateway(self, path: str, body: Json) -> httpx.Response:
        """A call of the sandbox's control interface."""
        answer = await self._insist(self.world.gateway, "POST", f"/control/{path}", {}, body)
        assert answer.is_success or answer.status_code in REFUSED, answer.text
        return answer

    async def place(
        self, customer: str, channel: str = "wechat", fulfilment: str = "delivery"
    ) -> Json:
        """A placed order, whatever came between."""
        world, who = self.world, self.world.token("customer", customer)
        near = {"lat": PLACE["lat"] + 0.01, "lng": PLACE["lng"]}
        card = {"name": "Canary Wang", "phone": "13900000000", "text": "Canary Road 1", **near}
        address = (await self.call("POST", "/v1/addresses", who, card)).json()
        line = {"item_id": "noodles", "quantity": 1, "choices": {}}
        wish = {"shop_id": world.shop_id, "address_id": address["address_id"], "lines": [line]}
        quoting = wish | {"fulfilment": fulfilment}
        quote = (await self.call("POST", "/v1/quotes", who, quoting)).json()
        body = {
            "quote_id": quote["quote_id"],
            "address_id": address["address_id"],
            "payment": {"channel": channel, "method": METHODS[channel]},
        }
        key = uuid.uuid4().hex
        placed = await self.call("POST", "/v1/orders", who, body, key=key, refused=TOO_LATE)
        if placed.is_success:
            return dict(placed.json())
        return {"order_id": order_id(world.site_id, customer, key)}

    async def pay(self, order: Json) -> bool:
        """The customer pays with what the app shows; False: it is too late."""
        if "payment_parameters" not in order:
            return False
        shown = order["payment_parameters"]
        if order["payment_channel"] == "card":
            told = {"client_secret": shown["client_secret"]}
            return (await self.at_gateway("card/pay", told)).is_success
        paid = await self.at_gateway("pay", {"parameters": shown})
        return paid.is_success

    async def merchant(self, order: str, action: str, body: Any = None) -> httpx.Response:
        """A tap on the shop's screen, under one key."""
        who = self.world.token("merchant", self.world.merchant_id)
        path = f"/v1/merchant/orders/{order}/{action}"
        return await self.call("POST", path, who, body, key=uuid.uuid4().hex)

    async def code(self, customer: str, order: str) -> str:
        """What the customer's app shows to whoever hands over."""
        who = self.world.token("customer", customer)
        seen = await self.call("GET", f"/v1/orders/{order}", who)
        return str(seen.json()["handover_code"])

    async def cancel(self, customer: str, order: str) -> httpx.Response:
        """The customer wants out."""
        who = self.world.token("customer", customer)
        path = f"/v1/orders/{order}/cancel"
        return await self.call("POST", path, who, key=uuid.uuid4().hex)

    async def support(self, order: str, action: str, **args: Any) -> httpx.Response:
        """Support steps in, under one request id."""
        envelope = {
            "action": action,
            "reason_code": "test",
            "request_id": uuid.uuid4().hex,
            "args": args,
        }
        path = f"/v1/support/orders/{order}/interventions"
        return await self.call("POST", path, self.world.token("support", "ann"), envelope)

    @staticmethod
    async def _insist(
        client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], body: Any
    ) -> httpx.Response:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    answer = await client.request(method, path, headers=headers, json=body)
                except httpx.TransportError:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                if answer.status_code not in AGAIN:
                    return answer
                await asyncio.sleep(PAUSE_SECONDS)
