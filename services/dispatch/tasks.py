"""What an order's own acts do to its task, inside their transaction and under their stream lock.

Nothing here appends public events: the order's act does, together with its own change.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import text

from domain import ids
from domain.errors import ActionNotAllowed, NotFound
from domain.orders import BEFORE_PICKUP, CARRYING, Delivery
from services.db import Reader, Writer
from services.dispatch import rows
from services.dispatch.rows import TaskState

CLOSED = "closed"
"""The state of a task that nobody needs any more; never public."""
LET_GO = frozenset({Delivery.OFFERED, Delivery.ASSIGNED})
"""Whoever has it then is not at the shop yet, and may do something else meanwhile."""

_OPEN = text("""
INSERT INTO delivery_tasks (task_id, site_id, zone_id, order_id, shop_id, state, offer_seconds,
  rider_silence_seconds, unreachable_seconds, food_ready_at, search_from, support_at, give_up_at,
  promised_at, held_at, load, needs)
SELECT :task_id, :site_id, :zone_id, :order_id, :shop_id, 'searching', :offer_seconds,
  :rider_silence_seconds, :unreachable_seconds, :food_ready_at, :search_from, :support_at,
  :give_up_at, :promised_at, CASE WHEN :held THEN now() END, bag.load, bag.needs
FROM (SELECT
    (SELECT greatest(1, coalesce(sum(i.load * l.quantity), 0)) FROM order_lines l
      JOIN items i ON i.shop_id = :shop_id AND i.item_id = l.item_id
      WHERE l.order_id = :order_id) AS load,
    (SELECT coalesce(jsonb_agg(DISTINCT need), '[]') FROM order_lines l
      JOIN items i ON i.shop_id = :shop_id AND i.item_id = l.item_id
      CROSS JOIN jsonb_array_elements_text(i.needs) need
      WHERE l.order_id = :order_id) AS needs) bag
ON CONFLICT (order_id) DO NOTHING
""")
_FOOD_IS_READY = text("""
UPDATE delivery_tasks SET food_ready_at = now(),
  search_from = least(search_from, now()),
  support_at = support_at - greatest(search_from - now(), interval '0'),
  give_up_at = give_up_at - greatest(search_from - now(), interval '0')
WHERE order_id = :order_id AND state = ANY(:states)
""")
_EXPECT_FOOD = text("""
UPDATE delivery_tasks t SET food_ready_at = :food_ready_at,
  search_from = t.search_from + m.later,
  support_at = t.support_at + m.later, give_up_at = t.give_up_at + m.later
FROM (SELECT task_id, CASE WHEN search_from > now() OR :anew THEN greatest(now() - search_from,
      CAST(:food_ready_at AS timestamptz) - food_ready_at) ELSE interval '0' END AS later
  FROM delivery_tasks WHERE order_id = :order_id) m
WHERE t.task_id = m.task_id AND t.state = ANY(:states)
""")
_TAKE = text("""
UPDATE delivery_tasks SET state = 'picked_up', picked_up_at = now(), changed_at = now()
WHERE order_id = :order_id AND rider_id = :rider_id AND token = :token
  AND state IN ('assigned', 'at_store')
""")
_HAND_OVER = text("""
UPDATE delivery_tasks SET state = 'delivered', delivered_at = now(), changed_at = now()
WHERE order_id = :order_id AND rider_id = :rider_id AND token = :token
  AND state IN ('picked_up', 'arrived')
RETURNING site_id
""")
_CLOSE = text("""
UPDATE delivery_tasks SET state = 'closed', goods_lat = NULL, goods_lng = NULL, changed_at = now()
WHERE order_id = :order_id AND state = ANY(:states)
""")
_EXTEND = text("""
UPDATE delivery_tasks SET support_at = support_at + make_interval(secs => :seconds),
  give_up_at = give_up_at + make_interval(secs => :seconds)
