"""Starting refunds: workflows of their own, left to themselves when the order ends."""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from domain.contracts.refunds import RefundOrder
from domain.ids import refund_workflow

TASK_QUEUE = "orders"


async def start_refunds(
    numbers: Sequence[str], *, order_id: str, poll_seconds: tuple[float, ...]
) -> None:
    """Start the workflow of each stored refund; one that is on its way already is left alone."""
    for number in numbers:
        try:
            await workflow.start_child_workflow(
                "Refund",
                RefundOrder(out_refund_no=number, order_id=order_id, poll_seconds=poll_seconds),
                id=refund_workflow(number),
                task_queue=TASK_QUEUE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                static_summary=f"refund {number}",
            )
        except WorkflowAlreadyStartedError:
            continue
