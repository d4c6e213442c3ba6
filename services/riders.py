"""Riders' shifts, and which order a task belongs to; who gets a task is dispatch's."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain.errors import NotFound
from services.db import Reader, Writer

_SHIFT = text("""
UPDATE riders SET on_shift = :on_shift, seen_at = now(), paused_at = NULL, pause_code = ''
WHERE site_id = :site_id AND rider_id = :rider_id
""")
_BEGIN = text("""
INSERT INTO shifts (site_id, rider_id, started_at)
SELECT :site_id, :rider_id, now() WHERE NOT EXISTS (
  SELECT 1 FROM shifts WHERE site_id = :site_id AND rider_id = :rider_id AND ended_at IS NULL)
""")
_PLAN = text("""
UPDATE shifts SET ends_at = coalesce(CAST(:ends_at AS timestamptz),
  CASE WHEN ends_at > now() THEN ends_at END)
WHERE site_id = :site_id AND rider_id = :rider_id AND ended_at IS NULL
""")
_TASK = text("""
SELECT task_id, order_id, rider_id, token, state, goods_lat IS NOT NULL AS left_behind
FROM delivery_tasks WHERE task_id = :task_id AND site_id = :site_id
""")
_STATE = text("SELECT state FROM delivery_tasks WHERE order_id = :order_id")


async def set_shift(
    writer: Writer, *, site_id: str, rider_id: str, on: bool, ends_at: datetime | None = None
) -> None:
    """Begin the shift, go on with it after a pause, or take no more offers; repeating it is one.

    Who goes on beyond the planned end has no plan until there is a new one. The shift's end is
    dispatch's (`end_shift_if_done`). Raises NotFound.
    """
    rider = {"site_id": site_id, "rider_id": rider_id}
    if not await writer.run(_SHIFT, rider | {"on_shift": on}):
        raise NotFound("there is no such rider")
    if on:
        await writer.run(_BEGIN, rider)
    if on or ends_at is not None:
        await writer.run(_PLAN, rider | {"ends_at": ends_at})


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
