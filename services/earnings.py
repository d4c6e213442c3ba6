"""What riders have earned, read from the ledger: per order of a day, and per rider of a zone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from domain.books import account
from domain.earnings import EARNINGS, Share
from domain.ledger import CURRENCY
from services.db import Reader

ORDERS_MAX = 1_000
"""Of a rider's day."""
RIDERS_MAX = 5_000
"""Of a zone."""

_OF_DAY = text("""
SELECT order_id, max(at) AS at, jsonb_object_agg(event, fen) AS by_event
FROM (
  SELECT j.order_id, j.event, max(e.posted_at) AS at,
    sum(CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END)::bigint AS fen
  FROM ledger_entries e JOIN ledger_journals j ON j.id = e.journal_id
  WHERE e.site_id = :site_id AND e.account = :account AND e.currency = :currency
    AND e.posted_at >= :since AND e.posted_at < :until AND j.event = ANY(:events)
  GROUP BY j.order_id, j.event
) earned
GROUP BY order_id ORDER BY at, order_id LIMIT :limit
""")
_OF_ZONE = text("""
SELECT r.rider_id, coalesce(m.orders, 0) AS orders, coalesce(m.fen, 0)::bigint AS earned_fen,
  s.seconds * i.speed AS shift_seconds
FROM riders r JOIN sites i USING (site_id) JOIN (
  SELECT rider_id, sum(CAST(extract(epoch FROM
    least(coalesce(ended_at, now()), :until) - greatest(started_at, :since)) AS float8)) AS seconds
  FROM shifts WHERE site_id = :site_id AND started_at < :until
    AND coalesce(ended_at, now()) > :since
  GROUP BY rider_id
) s ON s.rider_id = r.rider_id
LEFT JOIN LATERAL (
  SELECT count(DISTINCT j.order_id) AS orders,
    sum(CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END) AS fen
  FROM ledger_entries e JOIN ledger_journals j ON j.id = e.journal_id
  WHERE e.site_id = r.site_id AND e.account = 'rider\\:' || r.rider_id || '\\:payable'
    AND e.currency = :currency AND e.posted_at >= :since AND e.posted_at < :until
    AND j.event = ANY(:events)
) m ON true
WHERE r.site_id = :site_id AND r.zone_id = :zone_id
ORDER BY r.rider_id LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What a rider has earned by one order, fen."""

    order_id: str
    at: datetime
    parts: dict[str, int] = field(default_factory=dict)
    """By what it is: `fee`, `tip`."""

    @property
    def earned_fen(self) -> int:
        """All of it."""
        return sum(self.parts.values())


async def of_day(
    reader: Reader, *, site_id: str, rider_id: str, since: datetime, until: datetime
) -> list[Earned]:
    """A rider's orders of a time, oldest first, as the ledger has them."""
    rows = await reader.all(
        _OF_DAY,
        {
            "site_id": site_id,
            "account": account("rider", rider_id=rider_id).code,
            "currency": CURRENCY,
            "since": since,
            "until": until,
            "events": list(EARNINGS),
            "limit": ORDERS_MAX,
        },
    )
    return [
        Earned(
            order_id=row.order_id,
            at=row.at,
            parts=_parts(row.by_event),
        )
        for row in rows
    ]


def _parts(by_event: Mapping[str, int]) -> dict[str, int]:
    parts: Counter[str] = Counter()
    for event, fen in by_event.items():
        parts[EARNINGS[event]] += fen
    return dict(parts)


async def of_zone(
    reader: Reader, *, site_id: str, zone_id: str, since: datetime, until: datetime
) -> list[Share]:
    """Everybody of the zone who was on shift in a time, by id."""
    rows = await reader.all(
        _OF_ZONE,
        {
            "site_id": site_id,
            "zone_id": zone_id,
            "currency": CURRENCY,
            "since": since,
            "until": until,
            "events": list(EARNINGS),
            "limit": RIDERS_MAX,
        },
    )
    return [Share(**row._mapping) for row in rows]  # noqa: SLF001
