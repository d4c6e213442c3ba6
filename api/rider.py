"""The rider's screen: shift, positions, offers, and each tap on a task."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas, work
from api.identity import Rider
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from domain.contracts.life import Missing, RiderCommand
from domain.errors import ActionNotAllowed
from domain.geo import Point
from domain.orders import Delivery
from services import addresses, dispatch, events, riders, shifts
from services.db import Reader
from services.dispatch import TaskState
from services.identity import Identity

router = APIRouter(prefix="/v1/rider", tags=["rider"])
PICKED_UP = frozenset({Delivery.PICKED_UP, Delivery.ARRIVED, Delivery.DELIVERED})


@router.post("/shift", response_model=schemas.ShiftDone)
async def set_shift(parts: Held, who: Rider, shift: schemas.Shift) -> Response:
    """Begin a shift, go on after a pause, or end it: what is in hand is delivered first."""
    async with parts.database.write() as writer:
        await riders.set_shift(
            writer,
            site_id=who.site_id,
            rider_id=who.subject,
            on=shift.on,
            ends_at=shift.ends_at,
        )
        await dispatch.end_shift_if_done(writer, site_id=who.site_id, rider_id=who.subject)
    if shift.on and shift.lat is not None and shift.lng is not None:
        await parts.positions.begin(who.site_id, who.subject, Point(shift.lat, shift.lng))
    return reply({"on": shift.on})


@router.get("/shift", response_model=schemas.ShiftView)
async def get_shift(parts: Held, who: Rider) -> Response:
    """The shift as it is now."""
    async with parts.database.read() as reader:
        shift = await shifts.of(reader, site_id=who.site_id, rider_id=who.subject)
    return reply(asdict(shift))


@router.post("/shift/pause", response_model=schemas.ShiftView)
async def pause_shift(parts: Held, who: Rider, pause: schemas.Pause) -> Response:
    """No new offers till the shift goes on; support is told of what lasts too long."""
    async with parts.database.write() as writer:
        rider = {"site_id": who.site_id, "rider_id": who.subject}
        await shifts.pause(writer, **rider, code=pause.reason_code)
        shift = await shifts.of(writer, **rider)
    return reply(asdict(shift))


@router.get("/offers", response_model=schemas.Work)
async def list_offers(parts: Held, who: Rider) -> Response:
    """Open offers with pay and coarse way, and the tasks the rider has with where they go."""
    async with parts.database.read() as reader:
        return reply(await work.screen(reader, parts.cache, who))


@router.post("/tasks/{task_id}/claim", response_model=schemas.TaskDone)
async def claim_task(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """Take an offered task: the first one has it."""
    state = await act(parts, who, task_id, tap, dispatch.claim)
    async with parts.database.read() as reader:
        dropoff = await _dropoff(reader, who, state.order_id)
    return await done(parts, state, dropoff=dropoff)


@router.post("/tasks/{task_id}/decline", response_model=schemas.TaskDone)
async def decline_task(parts: Held, who: Rider, task_id: Id, tap: schemas.Decline) -> Response:
    """Say no to an offer, and why."""
    decline = partial(dispatch.decline, reason_code=tap.reason_code)
    state = await act(parts, who, task_id, tap, decline)
    return await done(parts, state)


@router.post("/tasks/{task_id}/arrive-store", response_model=schemas.TaskDone)
async def arrive_at_store(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """The rider is at the shop."""
    state = await act(parts, who, task_id, tap, dispatch.arrive_store)
    return await done(parts, state)


@router.post("/tasks/{task_id}/kitchen-late", response_model=schemas.TaskDone)
async def report_kitchen(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """The rider has waited at the shop for long: customer and shop are told."""
    state = await act(parts, who, task_id, tap, dispatch.kitchen_late)
    return await done(parts, state)


@router.post("/tasks/{task_id}/pickup", response_model=schemas.TaskDone)
async def pick_up(parts: Held, who: Rider, task_id: Id, tap: schemas.PickUp) -> Response:
    """The rider takes the food, or what of it is there, or what another rider left behind."""
    async with parts.database.read() as reader:
        task = await riders.task(reader, site_id=who.site_id, task_id=task_id)
    if task.left_behind:
        return await done(parts, await act(parts, who, task_id, tap, dispatch.take_over))
    missing = tuple(Missing(**line.model_dump()) for line in tap.missing)
    return await _tap(
        parts, who, task_id, tap.token, name="pickup", after=PICKED_UP, missing=missing
    )


@router.post("/tasks/{task_id}/arrive-customer", response_model=schemas.TaskDone)
async def arrive_at_customer(
    parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken
) -> Response:
    """The rider is at the door."""
    state = await act(parts, who, task_id, tap, dispatch.arrive_customer)
    return await done(parts, state)


@router.post("/tasks/{task_id}/deliver", response_model=schemas.TaskDone)
async def deliver(parts: Held, who: Rider, task_id: Id, proof: schemas.Proof) -> Response:
    """Handed over: five tries of the customer's code; or left, where that is allowed, by photo."""
    theirs = {"site_id": who.site_id, "rider_id": who.subject, "task_id": task_id}
    if proof.code is not None:
        await dispatch.check_proof(
            parts.database, **theirs, token=proof.token, code=proof.code, key=parts.handover_key
        )
    elif proof.photo_id is not None:
        await dispatch.check_photo(
            parts.database, **theirs, token=proof.token, photo_id=proof.photo_id
        )
    return await _tap(
        parts,
        who,
        task_id,
        proof.token,
        name="deliver",
        after=frozenset({Delivery.DELIVERED}),
        photo_id=proof.photo_id or "",
    )


