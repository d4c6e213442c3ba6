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
from services import addresses, events, tables
from services.db import Database
from services.eta import history, model, stored
from services.eta.history import Lived
from services.eta.outside import Conditions, Outside
from tests.sold import Sales
from workers import train_eta
from workers.estimates import Estimates

pytestmark = pytest.mark.usefixtures("personal_key")

METERS = 2_500
"""Ten minutes on an e-bike."""
STORE = Point(31.23, 121.47)


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


async def open_shop(sales: Sales) -> None:
    shop = {
        "shop_id": f"{sales.site_id}-shop",
        "site_id": sales.site_id,
        "merchant_id": "m",
        "zone_id": "z",
        "name": "Noodles",
        "lat": STORE.lat,
        "lng": STORE.lng,
    }
    async with sales.database.write() as writer:
        await writer.run(insert(tables.shops).values(**shop))


def north(meters: float) -> Point:
    """Of the store."""
    return Point(STORE.lat + meters / 111_195, STORE.lng)


async def under_way(sales: Sales, sets: str, *, door: float = METERS, **more: Any) -> str:
    """An order promised in ten minutes, that goes so many meters north; its id."""
    order_id = await ordered(sales, status="preparing", **more)
    address = {"lat": north(door).lat, "lng": north(door).lng}
    who = {"site_id": sales.site_id, "customer_id": "ann", "order_id": order_id}
    async with sales.database.write() as writer:
        await addresses.copy_to_order(writer, **who, address=address, remark="")
    await move(
        sales, order_id, "delivered_at = NULL, food_ready_at = now(), "
        f"promised_at = now() + interval '10 minutes', {sets}"
    )  # fmt: skip
    return order_id


async def delay(sales: Sales, order_id: str, rider: float | None = None) -> Any:
    """What is told of an order whose rider `bob`, if known, is so many meters north."""

    async def places(site_id: str, rider_ids: Sequence[str]) -> dict[str, Point]:  # noqa: ARG001
        return {"bob": north(rider)} if rider is not None and "bob" in rider_ids else {}

    await Estimates(sales.database, Outside(None), places).once()
    return (await sales.stream(order_id)).view.get("delay")


async def test_the_third_door_of_a_bundle_waits_for_the_others(
    database: Database, site_id: str
) -> None:
    sales = await Sales(database, site_id).build()
    await open_shop(sales)
    carried = "state = 'picked_up', rider_id = 'bob', settled = true, picked_up_at = now()"
    first, _, third = [
        await under_way(sales, f"{carried}, stop = {stop}", door=METERS * (stop + 1))
        for stop in range(3)
    ]
    # Three legs of ten minutes and three hand-overs, against ten minutes and a bit.
    assert await delay(sales, third) == {"minutes": 29, "hints": ["other orders first: +6 min"]}
    assert await delay(sales, first) == {"minutes": 3, "hints": []}
    await move(sales, first, "state = 'delivered'")
    told = await delay(sales, third, rider=METERS)
    assert told == {"minutes": 16, "hints": ["other orders first: +3 min"]}


async def test_a_bundle_leaves_with_the_last_of_its_food(database: Database, site_id: str) -> None:
    sales = await Sales(database, site_id).build()
    await open_shop(sales)
    fetched = "state = 'at_store', rider_id = 'bob', settled = true"
    order_id = await under_way(sales, f"{fetched}, stop = 0", kitchen="ready")
    assert await delay(sales, order_id) == {"minutes": 3, "hints": []}
    other = await under_way(sales, f"{fetched}, stop = 1", kitchen="preparing")
    await move(sales, other, "food_ready_at = now() + interval '20 minutes'")
    assert (await delay(sales, order_id))["minutes"] in {22, 23}


