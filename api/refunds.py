"""Refunds that a person must mend: an abnormal one is sent to another card of its customer."""

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.identity import Desk
from api.once import NeededKey, key_of, once, request_id
from api.parts import Held
from api.replies import reply
from api.schemas import Id
from domain.channels import BankCard
from domain.errors import ActionNotAllowed, NotFound
from services import refunds

router = APIRouter(prefix="/v1/finance/refunds", tags=["finance"])
BY_HAND = "pay the customer another way, then end the ticket"


@router.post("/{out_refund_no}/retry", response_model=schemas.RefundSentAgain)
async def retry_refund(
    parts: Held,
    who: Desk,
    out_refund_no: Id,
    wanted: schemas.SendRefundAgain,
    idempotency_key: NeededKey,
) -> Response:
    """Send an abnormal refund to another card of its customer; within a minute it is on its way.

    A channel that can't is refused with `reason` `by_hand` and what a person does then.
    """
    async with parts.database.read() as reader:
        stored = await refunds.refunding(reader, out_refund_no)
    if stored.site_id != who.site_id:
        raise NotFound("there is no such refund")
    key = key_of(who, idempotency_key, f"/v1/finance/refunds/{out_refund_no}/retry", wanted)

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        ability = parts.gateways.abilities.get(stored.channel)
        if ability is None or not ability.retries_refunds:
            raise ActionNotAllowed(
                "this channel sends no refund again", reason="by_hand", do=BY_HAND
            )
        async with parts.database.write() as writer:
            sent = await refunds.send_again(
                writer,
                out_refund_no,
                BankCard(**wanted.card.model_dump()),
                actor=who.actor,
                request_id=request_id(key),
                reason=wanted.reason_code,
            )
        return reply({"out_refund_no": out_refund_no, "state": sent.state, "retries": sent.retries})

    return await once(parts, key, stored.order_id, go)
