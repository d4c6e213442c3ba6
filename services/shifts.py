"""Riders' shifts as they see them, their pauses, and what lasts too long; places are riders'.

Who is on shift gets offers. Who pauses, or has ended with orders in hand, does not, and goes on
with those; such a shift ends when the last of them is handed over (`services.dispatch`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain import riding
from domain.errors import ActionNotAllowed, NotFound
from services.db import Reader, Writer
from services.events import dumps

PAGE_ROWS = 200
SILENT_SECONDS = 1_800.0
"""Of life: who shows no sign of it for so long has gone home; phones report every minute."""
SILENT_REAL_SECONDS = 300.0
"""Of real time, at least: networks and machines take no less however fast a site lives."""


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


_OFF = text("""
SELECT r.site_id, r.rider_id FROM riders r JOIN unnest(CAST(:sites AS text[]),
  CAST(:riders AS text[])) AS a (site_id, rider_id) USING (site_id, rider_id)
WHERE NOT r.on_shift AND r.paused_at IS NULL AND NOT EXISTS (
  SELECT FROM delivery_tasks t WHERE t.site_id = r.site_id AND t.rider_id = r.rider_id
    AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived'))
""")
_OVERDUE = """
SELECT r.site_id, r.rider_id,
  CASE WHEN s.ends_at <= now() THEN 'shift_overdue' ELSE 'rider_gone' END AS finding
FROM riders r JOIN sites i USING (site_id)
JOIN shifts s ON s.site_id = r.site_id AND s.rider_id = r.rider_id AND s.ended_at IS NULL
WHERE (r.on_shift OR r.paused_at IS NOT NULL) AND (s.ends_at <= now()
  OR greatest(r.seen_at, s.started_at, r.paused_at + make_interval(
    secs => coalesce(CAST(CAST(:most AS jsonb) ->> r.pause_code AS float8), 0) / i.speed))
  < now() - make_interval(secs => greatest(:silent / i.speed, :silent_real)))
"""
_ALL_OVERDUE = text(_OVERDUE + "ORDER BY r.site_id, r.rider_id LIMIT :limit")
_STILL_OVERDUE = text(_OVERDUE + "AND r.site_id = :site_id AND r.rider_id = :rider_id")
_LOCK = text("SELECT FROM riders WHERE site_id = :site_id AND rider_id = :rider_id FOR UPDATE")
_STOP = text("""
UPDATE riders SET on_shift = false, paused_at = NULL, pause_code = ''
WHERE site_id = :site_id AND rider_id = :rider_id
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
    return await reader.all(_OVERLONG, {"most": _most(), "limit": PAGE_ROWS})


async def off(reader: Reader, riders: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of these riders, each a site and an id, who are not on shift and carry nothing."""
    asked = {"sites": [who[0] for who in riders], "riders": [who[1] for who in riders]}
    return [(row.site_id, row.rider_id) for row in await reader.all(_OFF, asked)]


async def overdue(reader: Reader) -> Sequence[Row[Any]]:
    """A page of shifts, by site_id and rider_id, that nobody's tap will end.

    Their plan is over, or their rider is silent; who pauses may be, for as long as the reason lets.
    """
    return await reader.all(_ALL_OVERDUE, _bounds() | {"limit": PAGE_ROWS})


async def stop(writer: Writer, *, site_id: str, rider_id: str) -> str:
    """No more offers for the rider of such a shift, as by a tap; what was found, "": it goes on."""
    rider = {"site_id": site_id, "rider_id": rider_id}
    # A tap on the shift locks the row too: it is over, or waits for this.
    await writer.run(_LOCK, rider)
    found = await writer.first(_STILL_OVERDUE, _bounds() | rider)
    if found is None:
        return ""
    await writer.run(_STOP, rider)
    return str(found.finding)


def _bounds() -> dict[str, Any]:
    return {"most": _most(), "silent": SILENT_SECONDS, "silent_real": SILENT_REAL_SECONDS}


def _most() -> str:
    return dumps({code: one.most_seconds for code, one in riding.PAUSES.items()})
