"""One shop, its menu, two customers and a rider; orders put into the rows as `reserve` does."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import insert, update

from domain import ids
from domain.contracts.life import Order, Timers
from domain.matching import AT_ONCE
from services import events, orders, personal, tables
from services.db import Database
from services.events import Event, Stream
from services.identity import issue

Json = dict[str, Any]
PLACE = {"lat": 30.26, "lng": 120.14}
AREA = [[30.16, 120.04], [30.16, 120.24], [30.36, 120.24], [30.36, 120.04]]
NEAR = {"lat": 30.27, "lng": 120.14}
HOME = {"name": "Canary Wang", "phone": "13900000000", "text": "Canary Road 1", **NEAR}
SIZE = {
    "option_id": "size",
    "name": "份量",
    "required": True,
    "choices": [
        {"choice_id": "small", "name": "小", "add_fen": 0},
        {"choice_id": "large", "name": "大", "add_fen": 300},
    ],
}


@dataclass
class Town:
    """Every id in it holds the site's, so that tests keep apart."""

    database: Database
    http: httpx.AsyncClient
    site_id: str

    @property
    def shop_id(self) -> str:
        return f"{self.site_id}-shop"

    @property
    def merchant_id(self) -> str:
        return f"{self.site_id}-merchant"

    async def build(self) -> "Town":
        site = {"site_id": self.site_id}
        rows: list[tuple[Any, Json]] = [
            (tables.sites, {"name": "Town", "speed": 2.0, "always_open": True}),
            (tables.zones, {"zone_id": "z", "rules": AT_ONCE}),
            (
                tables.channel_accounts,
                {
                    "account_id": f"{self.site_id}-account",
                    "merchant_id": self.merchant_id,
                    "channel": "wechat",
                    "mchid": "1900000001",
                    "appid": "wx0000000000000001",
                    "keys_ref": f"keys/wechat/{self.site_id}",
                },
            ),
            (
                tables.shops,
                {
                    "shop_id": self.shop_id,
                    "merchant_id": self.merchant_id,
                    "zone_id": "z",
                    "name": "Noodles",
                    **PLACE,
                    "delivery_area": AREA,
                    "prep_minutes": 10,
                },
            ),
            (
                tables.items,
                {
                    "shop_id": self.shop_id,
                    "item_id": "noodles",
                    "name": "面",
                    "price_fen": 1_800,
                    "packing_fen": 100,
                    "options": [SIZE],
                },
            ),
            (tables.items, self.simple("tea", stock=3)),
            (tables.customers, {"customer_id": "ann"}),
            (tables.customers, {"customer_id": "bob"}),
            (tables.riders, {"rider_id": "rod", "zone_id": "z"}),
        ]
        async with self.database.write() as writer:
            for table, row in rows:
                await writer.run(insert(table).values(**site, **row))
            ann = {"subject": "customer:ann", "kind": "openid", "ref": "wechat"}
            await personal.put(writer, **site, **ann, value={"openid": "oAnn"})
        return self

    def simple(self, item_id: str, **more: Any) -> Json:
        common = {"shop_id": self.shop_id, "item_id": item_id, "name": item_id, "price_fen": 500}
        return common | more

    def headers(self, role: str, subject: str, *, site: str = "") -> dict[str, str]:
        token = issue(site=site or self.site_id, role=role, subject=subject, ttl_seconds=600)
        return {"Authorization": f"Bearer {token}"}

    @property
    def ann(self) -> dict[str, str]:
        return self.headers("customer", "ann")

    async def set_shop(self, **values: Any) -> None:
        async with self.database.write() as writer:
            await writer.run(
                update(tables.shops).where(tables.shops.c.shop_id == self.shop_id).values(**values)
            )

    async def set_item(self, item_id: str, **values: Any) -> None:
        table = tables.items
        async with self.database.write() as writer:
            await writer.run(
                update(table)
                .where(table.c.shop_id == self.shop_id, table.c.item_id == item_id)
                .values(**values)
            )

    async def set_site(self, **values: Any) -> None:
        async with self.database.write() as writer:
            await writer.run(
                update(tables.sites).where(tables.sites.c.site_id == self.site_id).values(**values)
            )

    async def address(self, customer: str = "ann", **more: Any) -> str:
        who = self.headers("customer", customer)
        answer = await self.http.post("/v1/addresses", headers=who, json=HOME | more)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["address_id"])

    async def ask(
        self, lines: list[Json], customer: str = "ann", *, address_id: str = "", **more: Any
    ) -> httpx.Response:
        body = {
            "shop_id": self.shop_id,
            "address_id": address_id or await self.address(customer),
            "lines": lines,
            **more,
        }
        who = self.headers("customer", customer)
        return await self.http.post("/v1/quotes", headers=who, json=body)

    async def quote(self, quantity: int = 1, customer: str = "ann") -> Json:
        answer = await self.ask([{"item_id": "tea", "quantity": quantity}], customer)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def order(self, customer: str = "ann", **more: Any) -> Stream:
        """An order as its workflow would have placed it."""
        answer = await self.ask([{"item_id": "tea", "quantity": 1}], customer, **more)
        quote = answer.json()
        order = Order(
            order_id=ids.order_id(self.site_id, customer, uuid.uuid4().hex),
            site_id=self.site_id,
            customer_id=customer,
            merchant_id=self.merchant_id,
            shop_id=self.shop_id,
            quote_id=quote["quote_id"],
            channel="wechat",
            method="native",
            total_fen=quote["total_fen"],
            auto_accept=False,
            tableware=0,
            pay_by=datetime.now(UTC) + timedelta(minutes=15),
            timers=Timers(),
        )
        await self.set_item("tea", stock=100)
        async with self.database.write() as writer:
            placed = await orders.reserve(writer, order)
        return placed.stream

    async def happen(self, order_id: str, **data: Any) -> int:
        """One more public event of the order; its seq."""
        event = Event(type="order.test", key=uuid.uuid4().hex, data=data)
        async with self.database.write() as writer:
            await events.lock(writer, order_id)
            return await events.append(writer, order_id, event)
