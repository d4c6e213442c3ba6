"""The estimate after the promise: looked at while an order is on its way, told where it matters.

Told is a delay that is coming, when it has moved by minutes since it was told last, and that it
is over. Each telling is one public event under the order's stream lock.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from domain import eta
from domain.eta import Moment, Progress, Vehicle
from domain.geo import Point
from domain.orders import FINAL, Status
from domain.positions import PlacesOf
from services import events
from services.db import Reader, Writer
from services.eta import hands, history
from services.eta.hands import Hands
from services.eta.outside import Outside
from services.events import Event

PAGE_ROWS = 200
TELL_AGAIN_MINUTES = 3
"""How far an estimate moves before customers hear of it again, minutes of the site."""
_UNDER_WAY = text("""
SELECT t.order_id, t.site_id, t.zone_id, t.rider_id, t.state, t.settled, t.food_ready_at,
  t.picked_up_at, t.promised_at, s.speed, o.kitchen = 'ready' AS ready, q.distance_meters,
  coalesce(t.goods_lat, p.lat) AS lat, coalesce(t.goods_lng, p.lng) AS lng,
  e.view->'delay' AS delay, coalesce(r.vehicle, 'e_bike') AS vehicle
FROM delivery_tasks t JOIN orders o USING (order_id) JOIN quotes q ON q.quote_id = o.quote_id
  JOIN shops p ON p.shop_id = t.shop_id JOIN sites s ON s.site_id = t.site_id
  JOIN order_streams e ON e.order_id = t.order_id
  LEFT JOIN riders r ON r.site_id = t.site_id AND r.rider_id = t.rider_id
WHERE t.state NOT IN ('delivered', 'closed') AND t.state <> 'failed' AND t.held_at IS NULL
  AND t.order_id > :after
ORDER BY t.order_id LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What is to be told of an order."""

    order_id: str
    promised_at: datetime
    estimated_at: datetime
    delay: dict[str, Any] | None
    """{minutes, hints}; None: it will be in time after all."""


async def look(
    reader: Reader, outside: Outside, places: PlacesOf, *, after: str, now: datetime
) -> tuple[list[Word], str]:
    """What a page of orders has to be told, and the last of the page; empty: there are no more."""
    rows = await reader.all(_UNDER_WAY, {"after": after, "limit": PAGE_ROWS})
    hold = await hands.of(
        reader, places, list({(row.site_id, row.rider_id) for row in rows if row.rider_id})
    )
    load = await history.load(reader, list({(row.site_id, row.zone_id) for row in rows}))
    words = []
    for row in rows:
        conditions = await outside.at(Point(row.lat, row.lng))
        moment = load.get((row.site_id, row.zone_id), Moment())
        moment = replace(moment, weather=conditions.weather, traffic=conditions.traffic)
        estimate = eta.arrival(_progress(row, hold, moment), now, speed=row.speed)
        late = eta.delay_minutes(estimate, row.promised_at, speed=row.speed)
        told = row.delay["minutes"] if row.delay else 0
        if abs(late - told) >= TELL_AGAIN_MINUTES or (told and not late):
            delay = {"minutes": late, "hints": [hint.words() for hint in estimate.hints]}
            words.append(
                Word(
                    order_id=row.order_id,
                    promised_at=row.promised_at,
                    estimated_at=estimate.at - timedelta(microseconds=estimate.at.microsecond),
                    delay=delay if late else None,
                )
            )
    return words, rows[-1].order_id if len(rows) == PAGE_ROWS else ""


def _progress(row: Row[Any], hold: Hands, moment: Moment) -> Progress:
    searching = row.state in {"searching", "offered"}
    ready, food_ready_at = hold.food(row)
    return Progress(
        searching=searching,
        ready=ready,
        arrived=row.state == "arrived",
        food_ready_at=food_ready_at,
        picked_up_at=row.picked_up_at if hold.is_carried(row) else None,
        meters=row.distance_meters,
        moment=replace(moment, waiting=moment.waiting - (row.state == "searching")),
        vehicle=Vehicle(row.vehicle),
        way=hold.way(row),
    )


async def tell(writer: Writer, word: Word) -> None:
    """One event in the caller's transaction; nothing where the order has ended meanwhile."""
    stream = await events.lock(writer, word.order_id)
    if stream is None or Status(stream.view["status"]) in FINAL | {Status.DELIVERED}:
        return
    data = {"estimated_at": word.estimated_at, "delay": word.delay}
    event = Event(type="order.estimated", key=f"estimated:{stream.seq}", data=data)
    await events.append(writer, word.order_id, event)
