"""What a rider does to a task; each act is its caller's transaction, repeats are answered alike."""

from typing import Any

from sqlalchemy import Row, text

from domain import riding
from domain.errors import ActionNotAllowed, BoxFull, ClaimTaken, NotFound, ProofWrong
from domain.eta import Hint
from domain.geo import Point
from domain.orders import CARRYING, Delivery
from domain.proof import TRIES, proves
from services import events, metrics
from services.db import Database, Writer
from services.dispatch import rows
from services.dispatch.rows import TaskState

_CLAIM = text("""
UPDATE delivery_tasks t SET state = 'assigned', rider_id = :rider_id, assigned_at = now(),
  changed_at = now()
WHERE t.task_id = :task_id AND t.state = 'offered' AND t.token = :token AND EXISTS (
  SELECT FROM offers o WHERE o.task_id = t.task_id AND o.token = t.token
    AND o.rider_id = :rider_id AND o.state = 'open' AND o.expires_at > now())
""")
_BESIDE = text("""
SELECT r.room, t.load, sum(h.load) AS in_hand, bool_or(h.zone_id <> t.zone_id) AS elsewhere
FROM delivery_tasks t JOIN offers f USING (task_id, token, rider_id)
  JOIN riders r ON r.site_id = t.site_id AND r.rider_id = t.rider_id
  JOIN delivery_tasks h ON h.site_id = t.site_id AND h.rider_id = t.rider_id
    AND h.task_id <> t.task_id AND h.state IN ('assigned', 'at_store', 'picked_up', 'arrived')
WHERE t.task_id = :task_id AND (f.grab OR h.assigned_at > f.made_at)
GROUP BY t.task_id, r.room, t.load
""")
_ANSWER = text("""
UPDATE offers SET state = :becomes, reason_code = :reason_code, answered_at = now()
WHERE task_id = :task_id AND token = :token AND rider_id = :rider_id AND state = 'open'
""")
_REOPEN = text("""
UPDATE delivery_tasks t SET state = 'searching', changed_at = now()
WHERE t.task_id = :task_id AND t.state = 'offered' AND t.token = :token AND NOT EXISTS (
  SELECT FROM offers o WHERE o.task_id = t.task_id AND o.state = 'open')
""")
_MOVE = text("""
UPDATE delivery_tasks SET state = :becomes, changed_at = now(),
  at_store_at = CASE :becomes WHEN 'at_store' THEN now() ELSE at_store_at END,
  arrived_at = CASE :becomes WHEN 'arrived' THEN now() ELSE arrived_at END
WHERE task_id = :task_id AND rider_id = :rider_id AND token = :token AND state = ANY(:states)
""")
_PAUSE = text("""
UPDATE riders SET on_shift = false, pause_code = :code, paused_at = now()
WHERE site_id = :site_id AND rider_id = :rider_id AND on_shift
""")
_LEAVE_GOODS = text("""
UPDATE delivery_tasks SET goods_lat = :lat, goods_lng = :lng WHERE task_id = :task_id
""")
_TAKE_GOODS = text("""
UPDATE delivery_tasks SET goods_lat = NULL, goods_lng = NULL, picked_up_at = now()
WHERE task_id = :task_id
""")
_WAIT = text("""
SELECT t.kitchen_late_at,
  CAST(:wait / s.speed - extract(epoch FROM now() - t.at_store_at) AS float8) AS left_seconds,
  CAST(extract(epoch FROM now() - t.at_store_at) * s.speed / 60 AS int) AS waited_minutes
FROM delivery_tasks t JOIN sites s USING (site_id) JOIN orders o USING (order_id)
WHERE t.task_id = :task_id AND t.state = 'at_store' AND o.kitchen <> 'ready'
""")
_KITCHEN_LATE = text("UPDATE delivery_tasks SET kitchen_late_at = now() WHERE task_id = :task_id")
_COUNT_TRY = text("""
UPDATE delivery_tasks SET proof_tries = proof_tries + 1
WHERE task_id = :task_id AND token = :token RETURNING proof_tries
""")
_SAID = text("""
SELECT FROM order_timeline WHERE order_id = :order_id AND key = :key AND actor = :actor
""")
_WAS_ASKED = text("SELECT FROM offers WHERE task_id = :task_id AND rider_id = :rider_id LIMIT 1")
_SEEN = text("UPDATE riders SET seen_at = now() WHERE site_id = :site_id AND rider_id = :rider_id")


