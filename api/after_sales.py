"""After-sale at the edge: customers ask, merchants answer, support decides."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Row
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Customer, Merchant, OfOrder, Support, Supporter, ensure_theirs
from api.once import GivenKey, NeededKey, key_of, once, request_id
from api.orders import Cursor, Limit, Nothing, ensure_mine
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from api.tickets import PHOTO_ANSWER, sent
from domain import ids
from domain.after_sale import SUPPORTS, State
from domain.contracts.after_sales import (
    AfterSaleCommand,
    AfterSaleSaid,
    AfterSaleTimers,
    Ask,
    AskedLine,
    Decide,
)
from domain.errors import NotFound
from domain.refund_rules import REASONS
from services import after_sales, events, shops, tickets
from services.identity import Identity, Role
from services.requests import Key

router = APIRouter(prefix="/v1", tags=["after-sale"])
Wanted = Annotated[
    Literal[
        "asked",
        "rejected",
        "escalated",
        "awaiting_approval",
        "approved",
        "delayed",
        "refunded",
        "declined",
    ]
    | None,
    Query(alias="state"),
]
"""A `domain.after_sale.State`: a class of that name is a ticket's, for generators of clients."""


@router.post("/orders/{order_id}/refunds", response_model=schemas.AfterSaleDone, status_code=201)
async def ask_refund(
    parts: Held, who: Customer, order_id: Id, wanted: schemas.NewRefund, idempotency_key: NeededKey
) -> Response:
    """Ask for money back; `action_not_allowed` names the reason and what is left."""
    await ensure_mine(parts, who, order_id)
    async with parts.database.read() as reader:
        await tickets.ensure_shown(reader, order_id, who.subject, wanted.evidence)
        speed = (await shops.site(reader, who.site_id)).speed
    key = key_of(who, idempotency_key, f"/v1/orders/{order_id}/refunds", wanted)
    ask = Ask(
        after_sale_id=ids.after_sale_id(order_id, idempotency_key),
        order_id=order_id,
        actor=who.actor,
        request_id=request_id(key),
        lines=tuple(AskedLine(**line.model_dump()) for line in wanted.lines),
        delivery_fee=wanted.delivery_fee,
        reason_code=wanted.reason_code,
        evidence=tuple(wanted.evidence),
        timers=AfterSaleTimers().scaled(speed),
        auto_approve_fen=parts.settings.after_sale_auto_fen,
        approval_limit_fen=parts.settings.approval_limit_fen,
    )

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        return await _done(parts, await parts.durable.ask_refund(ask), 201)

    return await once(parts, key, order_id, go)


@router.get("/orders/{order_id}/refunds", response_model=schemas.AfterSales)
async def list_refunds(parts: Held, who: OfOrder, order_id: Id) -> Response:
    """What was asked back of an order, and what became of it."""
    async with parts.database.read() as reader:
        ensure_theirs(who, await events.stream(reader, order_id))
        wishes = await after_sales.of_order(reader, order_id)
    return reply({"items": [_shown(wish) for wish in wishes]})


@router.get(
    "/after-sales/{after_sale_id}/evidence/{evidence_id}",
    response_class=Response,
    responses=PHOTO_ANSWER,
)
async def get_after_sale_evidence(
    parts: Held, who: OfOrder, after_sale_id: Id, evidence_id: Id
) -> Response:
    """A photo that an after-sale names, for whoever has to do with its order."""
    async with parts.database.read() as reader:
        wish = await after_sales.find(reader, after_sale_id)
        ensure_theirs(who, await events.stream(reader, wish.order_id))
        if evidence_id not in wish.evidence:
            raise NotFound("there is no such photo")
        return sent(await tickets.evidence_of_order(reader, wish.order_id, evidence_id))


