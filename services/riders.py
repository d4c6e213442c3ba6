"""Riders' shifts, and which order a task belongs to; who gets a task is dispatch's."""

from typing import Any

from sqlalchemy import Row, text

from domain.errors import NotFound
from services.db import Reader, Writer

_SHIFT = text("""
UPDATE riders SET on_shift = :on_shift, seen_at = now()
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
_TASK = text("""
SELECT task_id, order_id, rider_id, token, state FROM delivery_tasks
WHERE task_id = :task_id AND site_id = :site_id
""")
_STATE = text("SELECT state FROM delivery_tasks WHERE order_id = :order_id")


async def set_shift(writer: Writer, *, site_id: str, rider_id: str, on: bool) -> None:
    """Begin or end the shift, now; repeating it changes nothing. Raises NotFound."""
    rider = {"site_id": site_id, "rider_id": rider_id}
    if not await writer.run(_SHIFT, rider | {"on_shift": on}):
        raise NotFound("there is no such rider")
    await writer.run(_BEGIN if on else _END, rider)


async def task(reader: Reader, *, site_id: str, task_id: str) -> Row[Any]:
    """A task of the site: task_id, order_id, rider_id, token, state; raises NotFound."""
    row = await reader.first(_TASK, {"task_id": task_id, "site_id": site_id})
    if row is None:
        raise NotFound("there is no such task")
    return row


async def task_state(reader: Reader, order_id: str) -> str | None:
    """The state of an order's task, or None before there is one."""
    state = await reader.scalar(_STATE, {"order_id": order_id})
    return None if state is None else str(state)
