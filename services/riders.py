"""Riders' shifts, and which order a task belongs to; who gets a task is dispatch's."""

from sqlalchemy import text

from domain.errors import NotFound
from domain.geo import Point
from services.db import Reader, Writer

_SHIFT = text("""
UPDATE riders SET on_shift = :on_shift, seen_at = now(),
  lat = coalesce(CAST(:lat AS double precision), lat),
  lng = coalesce(CAST(:lng AS double precision), lng)
WHERE site_id = :site_id AND rider_id = :rider_id
""")
_BEGIN = text("""
INSERT INTO shifts (site_id, rider_id, started_at)
SELECT :site_id, :rider_id, now() WHERE NOT EXISTS (
  SELECT 1 FROM shifts WHERE site_id = :site_id AND rider_id = :rider_id AND ended_at IS NULL)
""")
_END = text("""
UPDATE shifts SET ended_at = now()
WHERE site_id = :site_id AND rider_id = :rider_id AND ended_at IS NULL
""")
_ORDER_OF = text("""
SELECT order_id FROM delivery_tasks WHERE task_id = :task_id AND site_id = :site_id
""")
_STATE = text("SELECT state FROM delivery_tasks WHERE order_id = :order_id")


async def set_shift(
    writer: Writer, *, site_id: str, rider_id: str, on: bool, place: Point | None
) -> None:
    """Begin or end the shift, now; repeating it changes nothing. Raises NotFound."""
    rider = {"site_id": site_id, "rider_id": rider_id}
    where = {"lat": place.lat if place else None, "lng": place.lng if place else None}
    if not await writer.run(_SHIFT, rider | where | {"on_shift": on}):
        raise NotFound("there is no such rider")
    await writer.run(_BEGIN if on else _END, rider)


async def order_of(reader: Reader, *, site_id: str, task_id: str) -> str:
    """The order a task belongs to; raises NotFound."""
    order_id = await reader.scalar(_ORDER_OF, {"task_id": task_id, "site_id": site_id})
    if order_id is None:
        raise NotFound("there is no such task")
    return str(order_id)


async def task_state(reader: Reader, order_id: str) -> str | None:
    """The state of an order's task, or None before there is one."""
    state = await reader.scalar(_STATE, {"order_id": order_id})
    return None if state is None else str(state)
