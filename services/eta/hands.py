"""What riders have in hand, for estimates: which doors come before which, and where they are.

Doors are personal rows: each look opens those it needs, and nothing of them is kept or told.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from sqlalchemy import Row, text

from domain.eta import Way
from domain.geo import Point
from domain.orders import CARRYING, Delivery
from domain.positions import PlacesOf
from services import personal
from services.db import Reader
from services.personal import Item

TASKS_MAX = 2_000
"""In the hands of the riders of one look."""
Rider = tuple[str, str]
"""Site and rider."""

log = structlog.get_logger(__name__)

_IN_HAND = text("""
SELECT t.order_id, t.site_id, t.rider_id, t.state, t.stop, t.settled, t.food_ready_at,
  coalesce(t.goods_lat, s.lat) AS lat, coalesce(t.goods_lng, s.lng) AS lng,
  o.kitchen = 'ready' AS ready, o.customer_id
FROM delivery_tasks t JOIN orders o USING (order_id) JOIN shops s ON s.shop_id = t.shop_id
WHERE (t.site_id, t.rider_id) IN
    (SELECT * FROM unnest(CAST(:sites AS text[]), CAST(:riders AS text[])))
  AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived')
ORDER BY t.site_id, t.rider_id, t.state <> 'arrived', t.stop, t.assigned_at LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """Riders, what they have in the order of its hand-overs, and the places of all that."""

    tasks: Mapping[Rider, Sequence[Row[Any]]] = field(default_factory=dict)
    riders: Mapping[Rider, Point] = field(default_factory=dict)
    doors: Mapping[str, Point] = field(default_factory=dict)
    """By order."""

    def way(self, task: Row[Any]) -> Way | None:
        """What lies before a task's door; None where that door is not known.

        As planning sees it: all stores of what is settled come first, then all its doors.
        """
        door, own = self.doors.get(task.order_id), Point(task.lat, task.lng)
        if door is None:
            return None
        bundle = [one for one in self._of(task) if _settled(one)]
        fetched = sorted(_to_fetch(bundle), key=lambda one: one.state != Delivery.AT_STORE)
        stores = list(dict.fromkeys(Point(one.lat, one.lng) for one in fetched))
        rings = [one.order_id for one in bundle]
        if task.order_id not in rings:
            first, before = [*stores, *self._at(rings)], []
        else:
            first, before = stores[:-1], self._at(rings[: rings.index(task.order_id)])
            own = stores[-1] if stores else own
        return Way(store=own, door=door, rider=self._rider(task), first=first, before=before)

    def is_carried(self, task: Row[Any]) -> bool:
        """Whether the task's rider has its goods, and all that go along."""
        return task.state in CARRYING and not _to_fetch(self._of(task))

    def food(self, task: Row[Any]) -> tuple[bool, datetime]:
        """Whether all that is still to be fetched is ready, and when the last of it is."""
        goods = _to_fetch(self._of(task)) if _settled(task) else [task]
        late = [one.food_ready_at for one in goods if not one.ready]
        return not late, max(late, default=task.food_ready_at)

    def _of(self, task: Row[Any]) -> Sequence[Row[Any]]:
        return self.tasks.get((task.site_id, task.rider_id), ())

    def _rider(self, task: Row[Any]) -> Point | None:
        """At the store, if that was said, else as the phone says."""
        stores = [one for one in self._of(task) if one.state == Delivery.AT_STORE]
        if stores:
            return Point(stores[0].lat, stores[0].lng)
        return self.riders.get((task.site_id, task.rider_id))

    def _at(self, order_ids: Sequence[str]) -> list[Point]:
        return [self.doors[one] for one in order_ids if one in self.doors]


def _settled(task: Row[Any]) -> bool:
    return task.settled or task.state in CARRYING


def _to_fetch(tasks: Sequence[Row[Any]]) -> list[Row[Any]]:
    return [one for one in tasks if one.settled and one.state not in CARRYING]


async def of(reader: Reader, places: PlacesOf, riders: Sequence[Rider]) -> Hands:
    """All that these riders have in hand."""
    if not riders:
        return Hands()
    asked = {"sites": [one for one, _ in riders], "riders": [one for _, one in riders]}
    rows = await reader.all(_IN_HAND, asked | {"limit": TASKS_MAX})
    tasks: defaultdict[Rider, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        tasks[row.site_id, row.rider_id].append(row)
    where: dict[Rider, Point] = {}
    for site_id in {site_id for site_id, _ in riders}:
        found = await places(site_id, [rider_id for site, rider_id in riders if site == site_id])
        where |= {(site_id, rider_id): place for rider_id, place in found.items()}
    return Hands(tasks=tasks, riders=where, doors=await _doors(reader, rows))


async def _doors(reader: Reader, rows: Sequence[Row[Any]]) -> dict[str, Point]:
    """Where these orders go, those of whom it is known."""
    doors = {}
    for first in range(0, len(rows), personal.ITEMS_MAX):
        page = rows[first : first + personal.ITEMS_MAX]
        items = [
            Item(row.site_id, f"customer:{row.customer_id}", "order", row.order_id) for row in page
        ]
        try:
            found = await personal.get_many(reader, items)
        except InvalidTag:
            # One broken row stops nobody's estimate.
            log.exception("doors can't be read, rides count as quoted")
            continue
        for item, value in found.items():
            address = value.get("address") or {}
            if "lat" in address and "lng" in address:
                doors[item.ref] = Point(address["lat"], address["lng"])
    return doors
