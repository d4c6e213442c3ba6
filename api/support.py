"""Support's desk: orders, their whole timeline, notes, and the hand that steps in."""

import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Support, Supporter, ensure_theirs
from api.once import GivenKey, key_of, once
from api.orders import Cursor, Limit, Status, page_of
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from domain.contracts.life import Intervene
from domain.errors import NotFound
from services import addresses, events, reads, traces
from services.events import Stream
from services.identity import Identity
from services.reads import Filter

router = APIRouter(prefix="/v1/support", tags=["support"])
BEGINNING = (datetime(1970, 1, 1, tzinfo=UTC), "", 0)


@router.get("/orders", response_model=schemas.Orders)
async def list_support_orders(
    parts: Held,
    who: Supporter,
    *,
    status: Status | None = None,
    shop_id: Annotated[Id | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> Response:
    """Orders of the site, newest first."""
    which = Filter(site_id=who.site_id, shop_id=shop_id or "", status=status or "")
    return await page_of(parts, which, cursor, limit)


@router.get("/orders/{order_id}/timeline", response_model=schemas.Timeline)
async def get_timeline(
    parts: Held, who: Supporter, order_id: Id, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """Everything that happened to an order, with the notes that lines name."""
    after = BEGINNING
    if cursor:
        at, source, line_no = cursors.decode(cursor, str, str, int)
        after = (cursors.moment(at), str(source), int(line_no))
    stream = await _order(parts, who, order_id)
    async with parts.database.read() as reader:
        rows = await reads.timeline(reader, order_id, after=after, limit=limit + 1)
        shown = rows[:limit]
        note_ids = [row.data["note_id"] for row in shown if _names_note(row.data)]
        notes = await addresses.notes(
            reader, site_id=who.site_id, customer_id=stream.customer_id, note_ids=note_ids
        )
    lines = [
        {
            "at": row.at,
            "source": row.source,
            "kind": row.kind,
            "data": row.data,
            "actor": row.actor,
            "request_id": row.request_id,
            "note": notes[row.data["note_id"]]["text"]
            if _names_note(row.data) and row.data["note_id"] in notes
            else None,
        }
        for row in shown
    ]
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode(last.at, last.source, last.line_no) if last else None
    return replies.page(lines, more)


@router.get("/orders/{order_id}/trace", response_model=schemas.Trace)
async def get_trace(parts: Held, who: Support, order_id: Id) -> Response:
    """Where an order was carried, coarsely, while that is kept; the timeline says who looked."""
    await _order(parts, who, order_id)
    request_id = uuid.uuid4().hex
    async with parts.database.write() as writer:
        trace = await traces.of_order(writer, site_id=who.site_id, order_id=order_id)
        await events.note(
            writer,
            order_id=order_id,
            site_id=who.site_id,
            kind="trace_read",
            key=f"trace_read:{request_id}",
            data={"rows": len(trace)},
            actor=who.actor,
            request_id=request_id,
        )
    rows = [
        {"at": at, "rider_id": rider_id, "lat": place.lat, "lng": place.lng}
        for at, rider_id, place in trace
    ]
    return reply({"trace": rows})


@router.get("/orders/{order_id}/money", response_model=schemas.Money)
async def get_money(parts: Held, who: Supporter, order_id: Id) -> Response:
    """Where an order's money is: attempts, refunds, and every journal with its entries."""
    await _order(parts, who, order_id)
    async with parts.database.read() as reader:
        return reply(await reads.money(reader, who.site_id, order_id))


@router.post("/orders/{order_id}/interventions", response_model=schemas.Done)
async def intervene(
    parts: Held,
    who: Support,
    order_id: Id,
    wanted: schemas.Intervention,
    idempotency_key: GivenKey = None,
) -> Response:
    """Step in; above the limit it waits for another person's `approve`."""
    await _order(parts, who, order_id)
    envelope = Intervene(
        action=wanted.action,
        order=order_id,
        reason_code=wanted.reason_code,
        request_id=wanted.request_id,
        args=wanted.args.model_dump(exclude_none=True),
        actor=who.actor,
    )
    path = f"/v1/support/orders/{order_id}/interventions"
    key = key_of(who, idempotency_key or f"{order_id}:{wanted.request_id}", path, wanted)

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        answer = await parts.durable.intervene(order_id, envelope)
        await parts.refresh(order_id)
        return reply(asdict(answer))

    return await once(parts, key, order_id, go)


@router.post("/orders/{order_id}/notes", response_model=schemas.Note, status_code=201)
async def add_note(parts: Held, who: Support, order_id: Id, note: schemas.NewNote) -> Response:
    """Keep free text; the intervention `note` pins it to the timeline by its id."""
    stream = await _order(parts, who, order_id)
    async with parts.database.write() as writer:
        note_id = await addresses.keep_note(
            writer,
            site_id=who.site_id,
            customer_id=stream.customer_id,
            text=note.text,
            author=who.actor,
        )
    return reply({"note_id": note_id}, 201)


async def _order(parts: Parts, who: Identity, order_id: str) -> Stream:
    async with parts.database.read() as reader:
        stream = await events.stream(reader, order_id)
    ensure_theirs(who, stream)
    if stream is None:
        raise NotFound
    return stream


def _names_note(data: dict[str, Any]) -> bool:
    return isinstance(data.get("note_id"), str)