WHERE order_id = :order_id
""")
_BONUS = text("SELECT bonus_fen FROM delivery_tasks WHERE order_id = :order_id")
_GAVE_UP = text("SELECT gave_up FROM delivery_tasks WHERE order_id = :order_id")
_RETURNER = text("""
SELECT rider_id FROM delivery_tasks
WHERE order_id = :order_id AND state = 'failed' AND returned_at IS NOT NULL
""")
_TASK = text("""
SELECT task_id, order_id, site_id, state, rider_id, token, 0 AS seq FROM delivery_tasks
WHERE order_id = :order_id
""")
_RIDER = text("SELECT FROM riders WHERE site_id = :site_id AND rider_id = :rider_id")
_ASSIGN = text("""
WITH task AS (
  UPDATE delivery_tasks SET state = :becomes, rider_id = :rider_id, token = token + 1,
    proof_tries = 0, gave_up = false, settled = true, assigned_at = now(), at_store_at = NULL,
    arrived_at = NULL, unreachable_until = NULL, calls = 0, returned_at = NULL, changed_at = now(),
    kitchen_late_at = NULL
  WHERE order_id = :order_id AND token = :token RETURNING site_id, task_id, order_id, token
), offer AS (
  INSERT INTO offers (site_id, task_id, rider_id, token, state, expires_at, answered_at)
  SELECT site_id, task_id, :rider_id, token, 'accepted', now(), now() FROM task
), told AS (
  INSERT INTO outbox (site_id, order_id, seq, message)
  SELECT site_id, order_id, 0, jsonb_build_object('type', 'task.assigned', 'rider_id',
    CAST(:rider_id AS text), 'site_id', site_id, 'task_id', task_id, 'token', token) FROM task
)
SELECT token FROM task
""")
_HOLD = text("""
UPDATE delivery_tasks SET held_at = now() WHERE order_id = :order_id AND held_at IS NULL
""")
_RELEASE = text("""
UPDATE delivery_tasks SET held_at = NULL, support_at = support_at + (now() - held_at),
  give_up_at = give_up_at + (now() - held_at),
  unreachable_until = unreachable_until + (now()
    - greatest(held_at, unreachable_until - unreachable_seconds * interval '1 second'))
WHERE order_id = :order_id AND held_at IS NOT NULL
RETURNING CASE WHEN state = 'arrived' THEN unreachable_until END
""")


async def open_task(
    writer: Writer,
    *,
    order_id: str,
    site_id: str,
    zone_id: str,
    shop_id: str,
    promised_at: datetime,
    food_ready_at: datetime,
    search_from: datetime,
    support_at: datetime,
    give_up_at: datetime,
    offer_seconds: float,
    rider_silence_seconds: float,
    unreachable_seconds: float,
    held: bool = False,
) -> str:
    """The order's task begins, in `searching`; its id. A repeat changes nothing."""
    task_id = ids.derive("task", order_id)
    await writer.run(
        _OPEN,
        {
            "task_id": task_id,
            "order_id": order_id,
            "site_id": site_id,
            "zone_id": zone_id,
            "shop_id": shop_id,
            "promised_at": promised_at,
            "food_ready_at": food_ready_at,
            "search_from": search_from,
            "support_at": support_at,
            "give_up_at": give_up_at,
            "offer_seconds": offer_seconds,
            "rider_silence_seconds": rider_silence_seconds,
            "unreachable_seconds": unreachable_seconds,
            "held": held,
        },
    )
    return task_id


async def food_is_ready(writer: Writer, *, order_id: str) -> None:
    """The kitchen is done: a search that has not begun begins now, with its whole patience."""
    await writer.run(_FOOD_IS_READY, {"order_id": order_id, "states": [*map(str, BEFORE_PICKUP)]})


async def expect_food(
    writer: Writer, *, order_id: str, food_ready_at: datetime, anew: bool = False
) -> TaskState | None:
    """The kitchen will be done at another time: a search that has not begun moves with it.

    `anew`: so late that whoever is asked or on the way is let go, without blame, and somebody is
    searched in time. The task as it was before that; None: nobody was let go.
    """
    task = await writer.first(_TASK, {"order_id": order_id})
    anew = anew and task is not None and task.state in LET_GO
    states = [*map(str, BEFORE_PICKUP)]
    named = {"order_id": order_id, "food_ready_at": food_ready_at, "states": states}
    await writer.run(_EXPECT_FOOD, named | {"anew": anew})
    if task is None or not anew:
        return None
    await rows.search_again(writer, task, states=LET_GO, accepted_becomes="withdrawn")
    return rows.state_of(task)


async def take(writer: Writer, *, order_id: str, rider_id: str, token: int) -> bool:
    """The rider takes the food; False: the task is not theirs, or not before its pick-up."""
    rider = {"order_id": order_id, "rider_id": rider_id, "token": token}
    return bool(await writer.run(_TAKE, rider))


