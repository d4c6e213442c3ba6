"""Ratings: once per order, exact in sum, and each word only for those whom it concerns."""

import asyncio
import uuid
from typing import Any

from sqlalchemy import insert, text

from services import laws, tables
from tests.api.town import Json, Town

GOOD: Json = {"stars": 5, "tags": ["tasty"], "text": "canary praise"}
BAD: Json = {"stars": 1, "tags": ["rude"], "text": "canary blame"}


async def delivered(town: Town, rider_id: str = "rod") -> str:
    """An order that a rider brought."""
    order_id = (await town.order()).order_id
    async with town.database.write() as writer:
        await writer.run(
            text("""INSERT INTO delivery_tasks (task_id, order_id, site_id, zone_id, shop_id,
              state, rider_id, offer_seconds, rider_silence_seconds, food_ready_at, search_from,
              support_at, give_up_at, promised_at)
            VALUES (:task_id, :order_id, :site, 'z', :shop, 'delivered', :rider, 1, 1,
              now(), now(), now(), now(), now())"""),
            {
                "task_id": uuid.uuid4().hex,
                "order_id": order_id,
                "site": town.site_id,
                "shop": town.shop_id,
                "rider": rider_id,
            },
        )
    await be(town, order_id, "delivered")
    await town.happen(order_id, delivery="delivered", rider_id=rider_id)
    return order_id


async def be(town: Town, order_id: str, status: str) -> None:
    async with town.database.write() as writer:
        await writer.run(
            text("UPDATE orders SET status = :status WHERE order_id = :order_id"),
            {"status": status, "order_id": order_id},
        )
    await town.happen(order_id, status=status)


async def rate(town: Town, order_id: str, **said: Any) -> tuple[int, Json]:
    path = f"/v1/orders/{order_id}/rating"
    answer = await town.http.post(path, headers=town.ann, json=said)
    return answer.status_code, answer.json()


async def sums(town: Town) -> tuple[Json, Json]:
    """What is shown of the shop, and to the rider."""
    [shop] = (await town.http.get("/v1/shops", params={"site": town.site_id})).json()["items"]
    rider = await words(town, "rider", "rod")
    return shop["rating"], rider["sums"]


async def words(town: Town, role: str, subject: str) -> Json:
    answer = await town.http.get(f"/v1/{role}/ratings", headers=town.headers(role, subject))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def assert_laws(town: Town) -> None:
    async with town.database.snapshot() as reader:
        found = await laws.check(reader, town.site_id)
    assert [one for one in found if one.broken and "rating" in one.law] == []


async def test_a_word_changed_counts_once_and_goes_to_whom_it_concerns(town: Town) -> None:
    first, second = await delivered(town), await delivered(town)
    assert (await rate(town, first, food=GOOD, ride=BAD))[0] == 200
    assert (await rate(town, second, food={"stars": 4}))[0] == 200
    assert (await rate(town, first, food=GOOD | {"stars": 2}, ride=BAD))[0] == 200
    food, ride = await sums(town)
    assert food == {"count": 2, "stars": 6, "average": 3.0}
    assert ride == {"count": 1, "stars": 1, "average": 1.0}
    [newest, older] = (await words(town, "merchant", town.merchant_id))["items"]
    assert (newest["order_id"], newest["stars"], newest["text"]) == (first, 2, GOOD["text"])
    assert (older["order_id"], older["text"]) == (second, "")
    [mine] = (await words(town, "rider", "rod"))["items"]
    assert (mine["tags"], mine["text"]) == (["rude"], BAD["text"])
    assert (await rate(town, first, food=GOOD))[0] == 200
    assert (await sums(town))[1] == {"count": 0, "stars": 0, "average": None}
    view = await town.http.get(f"/v1/orders/{first}", headers=town.ann)
    assert "canary" not in view.text
    assert view.json()["rating"] == {"food": {"stars": 5, "tags": ["tasty"]}, "ride": None}
    async with town.database.read() as reader:
        found = await reader.all(
            text("SELECT kind, data FROM tickets WHERE site_id = :id"), {"id": town.site_id}
        )
    assert [tuple(row) for row in found] == [("low_rating", {"food": 5, "ride": 1})]
    await assert_laws(town)


async def test_only_while_after_sale_is_open_and_only_known_words(town: Town) -> None:
    order_id = await delivered(town)
    for wrong in ({"stars": 6}, {"stars": 5, "tags": ["no_such_tag"]}, {"stars": 0}):
        assert (await rate(town, order_id, food=wrong))[0] == 422
    other = town.headers("customer", "bob")
    path = f"/v1/orders/{order_id}/rating"
    assert (await town.http.post(path, headers=other, json={"food": GOOD})).status_code == 404
    assert (await town.http.get(path, headers=town.ann)).status_code == 404
    await be(town, order_id, "completed")
    status, said = await rate(town, order_id, food=GOOD)
    assert (status, said["type"]) == (409, "/problems/action_not_allowed")


async def test_many_at_once_add_up(town: Town) -> None:
    async with town.database.write() as writer:
        rider = {"site_id": town.site_id, "rider_id": "ria", "zone_id": "z"}
        await writer.run(insert(tables.riders).values(**rider))
    orders = [await delivered(town, rider) for rider in ("rod", "ria", "rod", "ria")]
    taps = [
        rate(town, order_id, food={"stars": stars}, ride={"stars": stars})
        for stars in (1, 3, 5)
        for order_id in orders
    ]
    assert {status for status, _ in await asyncio.gather(*taps)} == {200}
    food, ride = await sums(town)
    assert (food["count"], ride["count"]) == (4, 2)
    await assert_laws(town)
