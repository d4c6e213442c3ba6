"""A kitchen says when one order will be ready: the task's times, and what its customer is told.

The order's workflow has nothing to decide by it, so it is one transaction under the stream's lock.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text

from domain import eta
from domain.contracts.orders import Step
from domain.errors import ActionNotAllowed, NotFound
from domain.eta import Estimate, Hint, Moment, Progress
from domain.orders import Delivery, Status
from services import dispatch, events, orders, pickups
from services.db import Reader, Writer
from services.events import Event

CHANGES_MAX = 10
"""How often a kitchen may change its mind about one order."""
HINT = "the kitchen takes longer"
LET_GO = timedelta(minutes=10)
"""Of the site: by so much later than was said, and whoever is asked or on the way is let go."""

_ORDER = text("""
SELECT o.promised_at, s.speed, q.distance_meters, t.task_id, t.state,
  coalesce(t.food_ready_at, p.food_ready_at) AS food_ready_at, now() AS now,
  (SELECT count(*) FROM order_events e
   WHERE e.order_id = o.order_id AND e.type = :changed) AS changes
FROM orders o JOIN sites s USING (site_id) JOIN quotes q USING (quote_id)
LEFT JOIN delivery_tasks t ON t.order_id = o.order_id
LEFT JOIN pickups p ON p.order_id = o.order_id
WHERE o.order_id = :order_id
""")


async def change(writer: Writer, step: Step, minutes: float) -> dict[str, Any]:
    """It will be ready so many minutes of the site from now; what the public state has of it.

    The estimate and its delay are told with it, before the delay happens. A repeat under the
    step's key changes nothing.

    Raises:
        ActionNotAllowed: the kitchen is not at work on it, or has changed its mind too often.
    """
    stream, repeated = await orders.begin(writer, step)
    if repeated:
        return stream.view
    if stream.view["status"] != Status.PREPARING:
        raise ActionNotAllowed(status=stream.view["status"])
    row = await _find(writer, step.order_id)
    if row.changes >= CHANGES_MAX:
        raise ActionNotAllowed("this was changed too often", most=CHANGES_MAX)
    ready_at = row.now + timedelta(minutes=minutes) / row.speed
    named = {"order_id": step.order_id, "food_ready_at": ready_at}
    if row.task_id is None:
        await pickups.expect_food(writer, **named)
    else:
        later = (ready_at - max(row.food_ready_at, row.now)) * row.speed
        let_go = await dispatch.expect_food(writer, **named, anew=later >= LET_GO)
        if let_go:
            data = {"delivery": Delivery.SEARCHING, "rider_id": ""}
            key = f"reassigned:{let_go.token}"
            again = Event(type="delivery.reassigned", key=key, data=data)
            await events.append(writer, step.order_id, again)
    estimate = _estimate(row, ready_at)
    late = eta.delay_minutes(estimate, row.promised_at, speed=row.speed)
    hints = [hint.words() for hint in estimate.hints]
    told = {
        "food_ready_at": ready_at,
        "estimated_at": estimate.at,
        "delay": {"minutes": late, "hints": hints} if late else None,
    }
    event = Event(
        type="order.prep_changed",
        key=step.key,
        data=told,
        actor=step.actor,
        request_id=step.request_id,
    )
    await events.append(writer, step.order_id, event)
    return stream.view | told


async def _find(reader: Reader, order_id: str) -> Row[Any]:
    row = await reader.first(_ORDER, {"order_id": order_id, "changed": "order.prep_changed"})
    if row is None:
        raise NotFound
    return row


def _estimate(row: Row[Any], ready_at: datetime) -> Estimate:
    """When the customer has it, by the kitchen's word; weather comes with the next look."""
    hints = eta.telling((Hint(HINT, (ready_at - row.food_ready_at) * row.speed / eta.MINUTE),))
    if row.task_id is None:
        return Estimate(at=ready_at, hints=hints)
    progress = Progress(
        searching=row.state in {"searching", "offered"},
        ready=False,
        arrived=False,
        food_ready_at=ready_at,
        picked_up_at=None,
        meters=row.distance_meters,
        moment=Moment(),
    )
    return Estimate(at=eta.arrival(progress, row.now, speed=row.speed).at, hints=hints)
