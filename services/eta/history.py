"""What the platform has lived through: what was known at each promise, and what came of it.

Read from the quotes themselves, so that a model learns from exactly what it will be asked with,
and never from what was known only later. No row of it says who ordered or who rode.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text

from domain.eta import Moment
from services.db import Reader
from services.eta.outside import Conditions

ROWS_MAX = 200_000
_LIVED = text("""
SELECT * FROM (
  SELECT o.placed_at, q.promise->'known' AS known,
    CAST(extract(epoch FROM t.delivered_at - o.accepted_at) / 60 * s.speed AS float8) AS minutes
  FROM orders o JOIN quotes q USING (quote_id) JOIN delivery_tasks t ON t.order_id = o.order_id
    JOIN sites s ON s.site_id = o.site_id
  WHERE t.state = 'delivered' AND t.delivered_at > o.accepted_at AND q.promise ? 'known'
    AND (:site_id = '' OR o.site_id = :site_id)
  ORDER BY o.placed_at DESC LIMIT :limit
) AS newest ORDER BY placed_at
""")
_MOMENT = text("""
SELECT
  (SELECT count(*) FROM orders
    WHERE shop_id = s.shop_id AND status = 'preparing' AND ended_at IS NULL) AS cooking,
  (SELECT count(*) FROM delivery_tasks
    WHERE site_id = s.site_id AND zone_id = s.zone_id AND state = 'searching') AS waiting,
  (SELECT count(*) FROM riders r
    WHERE r.site_id = s.site_id AND r.zone_id = s.zone_id AND r.on_shift
      AND NOT EXISTS (SELECT FROM delivery_tasks t WHERE t.site_id = r.site_id
        AND t.rider_id = r.rider_id
        AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived'))) AS riders
FROM shops s WHERE s.shop_id = :shop_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """Orders that were delivered, oldest first."""

    placed_at: list[datetime]
    known: list[dict[str, Any]]
    minutes: list[float]
    """From the shop's acceptance to the hand-over, on the site's clock."""


async def lived(reader: Reader, *, site_id: str = "", limit: int = ROWS_MAX) -> Lived:
    """The newest orders delivered, of one site or of all."""
    rows = await reader.all(_LIVED, {"site_id": site_id, "limit": limit})
    return Lived(
        placed_at=[row.placed_at for row in rows],
        known=[row.known for row in rows],
        minutes=[row.minutes for row in rows],
    )


async def moment(reader: Reader, shop_id: str, conditions: Conditions) -> Moment:
    """How busy the shop's kitchen and its zone's riders are now, under these conditions."""
    row = await reader.first(_MOMENT, {"shop_id": shop_id})
    here = Moment(weather=conditions.weather, traffic=conditions.traffic)
    return here if row is None else replace(here, **row._mapping)  # noqa: SLF001