async def test_near_stores_are_fetched_from_before_any_door(
    database: Database, site_id: str
) -> None:
    sales = await Sales(database, site_id).build()
    await open_shop(sales)
    bobs = "rider_id = 'bob', settled = true"
    carried = await under_way(sales, f"state = 'picked_up', picked_up_at = now(), {bobs}")
    assert await delay(sales, carried, rider=0) == {"minutes": 3, "hints": []}
    goods = f"goods_lat = {north(-METERS / 2).lat}, goods_lng = {STORE.lng}, stop = 1"
    await under_way(sales, f"state = 'assigned', {bobs}, {goods}", kitchen="ready")
    # Five minutes there, five back, and the door as before.
    told = {"minutes": 13, "hints": ["the rider is on the way: +5 min"]}
    assert await delay(sales, carried, rider=0) == told


async def test_a_rider_who_is_far_is_waited_for(database: Database, site_id: str) -> None:
    sales = await Sales(database, site_id).build()
    await open_shop(sales)
    order_id = await under_way(sales, "state = 'assigned', rider_id = 'bob'", kitchen="ready")
    assert await delay(sales, order_id, rider=0) == {"minutes": 3, "hints": []}
    told = {"minutes": 23, "hints": ["the rider is on the way: +20 min"]}
    assert await delay(sales, order_id, rider=-2 * METERS) == told


async def test_few_riders_are_a_longer_wait(database: Database, site_id: str) -> None:
    sales = await Sales(database, site_id).build()
    await open_shop(sales)
    first, *_ = [await under_way(sales, "state = 'searching'", kitchen="ready") for _ in range(4)]
    told = {"minutes": 14, "hints": ["few riders: +9 min"]}
    assert await delay(sales, first) == told


async def test_history_is_what_was_known_and_what_came_of_it(
    database: Database, site_id: str
) -> None:
    sales = await Sales(database, site_id).build()
    accepted = datetime.now(UTC) - timedelta(minutes=40)
    ago = timedelta(minutes=10)
    await ordered(sales, accepted_at=accepted, delivered_ago=ago)
    await sales.order(accepted_at=accepted, delivered_ago=ago)  # its quote kept nothing
    wished = await ordered(sales, accepted_at=accepted, delivered_ago=ago)
    async with database.write() as writer:
        await writer.run(
            text("""UPDATE quotes q SET window_to = now() FROM orders o
              WHERE o.order_id = :id AND o.quote_id = q.quote_id"""),
            {"id": wished},
        )
    async with database.read() as reader:
        lived = await history.lived(reader, site_id=site_id)
    assert [round(one) for one in lived.minutes] == [30]
    assert lived.known == [known()]


async def test_a_delay_is_told_before_it_happens_once_and_taken_back(
    database: Database, site_id: str
) -> None:
    sales = await Sales(database, site_id).build()
    await open_shop(sales)
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


async def test_a_sites_model_lies_where_only_that_site_is_answered_by_it(
    database: Database, postgres_url: str, site_id: str, tmp_path: Path
) -> None:
    sales = await Sales(database, site_id).build()
    accepted = datetime.now(UTC) - timedelta(minutes=40)
    order_id = await ordered(sales, accepted_at=accepted, delivered_ago=timedelta(minutes=10))
    assert await train_eta.train(postgres_url, tmp_path, site_id=site_id) is None
    async with database.write() as writer:
        for table, differs in (
            ("orders", "'number', 1 + n"),
            ("delivery_tasks", "'task_id', t.task_id || n"),
        ):
            await writer.run(
                text(f"""INSERT INTO {table} SELECT (jsonb_populate_record(NULL\\:\\:{table},
                  to_jsonb(t) || jsonb_build_object('order_id', t.order_id || n, {differs}))).*
                  FROM {table} t, generate_series(1, :more) n WHERE order_id = :id"""),  # noqa: S608
                {"id": order_id, "more": train_eta.ROWS_MIN},
            )
    folder = await train_eta.train(postgres_url, tmp_path, site_id=site_id)
    assert folder is not None
    assert folder == stored.newest(stored.of_site(tmp_path, site_id))
    assert stored.newest(tmp_path) is None
