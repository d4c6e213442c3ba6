"""The mending of an order whose workflow is gone: close, query, refund, release, end the row."""

import asyncio

from temporalio import workflow

from domain.contracts import orders, payments
from domain.contracts.life import RecoverOrder
from domain.contracts.orders import EndDone, EndStep, Step
from domain.contracts.payments import Found, OfOrder, Settle
from domain.orders import CloseReason, Status
from workflows.kit import acts, policies
from workflows.kit.refunds import start_refunds


@workflow.defn(name="Recover")
class Recover:
    """What support's cancel would have done, without the workflow that can't do it any more."""

    @workflow.run
    async def run(self, order: RecoverOrder) -> EndDone:
        """End the order as support's cancel; money found on the way goes home."""
        of_order = OfOrder(order_id=order.order_id)
        found = await acts.regular(payments.CLOSE, of_order, **policies.GATEWAY)
        step = EndStep(
            order_id=order.order_id,
            key="ended",
            actor="sweep",
            reason=CloseReason.SUPPORT_CANCELLED,
            even_after_pickup=True,
        )
        done = await acts.local(orders.END, step, **policies.ROW)
        await _send_home(order, found, done.refund_nos)
        if done.status == Status.DELIVERED:
            # What was handed over is not undone: its after-sale closes, on money that was taken.
            completed = Step(order_id=order.order_id, key="completed", actor="sweep")
            await acts.local(orders.COMPLETE, completed, **policies.ROW)
        if found.close_again_seconds:
            # Till then somebody may pay what no gateway could close; by then its word is final.
            await asyncio.sleep(found.close_again_seconds)
            late = await acts.regular(payments.CLOSE, of_order, **policies.GATEWAY)
            await _send_home(order, late, ())
        return done


async def _send_home(order: RecoverOrder, found: Found, refund_nos: tuple[str, ...]) -> None:
    for notice_id in found.notice_ids:
        settle = Settle(order_id=order.order_id, notice_id=notice_id)
        refund_nos += (await acts.local(payments.SETTLE, settle, **policies.ROW)).refund_nos
    await start_refunds(refund_nos, order_id=order.order_id, poll_seconds=order.poll_seconds)
