"""Riders' shifts as they see them, their pauses, and pauses that last too long; places are riders'.

Who is on shift gets offers. Who pauses, or has ended with orders in hand, does not, and goes on
with those; such a shift ends when the last of them is handed over (`services.dispatch`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain import riding
from domain.errors import ActionNotAllowed, NotFound
from services.db import Reader, Writer
from services.events import dumps

PAGE_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A rider's shift now; `state` is on, paused, ending or off."""

    state: str
    pause_code: str
    paused_at: datetime | None
    started_at: datetime | None
    ends_at: datetime | None
    """As planned."""
    in_hand: int
    """Tasks not handed over yet."""


_PAUSE = text("""
UPDATE riders r SET on_shift = false, pause_code = :code, paused_at = coalesce(paused_at, now())
WHERE site_id = :site_id AND rider_id = :rider_id AND (on_shift OR paused_at IS NOT NULL)
""")
_SHIFT = text("""
SELECT r.pause_code, r.paused_at, s.started_at, s.ends_at,
  CASE WHEN s.id IS NULL THEN 'off' WHEN r.on_shift THEN 'on'
    WHEN r.paused_at IS NOT NULL THEN 'paused' ELSE 'ending' END AS state,
  (SELECT count(*) FROM delivery_tasks t WHERE t.site_id = r.site_id AND t.rider_id = r.rider_id
    AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived')) AS in_hand
FROM riders r LEFT JOIN shifts s ON s.site_id = r.site_id AND s.rider_id = r.rider_id
  AND s.ended_at IS NULL
WHERE r.site_id = :site_id AND r.rider_id = :rider_id
""")
_OVERLONG = text("""
SELECT r.site_id, r.rider_id, r.pause_code, r.paused_at,
  'rider_paused:' || r.site_id || ':' || r.rider_id || ':' || extract(epoch FROM r.paused_at) AS key
FROM riders r JOIN sites s USING (site_id)
WHERE r.paused_at IS NOT NULL AND r.paused_at < now() - make_interval(
  secs => coalesce(CAST(CAST(:most AS jsonb) ->> r.pause_code AS float8), 0) / s.speed)
AND NOT EXISTS (SELECT FROM tickets k WHERE k.order_id = '' AND k.key =
  'rider_paused:' || r.site_id || ':' || r.rider_id || ':' || extract(epoch FROM r.paused_at))
ORDER BY r.paused_at LIMIT :limit
""")


async def pause(writer: Writer, *, site_id: str, rider_id: str, code: str) -> None:
    """No new offers until the shift goes on; a repeat may name another reason.

    Raises:
        Invalid: there is no such reason.
        ActionNotAllowed: the rider is not on shift.
    """
    riding.pause(code)
    rider = {"site_id": site_id, "rider_id": rider_id}
    if not await writer.run(_PAUSE, rider | {"code": code}):
        raise ActionNotAllowed("only who is on shift can pause", state="off")


async def of(reader: Reader, *, site_id: str, rider_id: str) -> Shift:
    """The rider's shift; raises NotFound."""
    row = await reader.first(_SHIFT, {"site_id": site_id, "rider_id": rider_id})
    if row is None:
        raise NotFound("there is no such rider")
    return Shift(**row._mapping)  # noqa: SLF001


async def overlong(reader: Reader) -> Sequence[Row[Any]]:
    """Pauses beyond their reason's bound that support has not been told of, the oldest first."""
    most = {code: one.most_seconds for code, one in riding.PAUSES.items()}
    return await reader.all(_OVERLONG, {"most": dumps(most), "limit": PAGE_ROWS})
