"""A dispatch zone for tests: a site, one shop, riders, tasks, and acts run as their edges do."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import insert, text

from domain.contracts.dispatch import Zone
from domain.geo import Point
from domain.matching import AT_ONCE
from services import dispatch, events, tables
from services.db import Database
from services.dispatch import Matcher, TaskState

SHOP_LAT, SHOP_LNG = 31.23, 121.47
ZONE_ID = "center"
PATIENCE_SECONDS = 15
POLL_SECONDS = 0.02
Answer = TypeVar("Answer")
_EARLIER = (
    text("""UPDATE delivery_tasks SET search_from = search_from - :span,
      support_at = support_at - :span, give_up_at = give_up_at - :span,
      assigned_at = assigned_at - :span, held_at = held_at - :span,
      at_store_at = at_store_at - :span, unreachable_until = unreachable_until - :span
      WHERE task_id = :task_id"""),
    text("""UPDATE offers SET made_at = made_at - :span, expires_at = expires_at - :span,
      answered_at = answered_at - :span WHERE task_id = :task_id"""),
    text("UPDATE riders SET seen_at = seen_at - :span WHERE site_id = :site"),
)


@dataclass(frozen=True, slots=True)
class City:
    """One site with one zone and one shop in it."""

    database: Database
    site_id: str
    riders: dict[str, Point] = field(default_factory=dict)
    """Where they are."""

    @classmethod
    async def build(
        cls,
        database: Database,
        site_id: str,
        *,
        speed: float = 1,
        rules: dict[str, Any] | None = None,
    ) -> "City":
        """Write site, zone and shop."""
        city = cls(database, site_id)
        site = {"site_id": site_id}
        async with database.write() as writer:
            await writer.run(insert(tables.sites).values(**site, name="City", speed=speed))
            await writer.run(
                insert(tables.zones).values(**site, zone_id=ZONE_ID, rules=rules or AT_ONCE)
            )
            await writer.run(
                insert(tables.shops).values(
                    **site,
                    shop_id=city.shop_id,
                    merchant_id="merchant",
                    zone_id=ZONE_ID,
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
        matcher = await Matcher.take(self.database, self.zone, self.places)
        assert matcher is not None
        return matcher

    async def places(self, site_id: str, rider_ids: Sequence[str]) -> dict[str, Point]:
        """Where riders are, as Redis would tell."""
        assert site_id == self.site_id
        return {name: self.riders[name] for name in rider_ids if name in self.riders}

    async def add_riders(self, *rider_ids: str) -> None:
        """On shift and just seen, each 100 meters or so further from the shop than the last."""
        now = datetime.now(UTC)
        rows = [
            {
                "site_id": self.site_id,
                "rider_id": rider_id,
                "zone_id": ZONE_ID,
                "on_shift": True,
                "seen_at": now,
            }
            for rider_id in rider_ids
        ]
        for number, rider_id in enumerate(rider_ids):
            self.riders[rider_id] = Point(SHOP_LAT + number / 1_000, SHOP_LNG)
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
            await writer.run(insert(tables.orders).values(**who, **self.order(now)))
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
                unreachable_seconds=times.get("unreachable_seconds", 600),
            )
        return TaskState(task_id=task_id, order_id=order_id, state="searching", token=0, seq=0)

    def order(self, now: datetime) -> dict[str, Any]:
        """A row of an order that is being prepared, without ids."""
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

    async def until(self, task: TaskState, state: str) -> None:
        """Wait until the task's row says so; TimeoutError after `PATIENCE_SECONDS`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await self.row(task)).state != state:  # noqa: ASYNC110 - a row, not an Event
                await asyncio.sleep(POLL_SECONDS)

    async def all(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of any question."""
        async with self.database.read() as reader:
            return list(await reader.all(text(statement), parameters))

    async def pass_time(self, task: TaskState, seconds: float) -> None:
        """Everything about the task and its riders happened `seconds` earlier."""
        ago = {"span": timedelta(seconds=seconds), "task_id": task.task_id, "site": self.site_id}
        async with self.database.write() as writer:
            for statement in _EARLIER:
                await writer.run(statement, ago)

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
        return [(row.message["type"], row.message.get("token", 0)) for row in found]

    async def do(
        self,
        act: Callable[..., Awaitable[TaskState]],
        task: TaskState,
        rider_id: str,
        token: int,
        **more: str,
    ) -> TaskState:
        """One rider command as the API runs it: one transaction."""
        async with self.database.write() as writer:
            return await act(
                writer,
                site_id=self.site_id,
                rider_id=rider_id,
                task_id=task.task_id,
                token=token,
                **more,
            )

    async def order_does(
        self, act: Callable[..., Awaitable[Answer]], task: TaskState, **more: Any
    ) -> Answer:
        """One act of the order on its task: under the stream's lock, one transaction."""
        async with self.database.write() as writer:
            await events.lock(writer, task.order_id)
            return await act(writer, order_id=task.order_id, **more)

    async def assigned(self, matcher: Matcher) -> TaskState:
        """A task that rider `a` has claimed under token 1; `b` is free."""
        await self.add_riders("a", "b")
        task = await self.add_task()
        await matcher.tick(no_beat)
        return await self.do(dispatch.claim, task, "a", 1)

    async def picked_up(self, matcher: Matcher) -> TaskState:
        """A task whose food rider `a` carries under token 1; `b` is free."""
        task = await self.assigned(matcher)
        assert await self.order_does(dispatch.take, task, rider_id="a", token=1)
        return task

    async def tickets(self, task: TaskState) -> list[str]:
        """Kinds of the order's tickets, oldest first."""
        found = await self.all(
            "SELECT kind FROM tickets WHERE order_id = :order_id ORDER BY ticket_id",
            order_id=task.order_id,
        )
        return [row.kind for row in found]


def no_beat() -> None:
    """A heartbeat nobody listens to."""
