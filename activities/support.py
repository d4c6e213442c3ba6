"""Acts by which support steps in, and what the customer gets back while the order goes on."""

from collections.abc import Callable
from typing import Any

from activities.act import act
from activities.refunds import open_refund
from domain.contracts import orders as contracts
from domain.contracts.orders import (
    Done,
    ExtendStep,
    ReassignStep,
    RefundStep,
    Step,
    SupportStep,
    TimelineStep,
)
from domain.errors import ActionNotAllowed
from domain.orders import Delivery, Payment
from services import dispatch, events, orders, tickets
from services.db import Database, Writer
from services.orders import Change, Changed


class SupportActs:
    """Support's acts on an order, over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @act(contracts.REFUND_PART)
    async def refund_part(self, step: RefundStep) -> Done:
        """Support gives an amount back while the order goes on."""
        async with self.database.write() as writer:
            stream, _ = await orders.begin(writer, step)
            done = await give_back(
                writer,
                Changed(stream=stream, fresh=False),
                step,
                cause=step.key,
                reason=step.reason,
                amount_fen=step.amount_fen,
            )
            if not done.refund_nos:
                raise ActionNotAllowed("more than what is left of the payment", status=done.status)
            return done

    @act(contracts.ASK_SUPPORT)
    async def ask_support(self, step: SupportStep) -> Done:
        """Open a ticket and write it on the timeline."""
        async with self.database.write() as writer:
            stream, _ = await orders.begin(writer, step)
            await tickets.open_ticket(
                writer,
                site_id=stream.site_id,
                order_id=stream.order_id,
                kind=step.kind,
                key=step.key,
                due_at=step.due_at,
            )
            await _note(writer, stream, step, f"support_asked.{step.kind}")
            return Changed(stream=stream, fresh=False).done()

    @act(contracts.REASSIGN)
    async def reassign(self, step: ReassignStep) -> Done:
        """Take the task from its rider; the search begins anew, or names another."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return Changed(stream=stream, fresh=False).done()
            task = await dispatch.reassign(writer, order_id=step.order_id, rider_id=step.rider_id)
            if task is None:
                raise ActionNotAllowed(status=stream.view["status"])
            rider_id = "" if task.state == Delivery.SEARCHING else step.rider_id
            what = Change(
                type="delivery.reassigned",
                data={"delivery": task.state, "rider_id": rider_id},
                columns={},
            )
            return (await orders.change(writer, step, stream, what)).done()

    @act(contracts.EXTEND)
    async def extend(self, step: ExtendStep) -> Done:
        """The search for a rider gets the same time that the order's deadlines get."""
        async with self.database.write() as writer:
            stream, _ = await orders.begin(writer, step)
            if await _note(writer, stream, step, "extended"):
                await dispatch.extend(writer, order_id=step.order_id, seconds=step.extend_seconds)
            return Changed(stream=stream, fresh=False).done()

    @act(contracts.HOLD)
    async def hold(self, step: Step) -> Done:
        """Support holds the order: no timer ends it."""
        async with self.database.write() as writer:
            held = Change(type="order.held", data={"held": True}, columns={"held": True})
            changed = await orders.apply(writer, step, held)
            if changed.fresh:
                await dispatch.hold(writer, order_id=step.order_id)
            return changed.done()

    @act(contracts.RELEASE)
    async def release(self, step: Step) -> Done:
        """Back to the normal path; a silent customer's time goes on where it stood."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return Changed(stream=stream, fresh=False).done()
            until = await dispatch.release(writer, order_id=step.order_id)
            if until is not None:
                later = events.Event(
                    type="delivery.unreachable",
                    key=f"{step.key}:unreachable",
                    data={"unreachable_until": until},
                    actor=step.actor,
                    request_id=step.request_id,
                )
                await events.append(writer, step.order_id, later)
            free = {"held": False}
            released = Change(type="order.released", data=free, columns=free)
            return (await orders.change(writer, step, stream, released)).done()

    @act(contracts.NOTE)
    async def note(self, step: TimelineStep) -> Done:
        """Write a line of the inner timeline."""
        async with self.database.write() as writer:
            stream, _ = await orders.begin(writer, step)
            await _note(writer, stream, step, step.kind, step.data)
            return Changed(stream=stream, fresh=False).done()


async def give_back(
    writer: Writer,
    changed: Changed,
    step: Step,
    *,
    cause: str,
    reason: str,
    amount_fen: int,
) -> Done:
    """Open a refund out of what the order holds and say so; nothing left changes nothing."""
    if amount_fen <= 0:
        return changed.done()
    number = await open_refund(
        writer, changed.stream, cause=cause, reason=reason, amount_fen=amount_fen
    )
    if number is None:
        return changed.done()
    opening = Step(
        order_id=step.order_id,
        key=f"refunding:{number}",
        actor=step.actor,
        request_id=step.request_id,
    )
    paying = {"payment": Payment.REFUNDING}
    what = Change(type="order.refunding", data=paying, columns=paying)
    return (await orders.apply(writer, opening, what)).done((number,))


async def _note(
    writer: Writer,
    stream: events.Stream,
    step: Step,
    kind: str,
    data: dict[str, str] | None = None,
) -> bool:
    return await events.note(
        writer,
        order_id=step.order_id,
        site_id=stream.site_id,
        kind=kind,
        key=step.key,
        data=data,
        actor=step.actor,
        request_id=step.request_id,
    )


def build(database: Database) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = SupportActs(database)
    return [
        acts.refund_part,
        acts.ask_support,
        acts.reassign,
        acts.extend,
        acts.hold,
        acts.release,
        acts.note,
    ]
