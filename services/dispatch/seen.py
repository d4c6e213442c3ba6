"""What the rows say of a zone at a moment: its open tasks, who is there to bring them, its shops.

Times are seconds from now, in columns named `*_seconds`; what is decided about it is the planner's.
"""

import math
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Row, text

from domain.contracts.dispatch import Zone
from domain.geo import Point
from domain.matching import Candidate
from domain.orders import CARRYING, Delivery
from domain.planning.model import Place
from services.db import Reader

TASKS_PER_PLAN = 20_000
RIDERS_PER_PLAN = 20_000

log = structlog.get_logger()

_TASKS = text("""
SELECT t.*, coalesce(t.goods_lat, s.lat) AS lat, coalesce(t.goods_lng, s.lng) AS lng,
  CASE WHEN t.goods_lat IS NULL THEN t.shop_id ELSE 'goods\\:' || t.task_id END AS origin,
  o.customer_id, o.goods_fen, o.kitchen = 'ready' AS ready,
  extract(epoch FROM t.food_ready_at - now()) AS ready_seconds,
  extract(epoch FROM o.placed_at - now()) AS placed_seconds,
  extract(epoch FROM t.changed_at - now()) AS changed_seconds,
  extract(epoch FROM now() - t.search_from) AS searched_seconds,
  asking.asking, coalesce(asking.grab, false) AS grab,
  (SELECT jsonb_agg(jsonb_build_array(rider_id, times, seconds_ago, barred)) FROM (
    SELECT f.rider_id, count(*) AS times, bool_or(f.state = 'released') AS barred,
      extract(epoch FROM now() - max(f.answered_at)) AS seconds_ago
    FROM offers f WHERE f.task_id = t.task_id AND t.state IN ('searching', 'offered')
      AND f.state IN ('declined', 'expired', 'released') GROUP BY f.rider_id
  ) history) AS asked,
  (SELECT array_agg(b.rider_id) FROM blocked_pairs b WHERE b.site_id = t.site_id
    AND b.other IN ('shop:' || t.shop_id, 'customer:' || o.customer_id)) AS blocked
FROM delivery_tasks t JOIN shops s USING (shop_id) JOIN orders o USING (order_id)
  LEFT JOIN LATERAL (SELECT array_agg(f.rider_id) AS asking, bool_or(f.grab) AS grab FROM offers f
    WHERE f.task_id = t.task_id AND f.token = t.token AND f.state = 'open') asking ON true
WHERE t.site_id = :site_id AND t.zone_id = :zone_id AND NOT t.gave_up
  AND t.state NOT IN ('delivered', 'closed') AND t.state <> 'failed'
ORDER BY t.assigned_at, t.search_from, t.task_id LIMIT :limit
""")
_RIDERS = text("""
SELECT r.rider_id, r.skills, r.room, r.area, r.probation, r.vehicle,
  NOT r.on_shift OR r.paused_at IS NOT NULL AS pausing,
  EXISTS (SELECT FROM offers f WHERE f.site_id = r.site_id AND f.rider_id = r.rider_id
    AND f.state = 'expired' AND f.answered_at >= r.seen_at) AS quiet,
  EXISTS (SELECT FROM delivery_tasks t WHERE t.site_id = r.site_id AND t.rider_id = r.rider_id
    AND t.zone_id <> :zone_id AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived'))
  OR EXISTS (SELECT FROM offers f JOIN delivery_tasks t USING (task_id)
    WHERE f.site_id = r.site_id AND f.rider_id = r.rider_id AND f.state = 'open'
      AND NOT f.grab AND t.zone_id <> :zone_id) AS elsewhere,
  extract(epoch FROM h.started_at - now()) AS began_seconds,
  extract(epoch FROM h.ends_at - now()) AS ends_seconds, done.orders AS done,
  extract(epoch FROM done.last_at - now()) AS last_seconds
FROM riders r LEFT JOIN shifts h ON h.site_id = r.site_id AND h.rider_id = r.rider_id
    AND h.ended_at IS NULL
  LEFT JOIN LATERAL (SELECT count(*) AS orders, max(t.delivered_at) AS last_at
    FROM delivery_tasks t WHERE t.site_id = r.site_id AND t.rider_id = r.rider_id
      AND t.delivered_at >= h.started_at) done ON true
WHERE r.site_id = :site_id AND r.zone_id = ANY(:zones)
  AND (r.on_shift OR EXISTS (SELECT FROM delivery_tasks t WHERE t.site_id = r.site_id
    AND t.rider_id = r.rider_id AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived')))
ORDER BY r.rider_id LIMIT :limit
""")
_SHOPS = text("""
SELECT shop_id, lat, lng FROM shops WHERE site_id = :site_id AND zone_id = :zone_id
""")
_LATELY = text("""
SELECT o.order_id, o.shop_id, extract(epoch FROM o.placed_at - now()) AS placed_seconds
FROM orders o WHERE o.site_id = :site_id AND o.zone_id = :zone_id
ORDER BY o.placed_at DESC LIMIT :limit
""")


