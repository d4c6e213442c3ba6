"""What a shop can set: fetching, a pause that ends by itself, how long it cooks."""

from datetime import UTC, datetime, timedelta

from tests.api.town import Json, Town

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
