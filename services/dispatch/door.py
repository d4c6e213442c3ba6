"""At the customer's door: wishes, calls, the timer of a silent customer, photos, and the way back.

Whether a way out is open is decided in `domain.riding`; the order's own acts end the order.
"""

import hashlib
from typing import Any

from sqlalchemy import Row, text

from domain import ids, tickets
from domain.errors import ActionNotAllowed, NotFound
from domain.orders import CARRYING, FINAL, Delivery, Status
from domain.riding import CALLS_MAX, Call, DropOff, Way, ensure_way
from services import events, facts, personal
from services.db import Database, Reader, Writer
from services.dispatch import rows
from services.dispatch.riders import ensure_theirs, sign_of_life, tell
from services.dispatch.rows import TaskState
from services.events import Event
from services.personal import Item

WISHES_MAX = 20
"""Of one order: changes of mind about how it is handed over."""
PHOTOS_MAX = 5
"""Of one task under one token."""
PHOTO = "delivery_photo"

_WISHES = text("""
SELECT count(*) FROM order_events WHERE order_id = :order_id AND type = 'order.dropoff_wished'
""")
_CALL = text("""
UPDATE delivery_tasks SET calls = calls + 1,
  unreachable_until = CASE WHEN :answered THEN NULL ELSE unreachable_until END
WHERE task_id = :task_id AND calls < :most RETURNING calls
""")
_UNREACHABLE = text("""
UPDATE delivery_tasks
SET unreachable_until = now() + unreachable_seconds * interval '1 second', changed_at = now()
WHERE task_id = :task_id AND state = 'arrived' AND calls > 0 AND unreachable_until IS NULL
RETURNING unreachable_until
""")
_RETURN = text("""
UPDATE delivery_tasks SET state = 'failed', returned_at = now(), changed_at = now()
WHERE task_id = :task_id AND rider_id = :rider_id AND token = :token AND state = 'arrived'
""")
_KEEP = text("""
INSERT INTO delivery_photos (photo_id, site_id, order_id, rider_id, token, subject, media_type,
  sealed)
SELECT :photo_id, :site_id, :order_id, :rider_id, :token, :subject, :media_type, :sealed
WHERE (SELECT count(*) FROM delivery_photos WHERE order_id = :order_id AND token = :token) < :most
ON CONFLICT (photo_id) DO NOTHING
""")
_KNOWN = text("""
SELECT FROM delivery_photos WHERE photo_id = :photo_id AND order_id = :order_id AND token = :token
""")
_PHOTO = text("""
SELECT photo_id, site_id, subject, media_type, sealed FROM delivery_photos
WHERE order_id = :order_id AND photo_id = :photo_id
""")


async def wish(
    writer: Writer, *, order_id: str, dropoff: DropOff, actor: str, request_id: str
) -> int:
    """The customer says how the order is to be handed over; `seq`. The same again is no event.

    Raises:
        ActionNotAllowed: it is handed over, has ended, or its customer changes minds too often.
    """
    stream = await events.lock(writer, order_id)
    if stream is None:
        raise NotFound("there is no such order")
    if Status(stream.view["status"]) in FINAL | {Status.DELIVERED}:
        raise ActionNotAllowed("it is over", status=stream.view["status"])
    if stream.view.get("dropoff") == dropoff:
        return stream.seq
    if await writer.scalar(_WISHES, {"order_id": order_id}) >= WISHES_MAX:
        raise ActionNotAllowed(f"at most {WISHES_MAX} wishes", status=stream.view["status"])
    wished = Event(
        type="order.dropoff_wished",
        key=f"dropoff:{stream.seq}",
        data={"dropoff": dropoff},
        actor=actor,
        request_id=request_id,
    )
    return await events.append(writer, order_id, wished)


async def log_call(
    writer: Writer,
    *,
    site_id: str,
    rider_id: str,
    task_id: str,
    token: int,
    outcome: Call,
    request_id: str = "",
) -> TaskState:
    """A call to the customer was made: its time and outcome are kept, no number.

    Who answers is not unreachable any more: the timer is off.

    Raises:
        ActionNotAllowed: the rider doesn't carry the order, or has called too often.
    """
    task = await _carried(writer, site_id, rider_id, task_id, token)
    answered = outcome is Call.ANSWERED
    called = {"task_id": task_id, "answered": answered, "most": CALLS_MAX}
    number = await writer.scalar(_CALL, called)
    if number is None:
        raise ActionNotAllowed(f"at most {CALLS_MAX} calls", state=task.state)
    await events.note(
        writer,
        order_id=task.order_id,
        site_id=site_id,
        kind="customer_called",
        key=f"customer_called:{token}:{number}",
        data={"task_id": task_id, "outcome": outcome},
        actor=f"rider:{rider_id}",
        request_id=request_id,
    )
    if not (answered and task.unreachable_until):
        return rows.state_of(task)
    data = {"unreachable_until": None}
    return await tell(
        writer, task, "reached", data, rider_id=rider_id, request_id=request_id, nth=number
    )


