"""Riders' shifts and places, and which order a task belongs to; who gets a task is dispatch's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain.errors import NotFound
from domain.geo import Point
from services.db import Database, Reader, Writer

_SHIFT = text("""
UPDATE riders SET on_shift = :on_shift, seen_at = now(), paused_at = NULL, pause_code = '',
  lat = coalesce(CAST(:lat AS double precision), lat),
  lng = coalesce(CAST(:lng AS double precision), lng)
WHERE site_id = :site_id AND rider_id = :rider_id
""")
_BEGIN = text("""
INSERT INTO shifts (site_id, rider_id, started_at)
SELECT :site_id, :rider_id, now() WHERE NOT EXISTS (
  SELECT 1 FROM shifts WHERE site_id = :site_id AND rider_id = :rider_id AND ended_at IS NULL)
""")
_PLAN = text("""
UPDATE shifts SET ends_at = :ends_at
WHERE site_id = :site_id AND rider_id = :rider_id AND ended_at IS NULL
""")
_MOVE = text("""
UPDATE riders SET lat = :lat, lng = :lng, seen_at = now()
WHERE site_id = :site_id AND rider_id = :rider_id
""")
_TASK = text("""
SELECT task_id, order_id, rider_id, token, state, goods_lat IS NOT NULL AS left_behind
FROM delivery_tasks WHERE task_id = :task_id AND site_id = :site_id
""")
_PLACES = text("""
SELECT rider_id, lat, lng FROM riders
WHERE site_id = :site_id AND rider_id = ANY(:rider_ids) AND lat IS NOT NULL AND lng IS NOT NULL
""")
_STATE = text("SELECT state FROM delivery_tasks WHERE order_id = :order_id")


async def set_shift(
    writer: Writer,
    *,
    site_id: str,
    rider_id: str,
    on: bool,
    place: Point | None,
    ends_at: datetime | None = None,
) -> None:
    """Begin the shift, go on with it after a pause, or take no more offers; repeating it is one.

    The shift's end is dispatch's (`end_shift_if_done`). Raises NotFound.
    """
    rider = {"site_id": site_id, "rider_id": rider_id}
    where = {"lat": place.lat if place else None, "lng": place.lng if place else None}
    if not await writer.run(_SHIFT, rider | where | {"on_shift": on}):
        raise NotFound("there is no such rider")
    if on:
        await writer.run(_BEGIN, rider)
    if ends_at is not None:
        await writer.run(_PLAN, rider | {"ends_at": ends_at})


async def move(writer: Writer, *, site_id: str, rider_id: str, place: Point) -> None:
    """A position is a sign of life; raises NotFound."""
    rider = {"site_id": site_id, "rider_id": rider_id}
    if not await writer.run(_MOVE, rider | {"lat": place.lat, "lng": place.lng}):
        raise NotFound("there is no such rider")


async def places(database: Database, site_id: str, rider_ids: Sequence[str]) -> Mapping[str, Point]:
    """Where these riders of a site were last, those of whom it is known."""
    async with database.read() as reader:
        rows = await reader.all(_PLACES, {"site_id": site_id, "rider_ids": list(rider_ids)})
    return {row.rider_id: Point(row.lat, row.lng) for row in rows}


async def task(reader: Reader, *, site_id: str, task_id: str) -> Row[Any]:
    """A task of the site: task_id, order_id, rider_id, token, state; raises NotFound.

    `left_behind`: its goods wait where the last rider could not go on.
    """
    row = await reader.first(_TASK, {"task_id": task_id, "site_id": site_id})
    if row is None:
        raise NotFound("there is no such task")
    return row


async def task_state(reader: Reader, order_id: str) -> str | None:
    """The state of an order's task, or None before there is one."""
    state = await reader.scalar(_STATE, {"order_id": order_id})
    return None if state is None else str(state)