async def claim(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, request_id: str = ""
) -> TaskState:
    """Take an offered task: one conditional write decides who gets it (law 5).

    Raises:
        ClaimTaken: somebody else has it, or the offer is over.
        BoxFull: the rider has something in hand, and the box no room for both.
        ActionNotAllowed: the rider works for another zone meanwhile.
        NotFound: the task was never offered to this rider.
    """
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    asked = {"task_id": task_id, "rider_id": rider_id, "token": token}
    if not await writer.run(_CLAIM, asked):
        if task.rider_id == rider_id and task.token == token:
            return rows.state_of(task)
        raise await _not_theirs(writer, task, rider_id)
    await sign_of_life(writer, task, rider_id)
    await _ensure_fits(writer, task)
    await writer.run(_ANSWER, asked | {"becomes": "accepted", "reason_code": ""})
    await rows.end_offers(writer, task, becomes="withdrawn", but_rider_id=rider_id)
    data = {"delivery": Delivery.ASSIGNED, "rider_id": rider_id}
    return await tell(writer, task, "assigned", data, rider_id=rider_id, request_id=request_id)


async def _ensure_fits(writer: Writer, task: Row[Any]) -> None:
    """Check what was just claimed against what its plan, if it had one, did not know of.

    The rider's row is locked by now: of two claims at once, the second sees the first.
    """
    beside = await writer.first(_BESIDE, {"task_id": task.task_id})
    if beside is None:
        return
    if beside.elsewhere:
        raise ActionNotAllowed("bring what is another zone's first", state=task.state)
    if beside.in_hand + beside.load > beside.room:
        raise BoxFull(room=beside.room, in_hand=beside.in_hand, load=beside.load)


async def decline(
    writer: Writer,
    *,
    site_id: str,
    rider_id: str,
    task_id: str,
    token: int,
    reason_code: str = "other",
    request_id: str = "",
) -> TaskState:
    """Say no to an open offer; when nobody else is being asked, the search goes on.

    A reason that won't change bars the rider from the task, as if it had been given back.

    Raises:
        Invalid: there is no such reason.
        ActionNotAllowed: the rider has the task; only `fail` gives it back.
        NotFound: the task was never offered to this rider.
    """
    becomes = "released" if riding.declining(reason_code).bars else "declined"
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    asked = {"task_id": task_id, "rider_id": rider_id, "token": token}
    await sign_of_life(writer, task, rider_id)
    if not await writer.run(_ANSWER, asked | {"becomes": becomes, "reason_code": reason_code}):
        if task.rider_id == rider_id:
            raise ActionNotAllowed(state=task.state)
        if await writer.first(_WAS_ASKED, asked) is None:
            raise NotFound
        return rows.state_of(task)
    writer.after_commit.append(metrics.OFFERS_DECLINED.labels(reason_code).inc)
    if not await writer.run(_REOPEN, asked):
        return rows.state_of(task)
    data = {"delivery": Delivery.SEARCHING}
    return await tell(writer, task, "searching", data, rider_id=rider_id, request_id=request_id)


async def arrive_store(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, request_id: str = ""
) -> TaskState:
    """The rider is at the shop: a fact of the task."""
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    before, after = frozenset({Delivery.ASSIGNED}), Delivery.AT_STORE
    moved = await _move(writer, task, rider_id=rider_id, token=token, states=before, becomes=after)
    if not moved:
        return rows.state_of(task)
    data = {"delivery": after}
    return await tell(writer, task, "at_store", data, rider_id=rider_id, request_id=request_id)