@router.post("/tasks/{task_id}/fail", response_model=schemas.TaskDone)
async def fail_task(parts: Held, who: Rider, task_id: Id, failure: schemas.Failure) -> Response:
    """The rider can't go on: another is searched, or support is asked."""
    goods = None
    if failure.goods_lat is not None and failure.goods_lng is not None:
        goods = Point(failure.goods_lat, failure.goods_lng)
    async with parts.database.write() as writer:
        state = await dispatch.fail(
            writer,
            site_id=who.site_id,
            rider_id=who.subject,
            task_id=task_id,
            token=failure.token,
            reason_code=failure.reason_code,
            goods=goods,
            request_id=uuid.uuid4().hex,
        )
    return await done(parts, state)


async def act(
    parts: Parts,
    who: Identity,
    task_id: str,
    tap: schemas.TaskToken,
    act: Callable[..., Awaitable[TaskState]],
) -> TaskState:
    """A tap that the task's row decides, in one transaction."""
    async with parts.database.write() as writer:
        return await act(
            writer,
            site_id=who.site_id,
            rider_id=who.subject,
            task_id=task_id,
            token=tap.token,
            request_id=uuid.uuid4().hex,
        )


async def _tap(
    parts: Parts,
    who: Identity,
    task_id: str,
    token: int,
    *,
    name: str,
    after: frozenset[Delivery],
    missing: tuple[Missing, ...] = (),
    photo_id: str = "",
) -> Response:
    """A tap that the order's workflow decides; its repeat under the same token is no fault."""
    async with parts.database.read() as reader:
        task = await riders.task(reader, site_id=who.site_id, task_id=task_id)
    if (task.rider_id, task.token) != (who.subject, token):
        # Not worth one of the order's updates, of which a run has a limited number.
        raise ActionNotAllowed("the task is not yours", state=task.state)
    command = RiderCommand(
        actor=who.actor,
        request_id=uuid.uuid4().hex,
        rider_id=who.subject,
        token=token,
        missing=missing,
        photo_id=photo_id,
    )
    try:
        await parts.durable.command(task.order_id, name, command, update_id=command.request_id)
    except ActionNotAllowed:
        async with parts.database.read() as reader:
            task = await riders.task(reader, site_id=who.site_id, task_id=task_id)
        if (task.rider_id, task.token) != (who.subject, token) or task.state not in after:
            raise
    stream = await parts.refresh(task.order_id)
    async with parts.database.read() as reader:
        task = await riders.task(reader, site_id=who.site_id, task_id=task_id)
    return reply(
        {
            "task_id": task_id,
            "order_id": task.order_id,
            "state": task.state,
            "token": token,
            "seq": stream.seq if stream else 0,
        }
    )


async def done(
    parts: Parts, state: TaskState, *, dropoff: dict[str, Any] | None = None
) -> Response:
    """The task after a tap, which the next read of its order is not older than."""
    await parts.refresh(state.order_id)
    told = asdict(state)
    return reply(told if dropoff is None else told | {"dropoff": dropoff})


async def _dropoff(reader: Reader, who: Identity, order_id: str) -> dict[str, Any] | None:
    stream = await events.stream(reader, order_id)
    if stream is None:
        return None
    found = await addresses.of_orders(reader, who.site_id, [(order_id, stream.customer_id)])
    address: dict[str, Any] | None = found.get(order_id, {}).get("address")
    return address
