"""What a shop did not hand out: money back by lines, borne by the merchant; the rest goes on."""

from activities.support import give_back
from domain import allocation, ids
from domain.after_sale import State, choose
from domain.contracts.after_sales import AfterSaleTimers, Ask, AskedLine
from domain.contracts.orders import Done, RiderStep
from domain.errors import ActionNotAllowed
from domain.refund_rules import AUTO_APPROVE_FEN, reason_of
from services import after_sales, refunds
from services.after_sales import CAUSE
from services.db import Writer
from services.orders import Changed

REASON = reason_of("missing_item")
KEY = "missing_at_pickup"


async def refund_missing(writer: Writer, changed: Changed, step: RiderStep) -> Done:
    """A wish of the customer's for each missing unit, agreed to at once, beside the pick-up.

    Where nothing can be paid back yet (money that is only held), it waits for its merchant.

    Raises:
        Invalid: there is no such line.
        ActionNotAllowed: more than there is, or nothing would be left to deliver.
    """
    order_id = step.order_id
    after_sale_id = ids.derive(KEY, order_id)
    cause = f"{CAUSE}{after_sale_id}"
    if not step.missing:
        return changed.done()
    if not changed.fresh:
        known = await refunds.by_cause(writer, order_id, cause)
        return changed.done((known,) if known else ())
    sold = await after_sales.sold(writer, order_id)
    lines = tuple(AskedLine(line_no=line.line_no, quantity=line.quantity) for line in step.missing)
    parts = choose(sold.left, lines, delivery_fee=False, reason=REASON)
    goods = sum(part.quantity for part in sold.left if part.key.startswith("goods:"))
    if sum(line.quantity for line in lines) >= goods:
        raise ActionNotAllowed("nothing is left to deliver", reason="nothing_left")
    ask = Ask(
        after_sale_id=after_sale_id,
        order_id=order_id,
        actor=step.actor,
        request_id=step.request_id,
        lines=lines,
        delivery_fee=False,
        reason_code=REASON.code,
        evidence=(),
        timers=AfterSaleTimers().scaled(sold.speed),
        auto_approve_fen=AUTO_APPROVE_FEN,
        approval_limit_fen=0,  # where the merchant refuses, two of support decide
    )
    await after_sales.insert(
        writer, ask, site_id=sold.site_id, reason=REASON, state=State.ASKED, parts=parts
    )
    done = await give_back(
        writer,
        changed,
        step,
        cause=cause,
        reason=REASON.code,
        amount_fen=allocation.paid_fen(parts),
    )
    for number in done.refund_nos:
        await after_sales.pay(writer, after_sale_id, out_refund_no=number, parts=parts)
        await after_sales.move(
            writer, after_sale_id, State.APPROVED, actor=step.actor, reason_code=KEY
        )
    return done
