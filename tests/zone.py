"""A dispatch zone for tests: a site of its own, one shop, riders, and tasks made as orders do."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, text, update

from domain.contracts.dispatch import Zone
from services import dispatch, events, tables
from services.db import Database
from services.dispatch import Matcher, TaskState

SHOP_LAT, SHOP_LNG = 31.23, 121.47
ZONE_ID = "center"


@dataclass(frozen=True, slots=True)
class City:
    """One site with one zone and one shop in it."""

    database: Database
    site_id: str

    @classmethod
    async def build(cls, database: Database, site_id: str, *, speed: float = 1) -> "City":
        """Write site, zone and shop."""
        city = cls(database, site_id)
        site = {"site_id": site_id}
        async with database.write() as writer:
            await writer.run(insert(tables.sites).values(**site, name="City", speed=speed))
            await writer.run(insert(tables.zones).values(**site, zone_id=ZONE_ID))
            await writer.run(
                insert(tables.shops).values(
                    **site,
                    shop_id=city.shop_id,
                    merchant_id="merchant",
                    zone_id=ZONE_ID,
                    account_id="account",
                    name="Noodles",
                    lat=SHOP_LAT,
                    lng=SHOP_LNG,
                )
            )
        return city

    @property
    def shop_id(self) -> str:
        """The only shop."""
        return f"shop-{self.site_id}"

    @property
    def zone(self) -> Zone:
        """The only zone, as its matcher knows it."""
        return Zone(site_id=self.site_id, zone_id=ZONE_ID)

    async def matcher(self) -> Matcher:
        """Take the zone."""
        matcher = await Matcher.take(self.database, self.zone)
        assert matcher is not None
        return matcher

    async def add_riders(self, *rider_ids: str) -> None:
        """On shift and just seen, each 100 meters or so further from the shop than the last."""
        now = datetime.now(UTC)
        rows = [
            {
                "site_id": self.site_id,
                "rider_id": rider_id,
                "zone_id": ZONE_ID,
                "on_shift": True,
                "lat": SHOP_LAT + number / 1_000,
                "lng": SHOP_LNG,
                "seen_at": now,
            }
            for number, rider_id in enumerate(rider_ids)
        ]
        async with self.database.write() as writer:
            await writer.run(insert(tables.riders).values(rows))

    async def add_task(self, **times: float) -> TaskState:
        """An accepted order's task; `search`, `support`, `give_up` in seconds from now."""
        order_id = uuid.uuid4().hex[:26]
        now = datetime.now(UTC)

        def at(name: str, default: float) -> datetime:
            return now + timedelta(seconds=times.get(name, default))

        who = {"order_id": order_id, "site_id": self.site_id, "customer_id": "customer"}
        async with self.database.write() as writer:
            await events.open_stream(writer, **who, merchant_id="merchant", shop_id=self.shop_id)
            await writer.run(insert(tables.orders).values(**who, **self._order(now)))
            task_id = await dispatch.open_task(
                writer,
                order_id=order_id,
                site_id=self.site_id,
                zone_id=ZONE_ID,
                shop_id=self.shop_id,
                promised_at=at("promised", 2_400),
                food_ready_at=at("food_ready", 900),
                search_from=at("search", 0),
                support_at=at("support", 1_200),
                give_up_at=at("give_up", 1_800),
                offer_seconds=times.get("offer_seconds", 30),
                rider_silence_seconds=times.get("silence_seconds", 180),
            )
        return TaskState(task_id=task_id, order_id=order_id, state="searching", token=0, seq=0)

    def _order(self, now: datetime) -> dict[str, Any]:
        return {
            "merchant_id": "merchant",
            "shop_id": self.shop_id,
            "zone_id": ZONE_ID,
            "quote_id": "quote",
            "address_id": "address",
            "status": "preparing",
            "payment": "paid",
            "kitchen": "preparing",
            "fulfilment": "delivery",
            "tableware": 0,
            "business_day": uuid.uuid4().hex,
            "number": 1,
            "goods_fen": 2_000,
            "packing_fen": 100,
            "delivery_fee_fen": 500,
            "total_fen": 2_600,
            "pay_by": now,
        }

    async def row(self, task: TaskState) -> Any:
        """The task's row."""
        found = await self.all(
            "SELECT * FROM delivery_tasks WHERE task_id = :task_id", task_id=task.task_id
        )
        return found[0]

    async def all(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of any question."""
        async with self.database.read() as reader:
            return list(await reader.all(text(statement), parameters))

    async def set_task(self, task: TaskState, **columns: Any) -> None:
        """Change the task's row as nobody may, to let time pass."""
        table = tables.delivery_tasks
        async with self.database.write() as writer:
            await writer.run(update(table).where(table.c.task_id == task.task_id).values(**columns))

    async def pass_time(self, task: TaskState, seconds: float) -> None:
        """Everything about the task and its riders happened `seconds` earlier."""
        earlier = {"seconds": seconds, "task_id": task.task_id, "site_id": self.site_id}
        shift = "- :seconds * interval '1 second'"
        moved = ("search_from", "support_at", "give_up_at", "assigned_at", "held_at")
        async with self.database.write() as writer:
            for table, columns, where in (
                ("delivery_tasks", moved, "task_id = :task_id"),
                ("offers", ("made_at", "expires_at", "answered_at"), "task_id = :task_id"),
                ("riders", ("seen_at",), "site_id = :site_id"),
            ):
                changes = ", ".join(f"{column} = {column} {shift}" for column in columns)
                await writer.run(text(f"UPDATE {table} SET {changes} WHERE {where}"), earlier)

    async def event_types(self, task: TaskState) -> list[str]:
        """The public events of the task's order, in order; their seq is gapless."""
        async with self.database.read() as reader:
            found = await events.since(reader, task.order_id, 0)
        assert [one["seq"] for one in found] == list(range(1, len(found) + 1))
        return [one["type"] for one in found]

    async def told(self, rider_id: str) -> list[tuple[str, int]]:
        """Messages for a rider: type and token."""
        found = await self.all(
            "SELECT message FROM outbox WHERE site_id = :site_id AND seq = 0"
            " AND message->>'rider_id' = :rider_id ORDER BY id",
            site_id=self.site_id,
            rider_id=rider_id,
        )
        return [(row.message["type"], row.message["token"]) for row in found]
