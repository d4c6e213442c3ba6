"""Tips after delivery at the edge: a payment of its own, through the platform's channels."""

from dataclasses import asdict
from datetime import timedelta

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.identity import Customer
from api.once import NeededKey, key_of, once, request_id
from api.orders import ensure_mine
from api.parts import Held, Parts, utc_now
from api.payers import Device, prepare
from api.paying import Way, ensure_offered, parameters, ways
from api.placing import RETRY_SECONDS
from api.replies import reply
from api.schemas import Id
from domain import ids
from domain.contracts.tips import GiveTip
from domain.settlement import PLATFORM
from services import payments, tips
from services.db import Reader
from services.identity import Identity

router = APIRouter(prefix="/v1/orders", tags=["tips"])
SHOWN = {
    "created": "checking",
    "unknown": "checking",
    "watched": "checking",
    "opened": "open",
    "paid": "paid",
    "failed": "failed",
    "closed": "closed",
    "late": "returned",
    "frozen": "returned",
}
"""State of an attempt → of its tip."""


@router.post(
    "/{order_id}/tip",
    response_model=schemas.TipDone,
    status_code=201,
    responses={202: {"model": schemas.TipDone}},
)
async def give_tip(
    parts: Held,
    who: Customer,
    order_id: Id,
    wanted: schemas.NewTip,
    *,
    device: Device,
    idempotency_key: NeededKey,
) -> Response:
    """Tip the rider between delivery and the end of after-sale; 202: ask again, same key."""
    await ensure_mine(parts, who, order_id)
    key = key_of(who, idempotency_key, f"/v1/orders/{order_id}/tip", wanted)
    number = ids.tip_no(order_id, request_id(key))

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        async with parts.database.read() as reader:
            ensure_offered(await _ways(parts, reader, who), wanted.payment)
            timers = await tips.timers(reader, order_id)
        tip = GiveTip(
            order_id=order_id,
            out_trade_no=number,
            amount_fen=wanted.amount_fen,
            channel=wanted.payment.channel,
            method=wanted.payment.method,
            wishes=await prepare(parts, who, PLATFORM, wanted.payment, ref=number, device=device),
            pay_by=utc_now() + timedelta(seconds=timers.payment_seconds),
            notice_seconds=timers.notice_seconds,
            poll_seconds=timers.poll_seconds,
            refund_poll_seconds=timers.refund_poll_seconds,
        )
        await parts.durable.give_tip(tip)
        return await _told(parts, number)

    return await once(parts, key, order_id, go)


@router.get("/{order_id}/tips", response_model=schemas.Tips)
async def list_tips(parts: Held, who: Customer, order_id: Id) -> Response:
    """What was given after delivery, what became of it, and how more may be paid."""
    await ensure_mine(parts, who, order_id)
    async with parts.database.read() as reader:
        given = await tips.of_order(reader, order_id)
        left = await _ways(parts, reader, who)
    return reply(
        {
            "items": [
                {
                    "tip_id": one.out_trade_no,
                    "amount_fen": one.amount_fen,
                    "state": SHOWN[one.state],
                    "created_at": one.created_at,
                }
                for one in given
            ],
            "ways": [asdict(way) for way in left],
        }
    )


async def _ways(parts: Parts, reader: Reader, who: Identity) -> list[Way]:
    """The platform's channels, but for those that hold first: a tip has nobody to accept it."""
    found = await ways(parts, reader, who, PLATFORM)
    return [way for way in found if not parts.gateways.channel(way.channel).ability.holds]


async def _told(parts: Parts, number: str) -> Response:
    async with parts.database.read() as reader:
        paying = await payments.paying(reader, number)
    state = SHOWN[paying.state]
    told = {
        "order_id": paying.order_id,
        "tip_id": number,
        "amount_fen": paying.amount_fen,
        "state": state,
    }
    if state == "open":
        told |= parameters(parts, paying)
    if state == "checking":
        return reply(told, 202, {"Retry-After": str(RETRY_SECONDS)})
    return reply(told, 201)