async def unreachable(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, request_id: str = ""
) -> TaskState:
    """Nobody opens and nobody answers: the customer has till a timer to say what they want.

    Raises:
        ActionNotAllowed: the rider is not at the door, or has not called yet.
    """
    task = await _carried(writer, site_id, rider_id, task_id, token)
    if task.unreachable_until is not None:
        return rows.state_of(task)
    until = await writer.scalar(_UNREACHABLE, {"task_id": task_id})
    if until is None:
        raise ActionNotAllowed("be at the door, and call first", state=task.state, calls=task.calls)
    data = {"unreachable_until": until}
    return await tell(
        writer, task, "unreachable", data, rider_id=rider_id, request_id=request_id, nth=task.calls
    )


async def bring_back(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, request_id: str = ""
) -> TaskState:
    """The goods go back to the shop; the order is told, ends, and its customer bears it.

    Raises:
        ActionNotAllowed: neither the customer's wish nor the timer has opened this way.
    """
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    await ensure_theirs(writer, task, rider_id, token)
    if task.state == Delivery.FAILED:
        return rows.state_of(task)
    _ensure(Way.RETURN, task)
    rider = {"task_id": task_id, "rider_id": rider_id, "token": token}
    if not await writer.run(_RETURN, rider):
        raise ActionNotAllowed("be at the door first", state=task.state)
    await sign_of_life(writer, task, rider_id)
    await rows.end_shift_if_done(writer, site_id=site_id, rider_id=rider_id)
    await facts.tell(
        writer,
        site_id=site_id,
        order_id=task.order_id,
        workflow_id=ids.order_workflow(task.order_id),
        name="undeliverable",
        body={"task_id": task_id},
    )
    data = {"delivery": Delivery.FAILED}
    return await tell(writer, task, "returned", data, rider_id=rider_id, request_id=request_id)


async def keep_photo(
    writer: Writer, *, site_id: str, rider_id: str, task_id: str, token: int, content: bytes
) -> str:
    """Keep a photo of where the goods were left, sealed under the customer's key; its id.

    Raises:
        Invalid: no photo by its content, or too large.
        ActionNotAllowed: the rider doesn't carry the order, or has shown enough.
    """
    media_type = tickets.ensure_photo(content)
    task = await _carried(writer, site_id, rider_id, task_id, token)
    digest = hashlib.sha256(content).hexdigest()
    photo_id = ids.derive("photo", task_id, str(token), digest)
    item = Item(site_id, f"customer:{task.customer_id}", PHOTO, photo_id)
    photo = {
        "photo_id": photo_id,
        "site_id": site_id,
        "order_id": task.order_id,
        "rider_id": rider_id,
        "token": token,
        "subject": item.subject,
        "media_type": media_type,
        "sealed": await personal.seal(writer, item, content),
        "most": PHOTOS_MAX,
    }
    if not await writer.run(_KEEP, photo) and not await _known(writer, task, photo_id):
        raise ActionNotAllowed(f"at most {PHOTOS_MAX} photos", state=task.state)
    return photo_id


async def check_photo(
    database: Database, *, site_id: str, rider_id: str, task_id: str, token: int, photo_id: str
) -> None:
    """Check a photo as proof of a hand-over, before the order hears of it.

    Raises:
        NotFound: the rider has shown no such photo of this task.
        ActionNotAllowed: neither the customer's wish nor the timer allows to leave the goods.
    """
    async with database.write() as writer:
        task = await rows.lock(writer, site_id=site_id, task_id=task_id)
        await ensure_theirs(writer, task, rider_id, token)
        if not await _known(writer, task, photo_id):
            raise NotFound("there is no such photo")
        if task.state != Delivery.DELIVERED:
            if task.state != Delivery.ARRIVED:
                raise ActionNotAllowed("be at the door first", state=task.state)
            _ensure(Way.PHOTO, task)


async def photo(reader: Reader, *, order_id: str, photo_id: str) -> tuple[str, bytes]:
    """A photo's media type and bytes; raises NotFound, also once its customer was erased."""
    row = await reader.first(_PHOTO, {"order_id": order_id, "photo_id": photo_id})
    if row is not None:
        item = Item(row.site_id, row.subject, PHOTO, row.photo_id)
        content = await personal.unseal(reader, item, bytes(row.sealed))
        if content is not None:
            return row.media_type, content
    raise NotFound("there is no such photo")


async def _carried(
    writer: Writer, site_id: str, rider_id: str, task_id: str, token: int
) -> Row[Any]:
    """The task, locked, if this rider carries its goods now."""
    task = await rows.lock(writer, site_id=site_id, task_id=task_id)
    await ensure_theirs(writer, task, rider_id, token)
    if task.state not in CARRYING:
        raise ActionNotAllowed("nothing is carried", state=task.state)
    await sign_of_life(writer, task, rider_id)
    return task


def _ensure(way: Way, task: Row[Any]) -> None:
    ensure_way(
        way,
        DropOff(task.dropoff),
        unreachable=task.unreachable_until is not None,
        waited=task.waited,
    )


async def _known(reader: Reader, task: Row[Any], photo_id: str) -> bool:
    named = {"photo_id": photo_id, "order_id": task.order_id, "token": task.token}
    return await reader.first(_KNOWN, named) is not None