async def hand_over(writer: Writer, *, order_id: str, rider_id: str, token: int) -> bool:
    """The customer has the food; False: this rider does not carry it."""
    rider = {"order_id": order_id, "rider_id": rider_id, "token": token}
    site_id = await writer.scalar(_HAND_OVER, rider)
    if site_id is None:
        return False
    await rows.end_shift_if_done(writer, site_id=site_id, rider_id=rider_id)
    return True


async def close_if_open(writer: Writer, *, order_id: str, even_after_pickup: bool) -> bool:
    """Nobody needs the task any more; its riders are told.

    True also when there is no task, or it is closed. False: a rider holds the food (unless
    `even_after_pickup`), or it is delivered.
    """
    task = await writer.first(_TASK, {"order_id": order_id})
    if task is None or task.state == CLOSED:
        return True
    after_pickup = CARRYING | {Delivery.FAILED} if even_after_pickup else frozenset[Delivery]()
    states = [*map(str, BEFORE_PICKUP | after_pickup)]
    if not await writer.run(_CLOSE, {"order_id": order_id, "states": states}):
        return False
    await rows.end_offers(writer, task, becomes="withdrawn")
    await rows.end_offers(writer, task, was="accepted", becomes="withdrawn")
    await rows.end_shift_if_done(writer, site_id=task.site_id, rider_id=task.rider_id)
    return True


async def reassign(writer: Writer, *, order_id: str, rider_id: str = "") -> TaskState | None:
    """Take the task from whoever has it, for good; to `rider_id` at once if named.

    A named rider may also take over food that is already on the road (the state stays
    `picked_up`), which gives the proof of delivery fresh tries. None: too late for that, or
    there is no task. `seq` is 0: the caller appends the event.

    Raises:
        NotFound: the site has no rider of that name.
        ActionNotAllowed: food on the road needs a named rider.
    """
    row = await writer.first(_TASK, {"order_id": order_id})
    if row is None:
        return None
    task = rows.state_of(row)
    on_the_road = row.state in CARRYING | {Delivery.FAILED}
    if not rider_id:
        if on_the_road:
            raise ActionNotAllowed("food on the road needs a named rider", state=row.state)
        token = await rows.search_again(
            writer, row, states=BEFORE_PICKUP, accepted_becomes="released"
        )
        return None if token is None else replace(task, state=Delivery.SEARCHING, token=token)
    if not on_the_road and row.state not in BEFORE_PICKUP:
        return None
    if await writer.first(_RIDER, {"site_id": row.site_id, "rider_id": rider_id}) is None:
        raise NotFound(rider_id=rider_id)
    await rows.end_offers(writer, row, becomes="withdrawn")
    await rows.end_offers(writer, row, was="accepted", becomes="released")
    becomes = Delivery.PICKED_UP if on_the_road else Delivery.ASSIGNED
    token = await writer.scalar(
        _ASSIGN,
        {"order_id": order_id, "rider_id": rider_id, "token": row.token, "becomes": becomes},
    )
    await rows.end_shift_if_done(writer, site_id=row.site_id, rider_id=row.rider_id)
    return replace(task, state=becomes, token=token)


async def hold(writer: Writer, *, order_id: str) -> None:
    """While held nobody is given up on, and no silent customer's time runs out."""
    await writer.run(_HOLD, {"order_id": order_id})


async def release(writer: Writer, *, order_id: str) -> datetime | None:
    """The deadlines move by the time held; until when a silent customer has time now, if one is."""
    until: datetime | None = await writer.scalar(_RELEASE, {"order_id": order_id})
    return until


async def extend(writer: Writer, *, order_id: str, seconds: int) -> None:
    """Support gives the search for a rider more time."""
    await writer.run(_EXTEND, {"order_id": order_id, "seconds": seconds})


async def bonus_fen(reader: Reader, *, order_id: str) -> int:
    """What the rider who brings the order is paid on top."""
    return int(await reader.scalar(_BONUS, {"order_id": order_id}) or 0)


async def has_given_up(reader: Reader, *, order_id: str) -> bool:
    """Whether the search for a rider has ended without one."""
    return bool(await reader.scalar(_GAVE_UP, {"order_id": order_id}))


async def returner(reader: Reader, *, order_id: str) -> str | None:
    """Who brings the goods back from a customer who could not be reached; None: nobody does."""
    rider_id = await reader.scalar(_RETURNER, {"order_id": order_id})
    return None if rider_id is None else str(rider_id)