@router.get("/merchant/after-sales", response_model=schemas.AfterSalesPage)
async def list_merchant_after_sales(
    parts: Held,
    who: Merchant,
    state: Wanted = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """After-sales of the merchant's orders, newest first; those that wait for an answer."""
    states = frozenset({State(state) if state else State.ASKED})
    return await _page(parts, who, states, cursor, limit)


@router.get("/support/after-sales", response_model=schemas.AfterSalesPage)
async def list_support_after_sales(
    parts: Held,
    who: Supporter,
    state: Wanted = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """After-sales of the site, newest first; those that wait for support's decision."""
    states = frozenset({State(state)}) if state else SUPPORTS
    return await _page(parts, who, states, cursor, limit)


@router.post("/after-sales/{after_sale_id}/escalate", response_model=schemas.AfterSaleDone)
async def escalate_after_sale(
    parts: Held, who: Customer, after_sale_id: Id, idempotency_key: GivenKey = None
) -> Response:
    """The merchant refused: ask support."""
    key, order_id = await _key(parts, who, after_sale_id, "escalate", idempotency_key)
    command = AfterSaleCommand(actor=who.actor, request_id=request_id(key))
    return await _answer(parts, key, order_id, command, (after_sale_id, "escalate"))


@router.post("/merchant/after-sales/{after_sale_id}/approve", response_model=schemas.AfterSaleDone)
async def approve_after_sale(
    parts: Held, who: Merchant, after_sale_id: Id, idempotency_key: GivenKey = None
) -> Response:
    """Give the money back."""
    key, order_id = await _key(parts, who, after_sale_id, "approve", idempotency_key)
    command = AfterSaleCommand(actor=who.actor, request_id=request_id(key))
    return await _answer(parts, key, order_id, command, (after_sale_id, "approve"))


@router.post("/merchant/after-sales/{after_sale_id}/reject", response_model=schemas.AfterSaleDone)
async def reject_after_sale(
    parts: Held,
    who: Merchant,
    after_sale_id: Id,
    why: schemas.RejectAfterSale,
    idempotency_key: GivenKey = None,
) -> Response:
    """Refuse; the customer may ask support."""
    key, order_id = await _key(parts, who, after_sale_id, "reject", idempotency_key, body=why)
    command = AfterSaleCommand(
        actor=who.actor, request_id=request_id(key), reason_code=why.reason_code
    )
    return await _answer(parts, key, order_id, command, (after_sale_id, "reject"))


@router.post("/support/after-sales/{after_sale_id}/decide", response_model=schemas.AfterSaleDone)
async def decide_after_sale(
    parts: Held,
    who: Support,
    after_sale_id: Id,
    wanted: schemas.DecideAfterSale,
    idempotency_key: GivenKey = None,
) -> Response:
    """Decide what was escalated; above the limit a second person must agree."""
    key, order_id = await _key(parts, who, after_sale_id, "decide", idempotency_key, body=wanted)
    command = Decide(
        actor=who.actor,
        request_id=request_id(key),
        reason_code=wanted.reason_code,
        decision=wanted.decision,
    )
    return await _answer(parts, key, order_id, command, (after_sale_id, "decide"))


async def _page(
    parts: Parts, who: Identity, states: frozenset[State], cursor: str | None, limit: int
) -> Response:
    before = None
    if cursor:
        at, after_sale_id = cursors.decode(cursor, str, str)
        before = (cursors.moment(at), str(after_sale_id))
    async with parts.database.read() as reader:
        rows = await after_sales.page(
            reader,
            who.site_id,
            states=states,
            merchant_id=who.subject if who.role is Role.MERCHANT else "",
            before=before,
            limit=limit + 1,
        )
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode(last.asked_at, last.after_sale_id) if last else None
    return replies.page([_shown(row) for row in shown], more)


async def _key(
    parts: Parts,
    who: Identity,
    after_sale_id: str,
    act_name: str,
    given: str | None,
    *,
    body: BaseModel | None = None,
) -> tuple[Key | None, str]:
    """The request's key, if one was given, and the order; NotFound for another's after-sale."""
    async with parts.database.read() as reader:
        wish = await after_sales.find(reader, after_sale_id)
        ensure_theirs(who, await events.stream(reader, wish.order_id))
    path = f"/v1/after-sales/{after_sale_id}/{act_name}"
    key = key_of(who, given, path, body or Nothing()) if given else None
    return key, wish.order_id


async def _answer(
    parts: Parts,
    key: Key | None,
    order_id: str,
    command: AfterSaleCommand,
    tap: tuple[str, str],
) -> Response:
    """Send one tap: (after-sale, name of the update)."""

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        return await _done(parts, await parts.durable.answer(*tap, command), 200)

    return await once(parts, key, order_id, go)


async def _done(parts: Parts, said: AfterSaleSaid, status_code: int) -> Response:
    await parts.refresh(said.order_id)
    told = schemas.AfterSaleDone.model_validate(asdict(said))
    return reply(told.model_dump(), status_code)


def _shown(wish: Row[Any]) -> dict[str, Any]:
    return {
        "after_sale_id": wish.after_sale_id,
        "order_id": wish.order_id,
        "state": wish.state,
        "reason_code": wish.reason_code,
        "reason": REASONS[wish.reason_code].name,
        "bearer": wish.bearer,
        "lines": wish.lines,
        "delivery_fee": wish.delivery_fee,
        "evidence": wish.evidence,
        "amount_fen": wish.amount_fen,
        "answer_code": wish.answer_code,
        "out_refund_no": wish.out_refund_no,
        "asked_at": wish.asked_at,
        "changed_at": wish.changed_at,
    }
