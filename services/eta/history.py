"""What the platform has lived through: what was known at each promise, and what came of it.

Read from the quotes themselves, so that a model learns from exactly what it will be asked with,
and never from what was known only later. No row of it says who ordered or who rode.
"""

from collections.abc import Sequence
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
    AND q.window_to IS NULL AND (:site_id = '' OR o.site_id = :site_id)
  ORDER BY o.placed_at DESC LIMIT :limit
) AS newest ORDER BY placed_at
""")
# What is wished for much later makes nobody busy now.
_BUSY = """
  (SELECT count(*) FROM delivery_tasks t
    WHERE t.site_id = z.site_id AND t.zone_id = z.zone_id AND t.state = 'searching'
      AND t.search_from < now() + interval '1 hour') AS waiting,
  (SELECT count(*) FROM riders r
    WHERE r.site_id = z.site_id AND r.zone_id = z.zone_id AND r.on_shift
      AND NOT EXISTS (SELECT FROM delivery_tasks t WHERE t.site_id = r.site_id
        AND t.rider_id = r.rider_id
        AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived'))) AS riders
"""
_MOMENT = text(f"""
SELECT (SELECT count(*) FROM orders
    WHERE shop_id = z.shop_id AND status = 'preparing' AND ended_at IS NULL
      AND coalesce(promised_at, now()) < now() + interval '2 hours') AS cooking, {_BUSY}
FROM shops z WHERE z.shop_id = :shop_id
""")  # noqa: S608 - only constants
_LOAD = text(f"""
SELECT z.site_id, z.zone_id, {_BUSY}
FROM unnest(CAST(:sites AS text[]), CAST(:zones AS text[])) AS z(site_id, zone_id)
""")  # noqa: S608 - only constants


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


async def load(reader: Reader, zones: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Moment]:
    """How busy the riders of these zones are, each named by its site and itself."""
    named = {"sites": [site for site, _ in zones], "zones": [zone for _, zone in zones]}
    return {
        (row.site_id, row.zone_id): Moment(waiting=row.waiting, riders=row.riders)
        for row in await reader.all(_LOAD, named)
    }
