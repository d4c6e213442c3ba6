"""What orders teach is what was known; what customers hear is a delay before it happens."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from domain.eta import Known, Moment, Weather
from domain.geo import Point
from services import events, tables
from services.db import Database
from services.eta import history, model, stored
from services.eta.history import Lived
from services.eta.outside import Conditions, Outside
from tests.sold import Sales
from workers import train_eta
from workers.estimates import Estimates

METERS = 2_500


class Rain:
    """A provider; it rains everywhere."""

    async def at(self, place: Point) -> Conditions:  # noqa: ARG002
        return Conditions(weather=Weather.RAIN)


async def nowhere(site_id: str, rider_ids: Sequence[str]) -> dict[str, Point]:  # noqa: ARG001
    """Nobody says where they are."""
    return {}


def known(number: int = 0) -> dict[str, Any]:
    moment = Moment(cooking=number % 7, weather=Weather.RAIN if number % 3 else None)
    return Known(
        shop_id="shop", prep_minutes=10, meters=METERS, hour=12, weekday=5, moment=moment
    ).features()


async def ordered(sales: Sales, **more: Any) -> str:
    """An order of a quote that keeps its promise; its id."""
    quote_id = uuid.uuid4().hex
    quote = {
        "quote_id": quote_id,
        "site_id": sales.site_id,
        "customer_id": "ann",
        "shop_id": f"{sales.site_id}-shop",
        "address_id": "home",
        "fulfilment": "delivery",
        "distance_meters": METERS,
        "promise_minutes": 30,
        "promise": {"known": known()},
        "expires_at": datetime.now(UTC),
    } | dict.fromkeys(("goods_fen", "packing_fen", "delivery_fee_fen", "total_fen"), 0)
    async with sales.database.write() as writer:
        await writer.run(insert(tables.quotes).values(**quote))
    return await sales.order(quote_id=quote_id, **more)


async def test_history_is_what_was_known_and_what_came_of_it(
    database: Database, site_id: str
) -> None:
    sales = await Sales(database, site_id).build()
    accepted = datetime.now(UTC) - timedelta(minutes=40)
    ago = timedelta(minutes=10)
    await ordered(sales, accepted_at=accepted, delivered_ago=ago)
    await sales.order(accepted_at=accepted, delivered_ago=ago)  # its quote kept nothing
    async with database.read() as reader:
        lived = await history.lived(reader, site_id=site_id)
    assert [round(one) for one in lived.minutes] == [30]
    assert lived.known == [known()]


async def test_a_delay_is_told_before_it_happens_once_and_taken_back(
    database: Database, site_id: str
) -> None:
    sales = await Sales(database, site_id).build()
    shop = {
        "shop_id": f"{site_id}-shop",
        "site_id": site_id,
        "merchant_id": "m",
        "zone_id": "z",
        "name": "Noodles",
        "lat": 31.23,
        "lng": 121.47,
    }
    async with database.write() as writer:
        await writer.run(insert(tables.shops).values(**shop))
    order_id = await ordered(sales, status="preparing", kitchen="preparing")
    await move(
        sales, order_id, "state = 'assigned', delivered_at = NULL, food_ready_at = now(), "
        "promised_at = now() + interval '10 minutes'"
    )  # fmt: skip
    estimates = Estimates(database, Outside(Rain()), nowhere)
    for _ in range(2):
        await estimates.once()
    view = (await sales.stream(order_id)).view
    assert view["delay"] == {"minutes": 6, "hints": ["rain: +3 min"]}
    assert datetime.fromisoformat(view["estimated_at"]) > datetime.now(UTC) + timedelta(minutes=14)
    await move(sales, order_id, "promised_at = now() + interval '1 hour'")
    await estimates.once()
    assert (await sales.stream(order_id)).view["delay"] is None
    async with database.read() as reader:
        told = await events.since(reader, order_id, 0)
    assert [one["type"] for one in told] == ["order.estimated"] * 2


async def move(sales: Sales, order_id: str, sets: str) -> None:
    async with sales.database.write() as writer:
        await writer.run(
            text(f"UPDATE delivery_tasks SET {sets} WHERE order_id = :id"),  # noqa: S608
            {"id": order_id},
        )


def test_training_stores_a_card_that_names_no_person(tmp_path: Path) -> None:
    rows = 1_000
    then = datetime(2026, 11, 1, tzinfo=UTC)
    lived = Lived(
        placed_at=[then + timedelta(minutes=number) for number in range(rows)],
        known=[known(number) for number in range(rows)],
        minutes=[20.0 + number % 7 + 5 * bool(number % 3) for number in range(rows)],
    )
    folder = train_eta.learn(lived, version="v").save(tmp_path)
    card = json.loads((folder / stored.CARD).read_text())
    assert card["until"] < lived.placed_at[800].isoformat()
    assert card["metrics"]["mae"] < 1 < card["metrics"]["formula_mae"]
    assert set(card["names"]) == set(known())
    assert stored.newest(tmp_path) == folder
    again = model.load(folder).answer(lived.known[:5]).middle
    assert again == pytest.approx(
        train_eta.learn(lived, version="v").answer(lived.known[:5]).middle
    )
