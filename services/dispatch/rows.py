"""What every act on a task shares: reading its row, ending offers, giving it back, asking support.

Offers are `open`, then `accepted`, `declined`, `expired`, `withdrawn` (somebody else has it,
nobody needs to, or a round of grabbing is over: not to grab is no answer), or `released` (the rider
may not have this task again: it was given back, taken away, or declined for a reason that won't
change).
"""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, text

from domain.errors import NotFound
from domain.orders import Delivery
from services import events
from services.db import Reader, Writer

OfferState = Literal["open", "accepted", "declined", "expired", "withdrawn", "released"]

ASSIGNED = frozenset({Delivery.ASSIGNED, Delivery.AT_STORE})
"""A rider has the task, and not yet the food."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task as committed with the order's event `seq`; `token` fences its rider's acts."""

    task_id: str
    order_id: str
    state: str
    token: int
    seq: int


_ORDER_OF = text("""
SELECT order_id FROM delivery_tasks WHERE task_id = :task_id AND site_id = :site_id
""")
_ROW = text("""
SELECT task_id, t.order_id, t.site_id, state, rider_id, token, proof_tries,
  rider_silence_seconds, unreachable_until,
  coalesce(unreachable_until <= coalesce(held_at, now()), false) AS waited,
  calls, goods_lat IS NOT NULL AS left_behind, customer_id, seq,
  coalesce(view ->> 'dropoff', 'hand') AS dropoff
FROM delivery_tasks t JOIN order_streams USING (order_id) WHERE task_id = :task_id
""")
_END_OFFERS = text("""
WITH ended AS (
  UPDATE offers SET answered_at = now(), state = CASE
    WHEN grab AND state = 'open' AND :becomes = 'expired' THEN 'withdrawn' ELSE :becomes END
  WHERE task_id = :task_id AND state = :was AND rider_id <> :but_rider_id
  RETURNING site_id, task_id, rider_id, token, expires_at
)
INSERT INTO outbox (site_id, order_id, seq, message)
SELECT site_id, :order_id, 0, jsonb_build_object(
  'type', 'offer.withdrawn', 'rider_id', rider_id, 'site_id', site_id, 'task_id', task_id,
  'token', token, 'expires_at', to_char(expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
FROM ended
""")
_SEARCH_AGAIN = text("""
UPDATE delivery_tasks SET state = 'searching', rider_id = '', token = token + 1,
  proof_tries = 0, support_asked = false, gave_up = false, assigned_at = NULL, at_store_at = NULL,
  picked_up_at = NULL, arrived_at = NULL, unreachable_until = NULL, calls = 0, changed_at = now(),
  kitchen_late_at = NULL,
  search_from = greatest(search_from, now()),
  support_at = support_at + greatest(now() - search_from, interval '0'),
  give_up_at = give_up_at + greatest(now() - search_from, interval '0')
WHERE task_id = :task_id AND token = :token AND state = ANY(:states)
RETURNING token
""")
_ON_SHIFT = text("""
SELECT on_shift OR paused_at IS NOT NULL FROM riders
WHERE site_id = :site_id AND rider_id = :rider_id FOR UPDATE
""")
_END_SHIFT = text("""
WITH ended AS (
  UPDATE shifts SET ended_at = now()
  WHERE site_id = :site_id AND rider_id = :rider_id AND ended_at IS NULL AND NOT EXISTS (
    SELECT FROM delivery_tasks t WHERE t.site_id = :site_id AND t.rider_id = :rider_id
      AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived'))
  RETURNING site_id, rider_id
)
INSERT INTO outbox (site_id, order_id, seq, message)
SELECT site_id, '', 0,
  jsonb_build_object('type', 'shift.ended', 'rider_id', rider_id, 'site_id', site_id)
FROM ended
""")
_TICKET = text("""
INSERT INTO tickets (site_id, order_id, kind, key, due_at)
VALUES (:site_id, :order_id, :kind, :key, now() + :due_seconds * interval '1 second')
ON CONFLICT (order_id, key) DO NOTHING
""")


async def lock(writer: Writer, *, site_id: str, task_id: str) -> Row[Any]:
    """Take the stream lock of the task's order; the task's row.

    Raises:
        NotFound: the site has no such task.
    """
    order_id = await writer.scalar(_ORDER_OF, {"task_id": task_id, "site_id": site_id})
    if order_id is None or await events.lock(writer, order_id) is None:
        raise NotFound
    return await read(writer, task_id)


async def read(reader: Reader, task_id: str) -> Row[Any]:
    """The task's row and its order's `seq`."""
    row = await reader.first(_ROW, {"task_id": task_id})
    if row is None:
        raise NotFound
    return row


def state_of(row: Row[Any]) -> TaskState:
    """The public part of a task's row."""
    return TaskState(
        task_id=row.task_id, order_id=row.order_id, state=row.state, token=row.token, seq=row.seq
    )


async def end_offers(
    writer: Writer,
    task: Row[Any] | TaskState,
    *,
    becomes: OfferState,
    was: OfferState = "open",
    but_rider_id: str = "",
) -> None:
    """End the task's offers in one state and tell their riders."""
    await writer.run(
        _END_OFFERS,
        {
            "task_id": task.task_id,
            "order_id": task.order_id,
            "was": was,
            "becomes": becomes,
            "but_rider_id": but_rider_id,
        },
    )


async def search_again(
    writer: Writer,
    task: Row[Any],
    *,
    states: frozenset[Delivery],
    accepted_becomes: OfferState,
) -> int | None:
    """Take the task from whoever has it; timers start anew. The new token, or None: too late.

    An accepted offer becomes `released` (that rider is not asked again) or `expired` (may be).
    """
    token = await writer.scalar(
        _SEARCH_AGAIN, {"task_id": task.task_id, "token": task.token, "states": [*map(str, states)]}
    )
    if token is None:
        return None
    await end_offers(writer, task, becomes="withdrawn")
    await end_offers(writer, task, was="accepted", becomes=accepted_becomes)
    await end_shift_if_done(writer, site_id=task.site_id, rider_id=task.rider_id)
    return int(token)


async def end_shift_if_done(writer: Writer, *, site_id: str, rider_id: str) -> bool:
    """End the shift of a rider who takes no more offers and has nothing in hand; whether it is.

    The rider's line hears of it, and the relay has the place forgotten.

    The rider's row is locked first: of two last tasks at once, the second sees the first gone.
    """
    rider = {"site_id": site_id, "rider_id": rider_id}
    return await writer.scalar(_ON_SHIFT, rider) is False and bool(
        await writer.run(_END_SHIFT, rider)
    )


async def ask_support(
    writer: Writer, task: Row[Any], *, kind: str, due_seconds: float, reason_code: str = ""
) -> None:
    """One ticket and timeline line per kind and token."""
    key = f"{kind}:{task.token}"
    common = {"site_id": task.site_id, "order_id": task.order_id, "kind": kind, "key": key}
    await writer.run(_TICKET, common | {"due_seconds": due_seconds})
    await events.note(
        writer,
        order_id=task.order_id,
        site_id=task.site_id,
        kind=f"support_asked.{kind}",
        key=key,
        data={"task_id": task.task_id, "reason_code": reason_code},
    )
