"""When the rider will be at the store, told to its people: first when somebody comes, then by news.

Public is a time, never a place. Each telling is one event under the order's stream lock.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from domain import eta
from domain.eta import Moment
from domain.geo import Point
from domain.orders import Delivery
from domain.positions import PlacesOf
from services import events
from services.db import Reader, Writer
from services.eta.outside import Outside
from services.events import Event

PAGE_ROWS = 200
TELL_AGAIN_MINUTES = 3
"""How far the time moves before it is told again, minutes of the site."""

_COMING = text("""
SELECT t.order_id, t.site_id, t.rider_id, p.lat, p.lng, s.speed, r.vehicle,
  e.view->'rider_at_store'->>'rider_id' AS told_of,
  CAST(e.view->'rider_at_store'->>'at' AS timestamptz) AS told_at
FROM delivery_tasks t JOIN shops p ON p.shop_id = t.shop_id JOIN sites s ON s.site_id = t.site_id
  JOIN order_streams e ON e.order_id = t.order_id
  JOIN riders r ON r.site_id = t.site_id AND r.rider_id = t.rider_id
WHERE t.state = 'assigned' AND t.order_id > :after
ORDER BY t.order_id LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """A rider on the way to a store."""

    order_id: str
    rider_id: str
    at: datetime


async def look(
    reader: Reader, outside: Outside, places: PlacesOf, *, after: str, now: datetime
) -> tuple[list[Coming], str]:
    """What a page of orders has to be told, and the last of the page; empty: there are no more."""
    rows = await reader.all(_COMING, {"after": after, "limit": PAGE_ROWS})
    of_site: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        of_site[row.site_id].append(row.rider_id)
    known = {site_id: await places(site_id, riders) for site_id, riders in of_site.items()}
    news = []
    for row in rows:
        place = known[row.site_id].get(row.rider_id)
        if place is None:
            continue
        store = Point(row.lat, row.lng)
        conditions = await outside.at(store)
        at = eta.at_store(
            place,
            store,
            now,
            speed=row.speed,
            vehicle=eta.Vehicle(row.vehicle),
            moment=Moment(weather=conditions.weather, traffic=conditions.traffic),
        )
        moved = abs(at - row.told_at) * row.speed if row.told_at else timedelta()
        if row.told_of != row.rider_id or moved >= TELL_AGAIN_MINUTES * eta.MINUTE:
            news.append(Coming(order_id=row.order_id, rider_id=row.rider_id, at=at))
    return news, rows[-1].order_id if len(rows) == PAGE_ROWS else ""


async def tell(writer: Writer, coming: Coming) -> None:
    """One event in the caller's transaction; nothing where another rider comes, or nobody."""
    stream = await events.lock(writer, coming.order_id)
    if stream is None:
        return
    if (stream.view["delivery"], stream.view["rider_id"]) != (Delivery.ASSIGNED, coming.rider_id):
        return
    data = {"rider_at_store": {"rider_id": coming.rider_id, "at": coming.at}}
    event = Event(type="delivery.approaching", key=f"approaching:{stream.seq}", data=data)
    await events.append(writer, coming.order_id, event)