async def arrive_customer(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, request_id: str = ""
) -> TaskState:
    """The rider is at the door: a fact of the task."""
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    before, after = frozenset({Delivery.PICKED_UP}), Delivery.ARRIVED
    moved = await _move(writer, task, rider_id=rider_id, token=token, states=before, becomes=after)
    if not moved:
        return rows.state_of(task)
    data = {"delivery": after}
    return await tell(writer, task, "arrived", data, rider_id=rider_id, request_id=request_id)


async def fail(
    writer: Writer,
    *,
    site_id: str,
    rider_id: str,
    task_id: str,
    token: int,
    reason_code: str,
    goods: Point | None = None,
    request_id: str = "",
) -> TaskState:
    """The rider can't go on: before pick-up another is searched, afterwards support is asked.

    `goods`: where what was picked up lies since an accident; another rider is searched who takes
    it over there, and support is asked too. Who had an accident pauses till they say otherwise.
    """
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    theirs = (task.rider_id, task.token) == (rider_id, token)
    key, actor = f"rider_failed:{token}", f"rider:{rider_id}"
    said = {"order_id": task.order_id, "key": key, "actor": actor}
    if not theirs and await writer.first(_SAID, said) is not None:
        return rows.state_of(task)
    if theirs and reason_code == riding.ACCIDENT:
        await writer.run(_PAUSE, {"site_id": site_id, "rider_id": rider_id, "code": reason_code})
    left_behind = goods is not None and reason_code == riding.ACCIDENT and task.state in CARRYING
    if theirs and (task.state in rows.ASSIGNED or left_behind):
        await sign_of_life(writer, task, rider_id)
        if goods is not None and left_behind:
            place = {"task_id": task_id, "lat": goods.lat, "lng": goods.lng}
            await writer.run(_LEAVE_GOODS, place)
            await _ask_support(writer, task, reason_code)
        states = rows.ASSIGNED | CARRYING
        await rows.search_again(writer, task, states=states, accepted_becomes="released")
        await events.note(
            writer,
            order_id=task.order_id,
            site_id=site_id,
            kind="rider_failed",
            key=key,
            data={"task_id": task_id, "reason_code": reason_code},
            actor=actor,
            request_id=request_id,
        )
        data = {"delivery": Delivery.SEARCHING, "rider_id": ""}
        return await tell(
            writer, task, "reassigned", data, rider_id=rider_id, request_id=request_id
        )
    moved = await _move(
        writer, task, rider_id=rider_id, token=token, states=CARRYING, becomes=Delivery.FAILED
    )
    if not moved:
        return rows.state_of(task)
    await _ask_support(writer, task, reason_code)
    await rows.end_shift_if_done(writer, site_id=site_id, rider_id=rider_id)
    data = {"delivery": Delivery.FAILED}
    return await tell(writer, task, "failed", data, rider_id=rider_id, request_id=request_id)


async def _ask_support(writer: Writer, task: Row[Any], reason_code: str) -> None:
    await rows.ask_support(
        writer,
        task,
        kind="delivery_trouble",
        due_seconds=task.rider_silence_seconds,
        reason_code=reason_code,
    )


async def take_over(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, request_id: str = ""
) -> TaskState:
    """Take the goods where the last rider could not go on: the order was picked up before."""
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    before, after = rows.ASSIGNED if task.left_behind else frozenset(), Delivery.PICKED_UP
    moved = await _move(writer, task, rider_id=rider_id, token=token, states=before, becomes=after)
    if not moved:
        return rows.state_of(task)
    await writer.run(_TAKE_GOODS, {"task_id": task_id})
    data = {"delivery": after}
    return await tell(writer, task, "taken_over", data, rider_id=rider_id, request_id=request_id)


async def kitchen_late(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, request_id: str = ""
) -> TaskState:
    """The rider has waited at the shop for long: customer and shop are told, nobody is blamed.

    Raises:
        ActionNotAllowed: not at the shop, not long enough (`retry_after_seconds`), or it is ready.
    """
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    await ensure_theirs(writer, task, rider_id, token)
    await sign_of_life(writer, task, rider_id)
    wait = await writer.first(_WAIT, {"task_id": task_id, "wait": riding.KITCHEN_LATE_SECONDS})
    if wait is None:
        raise ActionNotAllowed("nobody waits for the kitchen", state=task.state)
    if wait.kitchen_late_at is not None:
        return rows.state_of(task)
    if wait.left_seconds > 0:
        raise ActionNotAllowed(
            "not long enough yet", state=task.state, retry_after_seconds=wait.left_seconds
        )
    await writer.run(_KITCHEN_LATE, {"task_id": task_id})
    hint = Hint("kitchen", wait.waited_minutes).words()
    data = {"kitchen_late": {"waited_minutes": wait.waited_minutes, "hint": hint}}
    return await tell(writer, task, "kitchen_late", data, rider_id=rider_id, request_id=request_id)


