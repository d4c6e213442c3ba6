"""The rider's screen: shift, positions, offers, and each tap on a task."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.identity import Rider
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from domain.contracts.life import RiderCommand
from domain.errors import ActionNotAllowed
from domain.geo import Point
from domain.orders import Delivery
from services import addresses, dispatch, events, riders
from services.db import Reader
from services.dispatch import TaskState
from services.identity import Identity

router = APIRouter(prefix="/v1/rider", tags=["rider"])
PICKED_UP = frozenset({Delivery.PICKED_UP, Delivery.ARRIVED, Delivery.DELIVERED})


@router.post("/shift", response_model=schemas.ShiftDone)
async def set_shift(parts: Held, who: Rider, shift: schemas.Shift) -> Response:
    """Begin or end a shift; at its end the place is forgotten."""
    async with parts.database.write() as writer:
        await riders.set_shift(writer, site_id=who.site_id, rider_id=who.subject, on=shift.on)
    if not shift.on:
        await parts.positions.end(who.site_id, who.subject)
    elif shift.lat is not None and shift.lng is not None:
        await parts.positions.begin(who.site_id, who.subject, Point(shift.lat, shift.lng))
    return reply({"on": shift.on})


@router.post("/positions", response_model=schemas.PositionsDone)
async def report_positions(parts: Held, who: Rider, batch: schemas.Positions) -> Response:
    """Where the rider was: each is kept or dropped; viewers see the newest, and none may stay."""
    taken = await parts.positions.take(who.site_id, who.subject, batch.fixes(), way="http")
    return reply(asdict(taken))


@router.get("/offers", response_model=schemas.Work)
async def list_offers(parts: Held, who: Rider) -> Response:
    """Open offers, and the tasks the rider has with where they go."""
    async with parts.database.read() as reader:
        work = await dispatch.offers(reader, site_id=who.site_id, rider_id=who.subject)
        placed = await addresses.of_orders(
            reader, who.site_id, [(task.order_id, task.customer_id) for task in work.tasks]
        )
    hidden = {"customer_id", "address_id"}
    tasks = [
        {name: value for name, value in asdict(task).items() if name not in hidden}
        | {
            "dropoff": placed.get(task.order_id, {}).get("address"),
            "remark": placed.get(task.order_id, {}).get("remark", ""),
        }
        for task in work.tasks
    ]
    return reply({"offers": [asdict(offer) for offer in work.offers], "tasks": tasks})


@router.post("/tasks/{task_id}/claim", response_model=schemas.TaskDone)
async def claim_task(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """Take an offered task: the first one has it."""
    state = await _act(parts, who, task_id, tap, dispatch.claim)
    async with parts.database.read() as reader:
        dropoff = await _dropoff(reader, who, state.order_id)
    return await _done(parts, state, dropoff=dropoff)


@router.post("/tasks/{task_id}/decline", response_model=schemas.TaskDone)
async def decline_task(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """Say no to an offer."""
    state = await _act(parts, who, task_id, tap, dispatch.decline)
    return await _done(parts, state)


@router.post("/tasks/{task_id}/arrive-store", response_model=schemas.TaskDone)
async def arrive_at_store(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """The rider is at the shop."""
    state = await _act(parts, who, task_id, tap, dispatch.arrive_store)
    return await _done(parts, state)


@router.post("/tasks/{task_id}/pickup", response_model=schemas.TaskDone)
async def pick_up(parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken) -> Response:
    """The rider takes the food."""
    return await _tap(parts, who, task_id, tap.token, name="pickup", after=PICKED_UP)


@router.post("/tasks/{task_id}/arrive-customer", response_model=schemas.TaskDone)
async def arrive_at_customer(
    parts: Held, who: Rider, task_id: Id, tap: schemas.TaskToken
) -> Response:
    """The rider is at the door."""
    state = await _act(parts, who, task_id, tap, dispatch.arrive_customer)
    return await _done(parts, state)


@router.post("/tasks/{task_id}/deliver", response_model=schemas.TaskDone)
async def deliver(parts: Held, who: Rider, task_id: Id, proof: schemas.Proof) -> Response:
    """Handed over, against the customer's code; five tries."""
    await dispatch.check_proof(
        parts.database,
        site_id=who.site_id,
        rider_id=who.subject,
        task_id=task_id,
        token=proof.token,
        code=proof.code,
        key=parts.handover_key,
    )
    delivered = frozenset({Delivery.DELIVERED})
    return await _tap(parts, who, task_id, proof.token, name="deliver", after=delivered)


@router.post("/tasks/{task_id}/fail", response_model=schemas.TaskDone)
async def fail_task(parts: Held, who: Rider, task_id: Id, failure: schemas.Failure) -> Response:
    """The rider can't go on: another is searched, or support is asked."""
    async with parts.database.write() as writer:
        state = await dispatch.fail(
            writer,
            site_id=who.site_id,
            rider_id=who.subject,
            task_id=task_id,
            token=failure.token,
            reason_code=failure.reason_code,
            request_id=uuid.uuid4().hex,
        )
    return await _done(parts, state)


async def _act(
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
) -> Response:
    """A tap that the order's workflow decides; its repeat under the same token is no fault."""
    async with parts.database.read() as reader:
        task = await riders.task(reader, site_id=who.site_id, task_id=task_id)
    if (task.rider_id, task.token) != (who.subject, token):
        # Not worth one of the order's updates, of which a run has a limited number.
        raise ActionNotAllowed("the task is not yours", state=task.state)
    command = RiderCommand(
        actor=who.actor, request_id=uuid.uuid4().hex, rider_id=who.subject, token=token
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


async def _done(
    parts: Parts, state: TaskState, *, dropoff: dict[str, Any] | None = None
) -> Response:
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
