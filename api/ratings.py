"""Ratings at the edge: customers give them, shops and riders see what concerns them."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api import cursors, replies, schemas, views
from api.identity import Customer, Merchant, Rider, ensure_theirs
from api.orders import Cursor, Limit
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from domain.errors import NotFound
from domain.rating import Rating, Stars
from services import events, ratings
from services.identity import Identity
from services.ratings import Part

router = APIRouter(prefix="/v1", tags=["ratings"])


@router.post("/orders/{order_id}/rating", response_model=schemas.OwnRating)
async def rate_order(
    parts: Held, who: Customer, order_id: Id, wanted: schemas.NewRating
) -> Response:
    """Rate food and ride while after-sale is open; said again, it replaces what was said."""
    rating = Rating(food=_stars(wanted.food), ride=_stars(wanted.ride) if wanted.ride else None)
    async with parts.database.write() as writer:
        stream = await events.lock(writer, order_id)
        ensure_theirs(who, stream)
        assert stream is not None  # noqa: S101 - theirs
        await ratings.rate(writer, stream, rating, actor=who.actor)
        said = await ratings.of_order(writer, stream)
    await parts.refresh(order_id)
    return reply(said)


@router.get("/orders/{order_id}/rating", response_model=schemas.OwnRating)
async def get_rating(parts: Held, who: Customer, order_id: Id) -> Response:
    """What the customer has said of their order."""
    async with parts.database.read() as reader:
        stream = await events.stream(reader, order_id)
        ensure_theirs(who, stream)
        assert stream is not None  # noqa: S101 - theirs
        said = await ratings.of_order(reader, stream)
    if said is None:
        raise NotFound("the order is not rated")
    return reply(said)


@router.get("/merchant/ratings", response_model=schemas.RatingWords)
async def list_merchant_ratings(
    parts: Held, who: Merchant, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """What customers say of the merchant's food, newest first."""
    items, more = await _page(parts, who, "food", cursor, limit)
    return replies.page(items, more)


@router.get("/rider/ratings", response_model=schemas.RiderRatings)
async def list_rider_ratings(
    parts: Held, who: Rider, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """What customers say of the rider's rides, newest first, and all of it in sum."""
    items, more = await _page(parts, who, "ride", cursor, limit)
    subject = f"rider:{who.subject}"
    async with parts.database.read() as reader:
        known = await ratings.sums(reader, who.site_id, [subject])
    sums = views.rating(known[subject])
    return reply({"items": items, "next_cursor": more, "sums": sums})


async def _page(
    parts: Parts, who: Identity, part: Part, cursor: str | None, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    before = None
    if cursor:
        at, order_id = cursors.decode(cursor, str, str)
        before = (cursors.moment(at), str(order_id))
    async with parts.database.read() as reader:
        found = await ratings.page(
            reader, who.site_id, part, who.subject, before=before, limit=limit + 1
        )
    shown = found[:limit]
    more = len(found) > limit
    last = cursors.encode(shown[-1].rated_at, shown[-1].order_id) if more else None
    return [asdict(one) for one in shown], last


def _stars(given: schemas.NewStars) -> Stars:
    return Stars(stars=given.stars, tags=tuple(given.tags), text=given.text)
