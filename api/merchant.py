"""The shop's screen: its orders, what it answers to them, its switches."""

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import Response

from api import schemas, views
from api.commands import act
from api.identity import Merchant
from api.once import GivenKey, key_of, once, request_id
from api.orders import Cursor, Limit, Nothing, Status, ensure_mine, page_of
from api.parts import Held, Parts, utc_now
from api.replies import reply
from api.schemas import Id
from domain.contracts.life import Command, DecideCancel, Reject
from domain.contracts.orders import Step
from domain.shops import is_open
from services import kitchen, pickups, ratings, shops
from services.identity import Identity
from services.reads import Filter
from services.requests import Key
from services.shops import Switches

router = APIRouter(prefix="/v1/merchant", tags=["merchant"])


@router.get("/orders", response_model=schemas.Orders)
async def list_merchant_orders(
    parts: Held,
    who: Merchant,
    status: Status | None = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """Orders of the merchant's shops, newest first."""
    which = Filter(site_id=who.site_id, merchant_id=who.subject, status=status or "")
    return await page_of(parts, which, cursor, limit)


@router.post("/orders/{order_id}/accept", response_model=schemas.Done)
async def accept_order(
    parts: Held, who: Merchant, order_id: Id, idempotency_key: GivenKey = None
) -> Response:
    """Take the order: the kitchen starts."""
    key = await _key(parts, who, order_id, "accept", idempotency_key)
    command = Command(actor=who.actor, request_id=request_id(key))
    return await act(parts, key, order_id, "accept", command)


@router.post("/orders/{order_id}/reject", response_model=schemas.Done)
async def reject_order(
    parts: Held,
    who: Merchant,
    order_id: Id,
    rejection: schemas.RejectOrder,
    idempotency_key: GivenKey = None,
) -> Response:
    """Refuse the order: everything goes back to the customer."""
    key = await _key(parts, who, order_id, "reject", idempotency_key, body=rejection)
    command = Reject(actor=who.actor, request_id=request_id(key), reason_code=rejection.reason_code)
    return await act(parts, key, order_id, "reject", command)


@router.post("/orders/{order_id}/ready", response_model=schemas.Done)
async def mark_order_ready(
    parts: Held, who: Merchant, order_id: Id, idempotency_key: GivenKey = None
) -> Response:
    """The food is ready."""
    key = await _key(parts, who, order_id, "ready", idempotency_key)
    command = Command(actor=who.actor, request_id=request_id(key))
    return await act(parts, key, order_id, "ready", command)


@router.post("/orders/{order_id}/prep", response_model=schemas.PrepChanged)
async def change_prep(
    parts: Held,
    who: Merchant,
    order_id: Id,
    wanted: schemas.ChangePrep,
    idempotency_key: GivenKey = None,
) -> Response:
    """Say when it will be ready; the customer is told of the delay before it happens."""
    key = await _key(parts, who, order_id, "prep", idempotency_key, body=wanted)
    asked = request_id(key)
    step = Step(order_id=order_id, key=f"prep:{asked}", actor=who.actor, request_id=asked)

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        async with parts.database.write() as writer:
            told = await kitchen.change(writer, step, wanted.minutes)
        stream = await parts.refresh(order_id)
        names = ("food_ready_at", "estimated_at", "delay")
        return reply(
            {"order_id": order_id, "seq": stream.seq if stream else 0}
            | {name: told.get(name) for name in names}
        )

    return await once(parts, key, order_id, go)


@router.post("/orders/{order_id}/hand-over", response_model=schemas.Done)
async def hand_over_order(
    parts: Held,
    who: Merchant,
    order_id: Id,
    proof: schemas.PickupCode,
    idempotency_key: GivenKey = None,
) -> Response:
    """Give the food to whoever tells the customer's code; five tries."""
    key = await _key(parts, who, order_id, "hand-over", idempotency_key, body=proof)
    await pickups.check_code(
        parts.database, order_id=order_id, code=proof.code, key=parts.handover_key
    )
    command = Command(actor=who.actor, request_id=request_id(key))
    return await act(parts, key, order_id, "hand_over", command)


@router.post("/orders/{order_id}/cancel-request", response_model=schemas.Done)
async def decide_cancel(
    parts: Held,
    who: Merchant,
    order_id: Id,
    answer: schemas.DecideCancel,
    idempotency_key: GivenKey = None,
) -> Response:
    """Agree to the customer's wish to cancel, or decline it."""
    key = await _key(parts, who, order_id, "cancel-request", idempotency_key, body=answer)
    command = DecideCancel(actor=who.actor, request_id=request_id(key), decision=answer.decision)
    return await act(parts, key, order_id, "decide_cancel", command)


@router.post("/shops/{shop_id}", response_model=schemas.Shop)
async def switch_shop(
    parts: Held, who: Merchant, shop_id: Id, switches: schemas.SwitchShop
) -> Response:
    """Open or close, pause (for good or a while), accept by itself, how long it cooks."""
    set_pause = "paused_until" in switches.model_fields_set
    async with parts.database.write() as writer:
        site = await shops.site(writer, who.site_id)
        shop = await shops.switch(
            writer,
            Switches(**switches.model_dump(), set_pause=set_pause),
            site_id=who.site_id,
            merchant_id=who.subject,
            shop_id=shop_id,
        )
        rated = await ratings.sums(writer, who.site_id, [f"shop:{shop_id}"])
    takes_orders = is_open(shop, site.local(utc_now()), always_open=site.always_open)
    return reply(views.shop(shop, takes_orders=takes_orders, rated=rated[f"shop:{shop_id}"]))


@router.post("/items/{item_id}/availability", response_model=schemas.Item)
async def set_availability(
    parts: Held, who: Merchant, item_id: Id, wanted: schemas.SetAvailability
) -> Response:
    """Sell an item or not, and how many are left."""
    async with parts.database.write() as writer:
        item = await shops.set_availability(
            writer,
            site_id=who.site_id,
            merchant_id=who.subject,
            shop_id=wanted.shop_id,
            item_id=item_id,
            available=wanted.available,
            stock=wanted.stock,
            set_stock="stock" in wanted.model_fields_set,
        )
    return reply(views.item(item))


@router.post("/items/{item_id}/carriage", response_model=schemas.Item)
async def set_carriage(
    parts: Held, who: Merchant, item_id: Id, wanted: schemas.SetCarriage
) -> Response:
    """Say how an item is carried: its share of a box, and what its rider must have."""
    async with parts.database.write() as writer:
        item = await shops.set_carriage(
            writer,
            site_id=who.site_id,
            merchant_id=who.subject,
            shop_id=wanted.shop_id,
            item_id=item_id,
            load=wanted.load,
            needs=wanted.needs,
        )
    return reply(views.item(item))


async def _key(
    parts: Parts,
    who: Identity,
    order_id: str,
    act_name: str,
    given: str | None,
    *,
    body: BaseModel | None = None,
) -> Key | None:
    await ensure_mine(parts, who, order_id)
    path = f"/v1/merchant/orders/{order_id}/{act_name}"
    return key_of(who, given, path, body or Nothing()) if given else None
