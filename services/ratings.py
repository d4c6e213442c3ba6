"""Ratings: one per order, changed while after-sale is open; sums per shop and rider are exact."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Row, text

from domain.errors import ActionNotAllowed
from domain.orders import Delivery, Status
from domain.rating import CHANGES_MAX, Rating, Sums, ensure_rating
from services import events, personal, tickets
from services.db import Reader, Writer
from services.events import Event, Stream, dumps
from services.personal import Item

KIND = "rating"
"""Of the personal row that holds the texts, {food, ride}."""
Part = Literal["food", "ride"]

_RATE = text("""
WITH before AS (
  SELECT food, ride FROM ratings WHERE order_id = :order_id
), rated AS (
  INSERT INTO ratings (order_id, site_id, shop_id, rider_id, customer_id, food, ride, food_tags,
    ride_tags)
  SELECT o.order_id, o.site_id, o.shop_id, coalesce(t.rider_id, ''), o.customer_id, :food,
    CAST(:ride AS int), CAST(:food_tags AS jsonb), CAST(:ride_tags AS jsonb)
  FROM orders o LEFT JOIN delivery_tasks t ON t.order_id = o.order_id AND t.state = 'delivered'
  WHERE o.order_id = :order_id AND o.status = 'delivered'
  ON CONFLICT (order_id) DO UPDATE SET food = excluded.food, ride = excluded.ride,
    food_tags = excluded.food_tags, ride_tags = excluded.ride_tags, rated_at = now(),
    changes = ratings.changes + 1
  WHERE ratings.changes < :changes_max
  RETURNING site_id, shop_id, rider_id, food, ride
), moved AS (
  SELECT site_id, 'shop\\:' || shop_id AS subject, 1 - (b.food IS NOT NULL)::int AS count,
    r.food - coalesce(b.food, 0) AS stars
  FROM rated r LEFT JOIN before b ON true
  UNION ALL
  SELECT site_id, 'rider\\:' || rider_id, (r.ride IS NOT NULL)::int - (b.ride IS NOT NULL)::int,
    coalesce(r.ride, 0) - coalesce(b.ride, 0)
  FROM rated r LEFT JOIN before b ON true WHERE rider_id <> ''
)
INSERT INTO rating_sums AS s (site_id, subject, count, stars)
SELECT site_id, subject, count, stars FROM moved
ON CONFLICT (site_id, subject) DO UPDATE
SET count = s.count + excluded.count, stars = s.stars + excluded.stars
RETURNING subject
""")
_OF_ORDER = text("SELECT * FROM ratings WHERE order_id = :order_id")
_SUMS = text("""
SELECT subject, count AS ratings, stars FROM rating_sums
WHERE site_id = :site_id AND subject = ANY(:subjects)
""")
_PAGE = """
SELECT r.* FROM ratings r {join}
WHERE r.site_id = :site_id AND {whose} AND {part} IS NOT NULL
  AND (CAST(:at AS timestamptz) IS NULL OR (r.rated_at, r.order_id) < (:at, :id))
ORDER BY r.rated_at DESC, r.order_id DESC LIMIT :limit
"""
_PAGES: dict[Part, Any] = {
    "food": text(
        _PAGE.format(
            join="JOIN shops s ON s.shop_id = r.shop_id",
            whose="s.merchant_id = :subject",
            part="food",
        )
    ),
    "ride": text(_PAGE.format(join="", whose="r.rider_id = :subject", part="ride")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A customer's word as those whom it concerns see it."""

    order_id: str
    shop_id: str
    stars: int
    tags: list[str]
    text: str
    """Empty once the customer was erased."""
    rated_at: datetime


