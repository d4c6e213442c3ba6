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
  o.kitchen = 'ready' AS ready, o.customer_id
FROM delivery_tasks t JOIN orders o USING (order_id)
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

    def way(self, task: Row[Any], store: Point) -> Way | None:
        """What lies before a task's door; None where that door is not known."""
        door = self.doors.get(task.order_id)
        if door is None:
            return None
        whose = (task.site_id, task.rider_id)
        carried = [one for one in self.tasks[whose] if one.state in CARRYING]
        bundle = carried if task.state in CARRYING else self._fetched_with(task)
        stops = [one.order_id for one in bundle]
        before = stops[: stops.index(task.order_id)] if task.order_id in stops else ()
        return Way(
            store=store,
            door=door,
            rider=store if task.state == Delivery.AT_STORE else self.riders.get(whose),
            first=() if task.state in CARRYING else self._at([one.order_id for one in carried]),
            before=self._at(before),
        )

    def food(self, task: Row[Any]) -> tuple[bool, datetime]:
        """Whether all that is picked up together is ready, and when the last of it is."""
        cooking = [one for one in self._fetched_with(task) if not one.ready]
        moments = [one.food_ready_at for one in cooking]
        return not cooking and task.ready, max([task.food_ready_at, *moments])

    def _fetched_with(self, task: Row[Any]) -> Sequence[Row[Any]]:
        """The settled bundle of a task whose goods are still to be fetched, in its order."""
        return [
            one
            for one in self.tasks.get((task.site_id, task.rider_id), ())
            if task.settled and one.settled and one.state not in CARRYING
        ]

    def _at(self, order_ids: Sequence[str]) -> Sequence[Point]:
        return [self.doors[one] for one in order_ids if one in self.doors]


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
