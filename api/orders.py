"""Orders as customers place, pay, watch and cancel them."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.responses import Response

from api import checkout, cursors, placing, replies, schemas
from api.commands import act
from api.identity import Customer, ensure_theirs
from api.once import GivenKey, NeededKey, key_of, once, request_id
from api.parts import Held
from api.payers import Device
from api.schemas import PAGE_ITEMS, Id
from domain import ids
from domain.contracts.life import Command
from services import events, reads
from services.identity import Identity
from services.reads import Filter

router = APIRouter(prefix="/v1/orders", tags=["orders"])
Cursor = Annotated[str | None, Query(max_length=cursors.CURSOR_CHARS)]
Limit = Annotated[int, Query(ge=1, le=PAGE_ITEMS)]
Status = Literal[
    "awaiting_payment",
    "under_review",
    "awaiting_acceptance",
    "preparing",
    "awaiting_pickup",
    "delivering",
    "delivered",
    "completed",
    "cancelled",
]


class Nothing(BaseModel):
    """A command without words."""


@router.post(
    "",
    response_model=schemas.PayableOrder,
    status_code=201,
    responses={202: {"model": schemas.PendingOrder}},
)
async def place_order(
    parts: Held,
    who: Customer,
    device: Device,
    wanted: schemas.NewOrder,
    idempotency_key: NeededKey,
) -> Response:
    """Place an order; 202 while the gateway's answer is unknown: repeat under the same key."""
    order_id = ids.order_id(who.site_id, who.subject, idempotency_key)
    key = key_of(who, idempotency_key, "/v1/orders", wanted)

    async def go(first: bool) -> Response:  # noqa: FBT001 - a callback's one word
        return await placing.place(parts, who, order_id, wanted, device=device, first=first)

    return await once(parts, key, order_id, go)


@router.get("", response_model=schemas.Orders)
async def list_orders(
    parts: Held,
    who: Customer,
    status: Status | None = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """The caller's orders, newest first."""
    which = Filter(site_id=who.site_id, customer_id=who.subject, status=status or "")
    return await page_of(parts, which, cursor, limit)


@router.get("/{order_id}/payment", response_model=schemas.PaymentPage)
async def get_payment(parts: Held, who: Customer, device: Device, order_id: Id) -> Response:
    """The payment's page; what has grown too old to pay with is renewed under a new number."""
    await ensure_mine(parts, who, order_id)
    return await checkout.page(parts, who, order_id, device)


@router.post(
    "/{order_id}/payments",
    response_model=schemas.PayableOrder,
    status_code=201,
    responses={202: {"model": schemas.PendingOrder}},
)
async def open_payment(
    parts: Held,
    who: Customer,
    device: Device,
    order_id: Id,
    *,
    wanted: schemas.Paying,
    idempotency_key: GivenKey = None,
) -> Response:
    """Pay again, or by another way; the same way twice is the same payment while it is open."""
    await ensure_mine(parts, who, order_id)
    path = f"/v1/orders/{order_id}/payments"
    key = key_of(who, idempotency_key, path, wanted) if idempotency_key else None

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        return await checkout.open_payment(parts, who, order_id, wanted, device)

    return await once(parts, key, order_id, go)


@router.post("/{order_id}/cancel", response_model=schemas.Done)
async def cancel_order(
    parts: Held, who: Customer, order_id: Id, idempotency_key: GivenKey = None
) -> Response:
    """Cancel: free before acceptance; while cooking the merchant is asked (`asked`)."""
    await ensure_mine(parts, who, order_id)
    path = f"/v1/orders/{order_id}/cancel"
    key = key_of(who, idempotency_key, path, Nothing()) if idempotency_key else None
    command = Command(actor=who.actor, request_id=request_id(key))
    return await act(parts, key, order_id, "cancel", command)


async def ensure_mine(parts: Held, who: Identity, order_id: str) -> None:
    """Raise NotFound unless the order is the caller's."""
    async with parts.database.read() as reader:
        ensure_theirs(who, await events.stream(reader, order_id))


async def page_of(parts: Held, which: Filter, cursor: str | None, limit: int) -> Response:
    """A page of orders."""
    after = None
    if cursor:
        at, order_id = cursors.decode(cursor, str, str)
        after = (cursors.moment(at), str(order_id))
    async with parts.database.read() as reader:
        page = await reads.orders(reader, which, after=after, limit=limit)
    return replies.page(page.items, cursors.encode(*page.last) if page.last else None)
