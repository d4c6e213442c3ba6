"""What a rider has to look at: open offers and the tasks they carry; reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain.geo import Point
from services.db import Reader

PAGE_ITEMS = 50
"""Offers and tasks shown to one rider, each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Where the food is; WGS-84 degrees."""

    shop_id: str
    name: str
    lat: float
    lng: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderOffer:
    """An offer that may still be claimed, under `token`, until `expires_at`.

    `goods`: where they wait instead of at the shop, since another rider could not go on.
    """

    task_id: str
    order_id: str
    token: int
    expires_at: datetime
    shop: Shop
    food_ready_at: datetime
    promised_at: datetime
    delivery_fee_fen: int
    tip_fen: int
    bonus_fen: int
    """What the search pays on top by now."""
    customer_id: str
    goods: Point | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderTask:
    """A task the rider has; where it goes to are personal rows, by `address_id`."""

    task_id: str
    order_id: str
    token: int
    state: str
    shop: Shop
    food_ready_at: datetime
    promised_at: datetime
    customer_id: str
    address_id: str
    ready: bool
    settled: bool
    """False: other orders of the shop may still join; the rider waits, if the food is ready."""
    stop: int
    """Its place among the hand-overs."""
    dropoff_wish: str
    at_store_at: datetime | None
    unreachable_until: datetime | None
    bonus_fen: int
    goods: Point | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderWork:
    """Everything on a rider's screen."""

    offers: tuple[RiderOffer, ...]
    tasks: tuple[RiderTask, ...]


_OFFERS = text("""
SELECT t.task_id, t.order_id, f.token, f.expires_at, t.shop_id, s.name, s.lat, s.lng,
  t.food_ready_at, t.promised_at, o.delivery_fee_fen, o.tip_fen, t.bonus_fen, o.customer_id,
  t.goods_lat, t.goods_lng
FROM offers f JOIN delivery_tasks t USING (task_id) JOIN shops s USING (shop_id)
  JOIN orders o USING (order_id)
WHERE f.site_id = :site_id AND f.rider_id = :rider_id AND f.state = 'open'
  AND f.expires_at > now() AND t.state = 'offered' AND t.token = f.token
ORDER BY f.offer_id LIMIT :limit
""")
_TASKS = text("""
SELECT t.task_id, t.order_id, t.token, t.state, t.shop_id, s.name, s.lat, s.lng,
  t.food_ready_at, t.promised_at, o.customer_id, o.address_id, o.kitchen = 'ready' AS ready,
  t.settled, t.stop, coalesce(e.view ->> 'dropoff', 'hand') AS dropoff_wish, t.at_store_at,
  t.unreachable_until, t.bonus_fen, t.goods_lat, t.goods_lng
FROM delivery_tasks t JOIN shops s USING (shop_id) JOIN orders o USING (order_id)
  JOIN order_streams e USING (order_id)
WHERE t.site_id = :site_id AND t.rider_id = :rider_id
  AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived')
ORDER BY t.stop, t.assigned_at, t.task_id LIMIT :limit
""")
_ANSWERS = text("""
SELECT task_id, token, CASE WHEN reason_code = '' THEN state ELSE 'declined' END AS answer
FROM offers
WHERE site_id = :site_id AND rider_id = :rider_id AND task_id = ANY(:task_ids)
""")


async def offers(reader: Reader, *, site_id: str, rider_id: str) -> RiderWork:
    """Open offers, oldest first, and the rider's tasks as they are to be handed over."""
    rider = {"site_id": site_id, "rider_id": rider_id, "limit": PAGE_ITEMS}
    return RiderWork(
        offers=tuple(
            RiderOffer(
                task_id=row.task_id,
                order_id=row.order_id,
                token=row.token,
                expires_at=row.expires_at,
                shop=_shop(row),
                food_ready_at=row.food_ready_at,
                promised_at=row.promised_at,
                delivery_fee_fen=row.delivery_fee_fen,
                tip_fen=row.tip_fen,
                bonus_fen=row.bonus_fen,
                customer_id=row.customer_id,
                goods=_goods(row),
            )
            for row in await reader.all(_OFFERS, rider)
        ),
        tasks=tuple(
            RiderTask(
                task_id=row.task_id,
                order_id=row.order_id,
                token=row.token,
                state=row.state,
                shop=_shop(row),
                food_ready_at=row.food_ready_at,
                promised_at=row.promised_at,
                customer_id=row.customer_id,
                address_id=row.address_id,
                ready=row.ready,
                settled=row.settled,
                stop=row.stop,
                dropoff_wish=row.dropoff_wish,
                at_store_at=row.at_store_at,
                unreachable_until=row.unreachable_until,
                bonus_fen=row.bonus_fen,
                goods=_goods(row),
            )
            for row in await reader.all(_TASKS, rider)
        ),
    )


async def answers(
    reader: Reader, *, site_id: str, rider_id: str, task_ids: Sequence[str]
) -> dict[tuple[str, int], str]:
    """What became of the rider's offers of these tasks, by task and token.

    A no that bars the rider is a no too, though the row says `released`.
    """
    asked = {"site_id": site_id, "rider_id": rider_id, "task_ids": [*task_ids]}
    return {(row.task_id, row.token): row.answer for row in await reader.all(_ANSWERS, asked)}


def _shop(row: Row[Any]) -> Shop:
    return Shop(shop_id=row.shop_id, name=row.name, lat=row.lat, lng=row.lng)


def _goods(row: Row[Any]) -> Point | None:
    return None if row.goods_lat is None else Point(row.goods_lat, row.goods_lng)
