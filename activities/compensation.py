"""Compensation for lateness: by the table, within the day's caps, and above them a person."""

from activities.support import give_back
from domain.compensation import for_lateness
from domain.contracts.orders import Done, Step
from services import compensation, refunds, tickets
from services.db import Writer
from services.orders import Changed

REASON = "late_delivery"


async def compensate_late(
    writer: Writer, changed: Changed, step: Step, *, cause: str, at_least: float = 0
) -> Done:
    """Give what lateness is worth by now, less what it was given before, once per `cause`.

    `at_least` seconds late it counts as, whatever the clock says: the alarm that rang knows.
    """
    if not changed.fresh:
        known = await refunds.by_cause(writer, step.order_id, cause)
        return changed.done((known,) if known else ())
    late = await compensation.lateness(writer, step.order_id, reason=REASON)
    worth_fen = for_lateness(
        max(late.late_seconds, at_least),
        delivery_fee_fen=late.delivery_fee_fen,
        goods_fen=late.goods_fen,
    )
    amount_fen = min(worth_fen - late.given_fen, late.left_fen)
    if amount_fen <= 0:
        return changed.done()
    if await compensation.take(writer, late, amount_fen):
        return await give_back(
            writer, changed, step, cause=cause, reason=REASON, amount_fen=amount_fen
        )
    await tickets.open_ticket(
        writer,
        site_id=changed.stream.site_id,
        order_id=changed.stream.order_id,
        kind="compensation_capped",
        key=f"compensation_capped:{cause}",
        data={"amount_fen": amount_fen},
    )
    return changed.done()
