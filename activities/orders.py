"""Acts that write an order's row: each one transaction, recognised by its step's key."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Row

from activities.act import act
from activities.compensation import compensate_late
from activities.dividing import divide
from activities.earnings import pay_rider
from activities.missing import refund_missing
from activities.payments import pay
from activities.refunds import open_refund
from domain.compensation import TIERS
from domain.contracts import orders as contracts
from domain.contracts.life import Order
from domain.contracts.orders import (
    AcceptStep,
    Done,
    EndDone,
    EndStep,
    RiderStep,
    Step,
)
from domain.contracts.payments import StoreAttempt
from domain.errors import ActionNotAllowed
from domain.eta import promised_from
from domain.orders import (
    ACCEPTED,
    CUSTOMER_FAULT,
    FINAL,
    MERCHANT_FAULT,
    CloseReason,
    Delivery,
    Fulfilment,
    Kitchen,
    Payment,
    Status,
)
from services import (
    credit,
    dispatch,
    events,
    orders,
    payments,
    pickups,
    refunds,
    tickets,
)
from services.db import Database, Writer
from services.orders import Change, Changed


class OrderActs:
    """The acts on an order's row, over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @act(contracts.RESERVE)
    async def reserve(self, order: Order) -> Done:
        """Take stock, credit and a number; write the order and the number of its first payment.

        What credit pays whole is paid here: no channel hears of it.
        """
        async with self.database.write() as writer:
            placed = await orders.reserve(writer, order)
            if placed.fresh and order.credit_fen:
                held = credit.Hold(
                    hold_id=order.order_id,
                    site_id=order.site_id,
                    customer_id=order.customer_id,
                    order_id=order.order_id,
                    amount_fen=order.credit_fen,
                )
                await credit.hold(writer, held, now=events.utc_now())
            if placed.fresh and order.credit_fen == order.total_fen:
                placed = await pay(
                    writer,
                    placed.stream,
                    channel_fen=0,
                    credit_fen=order.credit_fen,
                    actor=f"customer:{order.customer_id}",
                )
            elif placed.fresh:
                await payments.store_attempt(
                    writer,
                    StoreAttempt(
                        order_id=order.order_id,
                        attempt=1,
                        channel=order.channel,
                        method=order.method,
                        wishes=order.wishes,
                    ),
                )
            return placed.done()

    @act(contracts.MARK_ACCEPTED)
    async def mark_accepted(self, step: AcceptStep) -> Done:
        """The kitchen starts; who brings the food, or fetches it, comes later."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return Changed(stream=stream, fresh=False).done()
            row = await orders.find(writer, step.order_id)
            view = {
                "status": Status.PREPARING,
                "kitchen": Kitchen.PREPARING,
                "delivery": await self._open_delivery(writer, row, step),
                "promised_from": promised_from(
                    stream.view.get("promise"), step.promised_at, row.timers["promise_seconds"]
                ),
                "promised_at": step.promised_at,
            }
            columns = {
                "status": Status.PREPARING,
                "kitchen": Kitchen.PREPARING,
                "promised_at": step.promised_at,
                "accepted_at": events.NOW,
            }
            what = Change(type="order.accepted", data=view, columns=columns)
            return (await orders.change(writer, step, stream, what)).done()

    @staticmethod
    async def _open_delivery(writer: Writer, row: Row[Any], step: AcceptStep) -> Delivery:
        """A delivery task waits for its search to begin; what is fetched has none."""
        if row.fulfilment == Fulfilment.SELF_PICKUP:
            await pickups.open_pickup(
                writer,
                order_id=step.order_id,
                site_id=row.site_id,
                food_ready_at=step.food_ready_at,
            )
            return Delivery.NONE
        await dispatch.open_task(
            writer,
            site_id=row.site_id,
            zone_id=row.zone_id,
            order_id=step.order_id,
            shop_id=row.shop_id,
            food_ready_at=step.food_ready_at,
            search_from=step.search_from,
            support_at=step.support_at,
            give_up_at=step.give_up_at,
            promised_at=step.promised_at,
            offer_seconds=step.offer_seconds,
            rider_silence_seconds=step.rider_silence_seconds,
            unreachable_seconds=step.unreachable_seconds,
            held=row.held,
        )
        return Delivery.SEARCHING

    @act(contracts.REMIND_MERCHANT)
    async def remind_merchant(self, step: Step) -> Done:
        """Tell the shop's screen that an order waits."""
        return await self._apply(step, Change(type="order.reminded", data={}, columns={}))

    @act(contracts.MARK_READY)
    async def mark_ready(self, step: Step) -> Done:
        """The food is ready and waits for its rider, or for its customer.

        To be fetched, it is late no longer: the customer gets what the kitchen's lateness gives.
        """
        both = {"status": Status.AWAITING_PICKUP, "kitchen": Kitchen.READY}
        async with self.database.write() as writer:
            what = Change(type="order.ready", data=both, columns=both)
            changed = await orders.apply(writer, step, what)
            if changed.fresh:
                await dispatch.food_is_ready(writer, order_id=step.order_id)
                await pickups.food_is_ready(writer, order_id=step.order_id)
            view = changed.stream.view
            if view.get("late") and view.get("fulfilment") == Fulfilment.SELF_PICKUP:
                return await compensate_late(writer, changed, step, cause="late_ready")
            return changed.done()

    @act(contracts.ASK_CANCEL)
    async def ask_cancel(self, step: Step) -> Done:
        """The customer wants out while the kitchen cooks: the merchant is asked."""
        asked = {"cancel_request": "asked"}
        return await self._apply(step, Change(type="order.cancel_asked", data=asked, columns={}))

    @act(contracts.DECLINE_CANCEL)
    async def decline_cancel(self, step: Step) -> Done:
        """The merchant said no, or nothing: the order goes on; on silence support is told."""
        no = {"cancel_request": "declined"}
        async with self.database.write() as writer:
            what = Change(type="order.cancel_declined", data=no, columns={})
            changed = await orders.apply(writer, step, what)
            if changed.fresh and step.actor == "system":
                await self._ticket(writer, changed, "cancel_unanswered", step.key)
            return changed.done()

    @act(contracts.MARK_PICKED_UP)
    async def mark_picked_up(self, step: RiderStep) -> Done:
        """The rider takes the food; against a cancel, whoever wins the task row wins."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return await refund_missing(writer, Changed(stream=stream, fresh=False), step)
            if not await dispatch.take(
                writer, order_id=step.order_id, rider_id=step.rider_id, token=step.token
            ):
                raise ActionNotAllowed(status=stream.view["status"])
            view: dict[str, Any] = {
                "status": Status.DELIVERING,
                "kitchen": Kitchen.READY,
                "delivery": Delivery.PICKED_UP,
                "cancel_request": "none",
            }
            if step.missing:
                view["missing"] = [asdict(line) for line in step.missing]
            columns = {"status": Status.DELIVERING, "kitchen": Kitchen.READY}
            what = Change(type="order.picked_up", data=view, columns=columns)
            changed = await orders.change(writer, step, stream, what)
            return await refund_missing(writer, changed, step)

    @act(contracts.MARK_DELIVERED)
    async def mark_delivered(self, step: RiderStep) -> Done:
        """Handed over against the customer's code; after-sale opens.

        Where it had been late, the customer gets what the tier of its whole lateness gives more.
        """
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                known = Changed(stream=stream, fresh=False)
                return await compensate_late(writer, known, step, cause="late_delivered")
            if not await dispatch.hand_over(
                writer, order_id=step.order_id, rider_id=step.rider_id, token=step.token
            ):
                raise ActionNotAllowed(status=stream.view["status"])
            row = {"status": Status.DELIVERED, "after_sale": "open"}
            proof = {"photo_id": step.photo_id} if step.photo_id else {}
            what = Change(
                type="order.delivered",
                data=row | {"delivery": Delivery.DELIVERED, "delay": None} | proof,
                columns=row,
            )
            changed = await orders.change(writer, step, stream, what)
            await pay_rider(writer, stream, step.rider_id)
            if not stream.view.get("late"):
                return changed.done()
            return await compensate_late(writer, changed, step, cause="late_delivered")

    @act(contracts.COMPENSATE_LATE)
    async def compensate_late(self, step: Step) -> Done:
        """Late beyond patience: the customer is told and gets what the first tier gives, once."""
        async with self.database.write() as writer:
            changed = await orders.apply(
                writer, step, Change(type="order.late", data={"late": True}, columns={})
            )
            at_least = TIERS[0].late_seconds
            return await compensate_late(writer, changed, step, cause="late", at_least=at_least)

    @act(contracts.END)
    async def end(self, step: EndStep) -> EndDone:
        """End early: close the task unless a rider was faster, release, send the money home."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated or Status(stream.view["status"]) in FINAL:
                return self._end_done(stream, await self._refund_of_end(writer, step.order_id))
            returner = await dispatch.returner(writer, order_id=step.order_id)
            if (
                stream.view["status"] == Status.DELIVERED
                or not await self._is_so(writer, step, returner)
                or not await dispatch.close_if_open(
                    writer, order_id=step.order_id, even_after_pickup=step.even_after_pickup
                )
            ):
                return self._end_done(stream, (), ended=False)
            row = await orders.find(writer, step.order_id)
            await orders.release_stock(writer, step.order_id)
            await credit.release_if_held(writer, step.order_id)
            if CloseReason(step.reason) in CUSTOMER_FAULT and returner:
                await pay_rider(writer, stream, returner)
                await divide(writer, stream, row)
                refund_nos: tuple[str, ...] = ()
            else:
                accepted = Status(row.status) in ACCEPTED
                refund_nos = await self._refund_all(writer, stream, row, step, accepted=accepted)
            payment = Payment.REFUNDING if refund_nos else Payment(row.payment)
            if payment is Payment.AUTHORIZED:
                payment = Payment.UNPAID  # voided just before
            columns = {
                "status": Status.CANCELLED,
                "close_reason": step.reason,
                "payment": payment,
                "held": False,
            }
            what = Change(
                type="order.cancelled",
                data=columns | {"delivery": Delivery.NONE, "cancel_request": "none"},
                columns=columns | {"ended_at": events.NOW},
            )
            changed = await orders.change(writer, step, stream, what)
            return self._end_done(changed.stream, refund_nos)

    @act(contracts.COMPLETE)
    async def complete(self, step: Step) -> Done:
        """After-sale is over: what is still held goes to those who earned it, by contract."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return Changed(stream=stream, fresh=False).done()
            row = await orders.find(writer, step.order_id)
            await divide(writer, stream, row)
            # A wish that was made meanwhile outlives the order.
            shown = stream.view["after_sale"]
            shown = "closed" if shown == "open" else shown
            columns = {"status": Status.COMPLETED, "after_sale": shown}
            what = Change(
                type="order.completed",
                data=columns,
                columns=columns | {"ended_at": events.NOW},
            )
            return (await orders.change(writer, step, stream, what)).done()

    @staticmethod
    async def _is_so(writer: Writer, step: EndStep, returner: str | None) -> bool:
        """Whether what dispatch had said still holds: somebody may have stepped in since."""
        match step.reason:
            case CloseReason.NO_RIDER:
                return await dispatch.has_given_up(writer, order_id=step.order_id)
            case CloseReason.CUSTOMER_UNREACHABLE:
                return returner is not None
        return True

    async def _apply(self, step: Step, what: Change) -> Done:
        async with self.database.write() as writer:
            return (await orders.apply(writer, step, what)).done()

    async def _refund_all(
        self, writer: Writer, stream: events.Stream, row: Row[Any], step: EndStep, *, accepted: bool
    ) -> tuple[str, ...]:
        if accepted and CloseReason(step.reason) not in MERCHANT_FAULT:
            await refunds.pay_merchant(writer, stream, amount_fen=row.goods_fen + row.packing_fen)
        left = row.paid_fen - row.refunded_fen
        if left <= 0:
            return ()
        number = await open_refund(writer, stream, cause="end", reason=step.reason, amount_fen=left)
        if number is None:
            raise ActionNotAllowed(status=row.status)
        return (number,)

    @staticmethod
    async def _refund_of_end(writer: Writer, order_id: str) -> tuple[str, ...]:
        number = await refunds.by_cause(writer, order_id, "end")
        return (number,) if number else ()

    @staticmethod
    def _end_done(
        stream: events.Stream, refund_nos: tuple[str, ...], *, ended: bool = True
    ) -> EndDone:
        view = stream.view
        return EndDone(
            seq=stream.seq,
            status=view["status"],
            payment=view["payment"],
            kitchen=view["kitchen"],
            refund_nos=refund_nos,
            ended=ended,
        )

    @staticmethod
    async def _ticket(writer: Writer, changed: Changed, kind: str, key: str) -> None:
        stream = changed.stream
        await tickets.open_ticket(
            writer, site_id=stream.site_id, order_id=stream.order_id, kind=kind, key=key
        )


def build(database: Database) -> list[Callable[..., Any]]:
    """Every act of this room's file, ready to be registered."""
    acts = OrderActs(database)
    return [
        acts.reserve,
        acts.mark_accepted,
        acts.remind_merchant,
        acts.mark_ready,
        acts.ask_cancel,
        acts.decline_cancel,
        acts.mark_picked_up,
        acts.mark_delivered,
        acts.compensate_late,
        acts.end,
        acts.complete,
    ]