async def rate(writer: Writer, stream: Stream, rating: Rating, *, actor: str) -> None:
    """Keep a customer's word, or another one than before; the caller holds the stream's lock.

    Raises:
        Invalid: a tag that no table knows, or a ride that there was not.
        ActionNotAllowed: after-sale is not open, or it was changed too often.
    """
    if stream.view["status"] != Status.DELIVERED:
        raise ActionNotAllowed(
            "an order is rated while its after-sale is open", status=stream.view["status"]
        )
    ensure_rating(rating, had_ride=stream.view["delivery"] == Delivery.DELIVERED)
    said = _public(rating)
    if stream.view.get("rating") != said:
        counted = await writer.all(
            _RATE,
            {
                "order_id": stream.order_id,
                "food": rating.food.stars,
                "ride": rating.ride.stars if rating.ride else None,
                "food_tags": dumps(said["food"]["tags"]),
                "ride_tags": dumps(said["ride"]["tags"] if said["ride"] else []),
                "changes_max": CHANGES_MAX,
            },
        )
        if not counted:
            raise ActionNotAllowed("this was changed too often", most=CHANGES_MAX)
        event = Event(
            type="order.rated", key=f"rated:{stream.seq}", data={"rating": said}, actor=actor
        )
        await events.append(writer, stream.order_id, event)
    texts = {"food": rating.food.text, "ride": rating.ride.text if rating.ride else ""}
    await personal.put(writer, **_texts(stream.site_id, stream)._asdict(), value=texts)
    if rating.is_low:
        await tickets.open_ticket(
            writer,
            site_id=stream.site_id,
            order_id=stream.order_id,
            kind="low_rating",
            key="low_rating",
            data={part: one["stars"] for part, one in said.items() if one},
        )


async def of_order(reader: Reader, stream: Stream) -> dict[str, Any] | None:
    """What the customer has said themselves, {food, ride, rated_at}; None: nothing yet."""
    row = await reader.first(_OF_ORDER, {"order_id": stream.order_id})
    if row is None:
        return None
    texts = await personal.get(reader, **_texts(stream.site_id, stream)._asdict()) or {}
    food = {"stars": row.food, "tags": row.food_tags, "text": texts.get("food", "")}
    ride = {"stars": row.ride, "tags": row.ride_tags, "text": texts.get("ride", "")}
    return {"food": food, "ride": ride if row.ride else None, "rated_at": row.rated_at}


async def sums(reader: Reader, site_id: str, subjects: Collection[str]) -> dict[str, Sums]:
    """Of each subject (`shop:<id>`, `rider:<id>`) what all say; the caller bounds their number."""
    rows = await reader.all(_SUMS, {"site_id": site_id, "subjects": list(subjects)})
    known = {row.subject: Sums(count=row.ratings, stars=row.stars) for row in rows}
    return {subject: known.get(subject, Sums()) for subject in subjects}


async def page(
    reader: Reader,
    site_id: str,
    part: Part,
    subject: str,
    *,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[Word]:
    """Words on a merchant's food or a rider's rides, newest first, older than `before`."""
    at, order_id = before or (None, "")
    asked = {"site_id": site_id, "subject": subject, "at": at, "id": order_id, "limit": limit}
    rows = await reader.all(_PAGES[part], asked)
    texts = await _texts_of(reader, rows)
    return [
        Word(
            order_id=row.order_id,
            shop_id=row.shop_id,
            stars=getattr(row, part),
            tags=getattr(row, f"{part}_tags"),
            text=texts.get(row.order_id, {}).get(part, ""),
            rated_at=row.rated_at,
        )
        for row in rows
    ]


async def _texts_of(reader: Reader, rows: Sequence[Row[Any]]) -> dict[str, dict[str, Any]]:
    found = await personal.get_many(reader, [_texts(row.site_id, row) for row in rows])
    return {item.ref: value for item, value in found.items()}


def _texts(site_id: str, of: Any) -> Item:  # noqa: ANN401 - a stream or a row
    return Item(site_id, f"customer:{of.customer_id}", KIND, of.order_id)


def _public(rating: Rating) -> dict[str, Any]:
    """Stars and tags, without what is written."""
    return {
        part: {"stars": one.stars, "tags": list(one.tags)} if one else None
        for part, one in (("food", rating.food), ("ride", rating.ride))
    }