async def tasks(reader: Reader, zone: Zone) -> Sequence[Row[Any]]:
    """Every task that is open, those of riders first, as they were taken.

    `origin` names where its goods are: the shop, or where the last rider had to leave them.
    """
    found = await reader.all(_TASKS, _key(zone) | {"limit": TASKS_PER_PLAN})
    _tell_cut(zone, "tasks", len(found), TASKS_PER_PLAN)
    return found


async def riders(reader: Reader, zone: Zone, neighbours: Sequence[str]) -> Sequence[Row[Any]]:
    """Who is on shift here or next door, or still has work; not who works for another zone."""
    zones = {"zones": [zone.zone_id, *neighbours], "limit": RIDERS_PER_PLAN}
    found = await reader.all(_RIDERS, _key(zone) | zones)
    _tell_cut(zone, "riders", len(found), RIDERS_PER_PLAN)
    return [row for row in found if not row.elsewhere]


async def shops(reader: Reader, zone: Zone) -> dict[str, Place]:
    """Where the zone's shops are."""
    rows = await reader.all(_SHOPS, _key(zone))
    return {row.shop_id: (row.lat, row.lng) for row in rows}


async def lately(reader: Reader, zone: Zone, limit: int) -> Sequence[Row[Any]]:
    """The zone's last orders: order_id, shop_id, placed_seconds."""
    return await reader.all(_LATELY, _key(zone) | {"limit": limit})


def in_hand(tasks: Sequence[Row[Any]]) -> dict[str, list[Row[Any]]]:
    """Each rider's tasks, and the one offered to them; what may be grabbed is nobody's yet."""
    hands: dict[str, list[Row[Any]]] = {}
    for task in tasks:
        asking: Sequence[str] = () if task.grab else task.asking or ()
        whose = task.rider_id or next(iter(asking), "")
        if whose:
            hands.setdefault(whose, []).append(task)
    return hands


def is_settled(task: Row[Any]) -> bool:
    """Whether what is picked up together with the task is decided, or picked up already."""
    return task.settled or task.state in CARRYING


def waits(task: Row[Any]) -> bool:
    """Whether its rider stands before ready food and has not heard that nothing more comes."""
    return task.state == Delivery.AT_STORE and task.ready and not task.settled


def candidate(row: Row[Any], place: Point, *, free: bool) -> Candidate:
    """A rider's row, as far as it matters who may be asked."""
    return Candidate(
        rider_id=row.rider_id,
        place=place,
        free=free,
        pausing=row.pausing,
        quiet=row.quiet,
        skills=frozenset({*row.skills, row.vehicle}),
        area=tuple(Point(lat, lng) for lat, lng in row.area or ()),
        probation=row.probation,
        room=row.room,
        ends_seconds=math.inf if row.ends_seconds is None else float(row.ends_seconds),
    )


def _tell_cut(zone: Zone, what: str, seen: int, limit: int) -> None:
    if seen == limit:
        log.warning("dispatch_zone_cut", zone_id=zone.zone_id, what=what, limit=limit)


def _key(zone: Zone) -> dict[str, Any]:
    return {"site_id": zone.site_id, "zone_id": zone.zone_id}
