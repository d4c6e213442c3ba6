"""What a shop can set: fetching, a pause that ends by itself, how long it cooks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from activities.orders import OrderActs
from domain.contracts.orders import Step
from tests.api.town import Json, Town
from tests.bazaar import accepting

HAS = text("""
WITH task AS (
  UPDATE delivery_tasks SET state = :state, token = 1, search_from = now(),
    rider_id = CASE :state WHEN 'offered' THEN '' ELSE 'rod' END
  WHERE order_id = :id RETURNING *
)
INSERT INTO offers (site_id, task_id, rider_id, token, state, expires_at)
SELECT site_id, task_id, 'rod', 1, :offer, now() + interval '1 minute' FROM task
""")
"""The rider rod is asked for the order's task, or has it."""
OFFERED = text(
    "SELECT o.state FROM offers o JOIN delivery_tasks USING (task_id) WHERE order_id = :id"
)
TEA: list[Json] = [{"item_id": "tea", "quantity": 1}]


async def switch(town: Town, **switches: object) -> Json:
    answer = await town.http.post(
        f"/v1/merchant/shops/{town.shop_id}",
        headers=town.headers("merchant", town.merchant_id),
        json=switches,
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def fetch(town: Town) -> Json:
    """A quote for what the customer fetches; no address is needed."""
    body = {"shop_id": town.shop_id, "lines": TEA, "fulfilment": "self_pickup"}
    answer = await town.http.post("/v1/quotes", headers=town.ann, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_what_is_fetched_costs_no_delivery_and_waits_for_the_kitchen_alone(
    town: Town,
) -> None:
    assert (await switch(town, self_pickup=True))["self_pickup"]
    quote = await fetch(town)
    assert (quote["delivery_fee_fen"], quote["total_fen"]) == (0, quote["goods_fen"])
    assert (quote["distance_meters"], quote["address_id"]) == (0, "")
    assert quote["promise_minutes"] == 15
    no_address = {"shop_id": town.shop_id, "lines": TEA}
    answer = await town.http.post("/v1/quotes", headers=town.ann, json=no_address)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation_failed")


async def test_a_tip_is_a_line_of_the_price_where_a_rider_comes(town: Town) -> None:
    await switch(town, self_pickup=True)
    quote = (await town.ask(TEA, tip_fen=300)).json()
    assert quote["total_fen"] == quote["goods_fen"] + quote["delivery_fee_fen"] + 300
    body = {"shop_id": town.shop_id, "lines": TEA, "fulfilment": "self_pickup", "tip_fen": 1}
    answer = await town.http.post("/v1/quotes", headers=town.ann, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation_failed")


async def test_a_pause_says_until_when_and_ends_by_itself(town: Town) -> None:
    until = datetime.now(UTC) + timedelta(minutes=20)
    shop = await switch(town, paused_until=until.isoformat(), prep_minutes=25)
    assert (shop["open"], shop["prep_minutes"]) == (False, 25)
    assert datetime.fromisoformat(shop["paused_until"]) == until
    answer = await town.ask(TEA)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/shop_closed")
    assert datetime.fromisoformat(answer.json()["paused_until"]) == until
    await town.set_shop(paused_until=datetime.now(UTC) - timedelta(seconds=1))
    assert (await town.ask(TEA)).status_code == 201
    assert (await switch(town, paused_until=until.isoformat()))["open"] is False
    assert (await switch(town, paused_until=None))["open"] is True


async def say(town: Town, order_id: str, minutes: int, key: str = "") -> httpx.Response:
    """The kitchen's word on one order."""
    headers = town.headers("merchant", town.merchant_id)
    headers |= {"Idempotency-Key": key} if key else {}
    path = f"/v1/merchant/orders/{order_id}/prep"
    return await town.http.post(path, headers=headers, json={"minutes": minutes})


async def rows(town: Town, table: str, order_id: str) -> Any:
    async with town.database.read() as reader:
        question = text(f"SELECT * FROM {table} WHERE order_id = :id")  # noqa: S608 - a name
        return await reader.first(question, {"id": order_id})


async def test_a_late_kitchen_is_told_before_it_is_late(town: Town) -> None:
    order_id = (await town.order()).order_id
    acts = OrderActs(town.database)
    await acts.mark_accepted(accepting(order_id))
    before = await rows(town, "delivery_tasks", order_id)
    said = (await say(town, order_id, 80, "once")).json()
    assert (await say(town, order_id, 80, "once")).json() == said
    task = await rows(town, "delivery_tasks", order_id)
    later = task.food_ready_at - before.food_ready_at
    # The town lives at twice the speed: 80 minutes are 40, and half an hour was foreseen.
    assert timedelta(minutes=10) <= later < timedelta(minutes=11)
    assert task.search_from - before.search_from == later
    assert task.give_up_at - before.give_up_at == later
    assert datetime.fromisoformat(said["food_ready_at"]) == task.food_ready_at
    assert said["delay"]["minutes"] >= 20
    assert said["delay"]["hints"][0].startswith("the kitchen takes longer: +2")
    view = (await town.http.get(f"/v1/orders/{order_id}", headers=town.ann)).json()
    assert (view["delay"], view["seq"]) == (said["delay"], said["seq"])
    quicker = (await say(town, order_id, 5)).json()
    assert (quicker["delay"], quicker["seq"]) == (None, said["seq"] + 1)
    for _ in range(8):
        assert (await say(town, order_id, 5)).status_code == 200
    assert (await say(town, order_id, 5)).status_code == 409, "often enough"


@pytest.mark.parametrize(
    ("state", "minutes", "kept"),
    [
        ("assigned", 80, False),
        ("offered", 80, False),
        ("assigned", 65, True),
        ("at_store", 80, True),
    ],
)
async def test_a_rider_on_the_way_is_let_go_where_the_kitchen_is_much_later(
    town: Town, state: str, minutes: int, *, kept: bool
) -> None:
    order_id = (await town.order()).order_id
    await OrderActs(town.database).mark_accepted(accepting(order_id))
    before = await rows(town, "delivery_tasks", order_id)
    offer = "open" if state == "offered" else "accepted"
    async with town.database.write() as writer:
        await writer.run(HAS, {"id": order_id, "state": state, "offer": offer})
    assert (await say(town, order_id, minutes)).status_code == 200
    task = await rows(town, "delivery_tasks", order_id)
    async with town.database.read() as reader:
        offered = await reader.scalar(OFFERED, {"id": order_id})
    assert task.food_ready_at > before.food_ready_at
    if kept:
        assert (task.state, task.token) == (state, 1)
        return
    assert (task.state, task.rider_id, task.token) == ("searching", "", 2)
    assert offered == "withdrawn", "without blame: they may be asked again"
    assert task.search_from > datetime.now(UTC) + timedelta(minutes=9), "it had begun just now"
    view = (await town.http.get(f"/v1/orders/{order_id}", headers=town.ann)).json()
    assert view["delivery"] == "searching"


async def test_who_fetches_it_is_told_as_well_and_nobody_once_it_is_ready(town: Town) -> None:
    await town.set_shop(self_pickup=True)
    order_id = (await town.order(fulfilment="self_pickup")).order_id
    acts = OrderActs(town.database)
    await acts.mark_accepted(accepting(order_id))
    assert await rows(town, "delivery_tasks", order_id) is None
    said = (await say(town, order_id, 70)).json()
    pickup = await rows(town, "pickups", order_id)
    assert datetime.fromisoformat(said["estimated_at"]) == pickup.food_ready_at
    assert 10 <= said["delay"]["minutes"] <= 11
    await acts.mark_ready(Step(order_id=order_id, key="ready"))
    refused = await say(town, order_id, 5)
    assert refused.status_code == 409
    other = town.headers("merchant", "other")
    path = f"/v1/merchant/orders/{order_id}/prep"
    assert (await town.http.post(path, headers=other, json={"minutes": 5})).status_code == 404
