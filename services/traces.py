"""Where a carried order has been, for disputes: coarse, sealed by its rider's key, for a while."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Row, text

from domain.geo import Point
from domain.positions import Fix, cell
from services import personal
from services.db import Reader, Writer
from services.personal import Item, SubjectErased

STEP_SECONDS = 30.0
"""Of a site of speed 1, between two rows of an order."""
PAGE_ROWS = 200
ROWS_MAX = 500
"""What is read of an order at once: more than four hours."""

_DUE = text("""
SELECT t.order_id, t.site_id, t.rider_id, last.at FROM delivery_tasks t
  JOIN sites s ON s.site_id = t.site_id
  LEFT JOIN LATERAL (SELECT max(p.at) AS at FROM position_traces p
    WHERE p.order_id = t.order_id) last ON true
WHERE t.state IN ('picked_up', 'arrived') AND t.order_id > :after
  AND (last.at IS NULL OR last.at < now() - make_interval(secs => :step_seconds / s.speed))
ORDER BY t.order_id LIMIT :limit
""")
_KEEP = text("""
INSERT INTO position_traces (order_id, at, site_id, rider_id, sealed, delete_at)
VALUES (:order_id, :at, :site_id, :rider_id, :sealed, :delete_at) ON CONFLICT DO NOTHING
""")
_OF_ORDER = text("""
SELECT order_id, site_id, rider_id, at, sealed FROM position_traces
WHERE order_id = :order_id AND site_id = :site_id ORDER BY at LIMIT :limit
""")


async def due(reader: Reader, *, after: str) -> Sequence[Row[Any]]:
    """A page of orders being carried whose last row is old: order_id, site_id, rider_id, at."""
    page = {"after": after, "limit": PAGE_ROWS, "step_seconds": STEP_SECONDS}
    return await reader.all(_DUE, page)


async def keep(
    writer: Writer, orders: Sequence[Row[Any]], places: Mapping[tuple[str, str], Fix], *, days: int
) -> int:
    """A row for each of these orders whose rider has moved since; how many, in the transaction.

    `places` is by site and rider; each is kept as the centre of its cell.
    """
    kept = 0
    for order in orders:
        fix = places.get((order.site_id, order.rider_id))
        if fix is None:
            continue
        at = datetime.fromtimestamp(fix.at_ms / 1_000, UTC)
        if order.at is not None and at <= order.at:
            continue
        centre = cell(fix.place)
        plain = orjson.dumps([centre.lat, centre.lng])
        try:
            sealed = await personal.seal(writer, _item(order, at), plain)
        except SubjectErased:
            continue
        row = {"order_id": order.order_id, "site_id": order.site_id, "rider_id": order.rider_id}
        row |= {"at": at, "sealed": sealed, "delete_at": at + timedelta(days=days)}
        kept += await writer.run(_KEEP, row)
    return kept


async def of_order(
    reader: Reader, *, site_id: str, order_id: str
) -> list[tuple[datetime, str, Point]]:
    """An order's trace, (time, rider, centre of the cell), without riders who were erased."""
    asked = {"order_id": order_id, "site_id": site_id, "limit": ROWS_MAX}
    trace = []
    for row in await reader.all(_OF_ORDER, asked):
        plain = await personal.unseal(reader, _item(row, row.at), row.sealed)
        if plain is not None:
            trace.append((row.at, row.rider_id, Point(*orjson.loads(plain))))
    return trace


def _item(row: Row[Any], at: datetime) -> Item:
    """The name a row is sealed under: it can't change places."""
    ref = f"{row.order_id}:{round(at.timestamp() * 1_000)}"
    return Item(row.site_id, f"rider:{row.rider_id}", "trace", ref)