async def check_proof(
    database: Database,
    *,
    site_id: str,
    rider_id: str,
    task_id: str,
    token: int,
    code: str,
    key: bytes,
) -> TaskState:
    """Check the hand-over code, before the order hears of it; a wrong one is counted and stays.

    It commits by itself: a refusal would roll its own count back at the edge.

    Raises:
        ProofWrong: with `tries_left`; at 0 support was asked and even the right code is refused.
        ActionNotAllowed: the rider doesn't carry this order now.
    """
    async with database.write() as writer:
        task = await rows.lock(writer, site_id=site_id, task_id=task_id)
        await ensure_theirs(writer, task, rider_id, token)
        if task.state not in CARRYING | {Delivery.DELIVERED}:
            raise ActionNotAllowed(state=task.state)
        await sign_of_life(writer, task, rider_id)
        tries = task.proof_tries
        if tries < TRIES:
            if proves(task.order_id, key, code):
                return rows.state_of(task)
            tries = await writer.scalar(_COUNT_TRY, {"task_id": task_id, "token": token})
            if tries == TRIES:
                await rows.ask_support(
                    writer, task, kind="proof_refused", due_seconds=task.rider_silence_seconds
                )
    raise ProofWrong(tries_left=TRIES - tries)


async def _move(
    writer: Writer,
    task: Row[Any],
    *,
    rider_id: str,
    token: int,
    states: frozenset[Delivery],
    becomes: Delivery,
) -> bool:
    """Whether the rider's task moved; False: it is there already, the tap is a repeat."""
    await ensure_theirs(writer, task, rider_id, token)
    await sign_of_life(writer, task, rider_id)
    if task.state == becomes:
        return False
    tap = {
        "task_id": task.task_id,
        "rider_id": rider_id,
        "token": token,
        "states": [*map(str, states)],
        "becomes": becomes,
    }
    if not await writer.run(_MOVE, tap):
        raise ActionNotAllowed(state=task.state)
    return True


async def ensure_theirs(writer: Writer, task: Row[Any], rider_id: str, token: int) -> None:
    """Raise ClaimTaken, or NotFound for a stranger, unless the rider has the task."""
    if (task.rider_id, task.token) != (rider_id, token):
        raise await _not_theirs(writer, task, rider_id)


async def _not_theirs(writer: Writer, task: Row[Any], rider_id: str) -> ClaimTaken | NotFound:
    """What to say to a rider whose token is not the task's, without naming who has it."""
    asked = {"task_id": task.task_id, "rider_id": rider_id}
    known = await writer.first(_WAS_ASKED, asked) is not None
    return ClaimTaken() if known else NotFound()


async def sign_of_life(writer: Writer, task: Row[Any], rider_id: str) -> None:
    """The rider's phone lives."""
    await writer.run(_SEEN, {"site_id": task.site_id, "rider_id": rider_id})


async def tell(
    writer: Writer,
    task: Row[Any],
    kind: str,
    data: dict[str, Any],
    *,
    rider_id: str,
    request_id: str,
    nth: int = 0,
) -> TaskState:
    """Append `delivery.<kind>`, once under this token (and number); the task as it is now."""
    await events.append(
        writer,
        task.order_id,
        events.Event(
            type=f"delivery.{kind}",
            key=f"{kind}:{task.token}" + (f":{nth}" if nth else ""),
            data=data,
            actor=f"rider:{rider_id}",
            request_id=request_id,
        ),
    )
    return rows.state_of(await rows.read(writer, task.task_id))
