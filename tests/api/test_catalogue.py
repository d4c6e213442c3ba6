"""Shops, menus, addresses, quotes: the server's prices, each refusal by name."""

from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from api.parts import utc_now
from services.db import Database
from tests.api.town import SIZE, Json, Town


async def test_shops_by_page(town: Town, http: httpx.AsyncClient) -> None:
    found = (await http.get("/v1/shops", params={"site": town.site_id})).json()
    assert found["next_cursor"] is None
    [shop] = found["items"]
    assert (shop["shop_id"], shop["open"], shop["paused"]) == (town.shop_id, True, False)
    assert shop["delivery_area"][0] == [30.16, 120.04]
    first = f"/v1/shops?site={town.site_id}&limit=1"
    assert (await http.get(first)).json()["next_cursor"] is None
    assert (await http.get(f"{first}&cursor=!")).status_code == 422


async def test_a_menu(town: Town, http: httpx.AsyncClient) -> None:
    menu = (await http.get(f"/v1/shops/{town.shop_id}/menu")).json()
    noodles, tea = menu["items"]
    assert noodles["options"] == [SIZE]
    assert (noodles["price_fen"], noodles["packing_fen"], noodles["stock"]) == (1_800, 100, None)
    assert (tea["item_id"], tea["stock"]) == ("tea", 3)


async def test_addresses_are_their_owners_and_encrypted(
    town: Town, http: httpx.AsyncClient, database: Database
) -> None:
    address_id = await town.address()
    found = (await http.get("/v1/addresses", headers=town.ann)).json()["items"]
    assert [(one["address_id"], one["name"]) for one in found] == [(address_id, "Canary Wang")]
    bob = town.headers("customer", "bob")
    assert (await http.get("/v1/addresses", headers=bob)).json()["items"] == []
    path = f"/v1/addresses/{address_id}"
    assert (await http.delete(path, headers=bob)).status_code == 404
    async with database.read() as reader:
        rows = await reader.all(
            text("SELECT CAST(p AS text) AS row FROM personal p WHERE site_id = :site_id"),
            {"site_id": town.site_id},
        )
    assert rows
    assert not any("Canary" in row.row for row in rows)
    assert (await http.delete(path, headers=town.ann)).status_code == 204
    assert (await http.delete(path, headers=town.ann)).status_code == 404
    assert (await http.get("/v1/addresses", headers=town.ann)).json()["items"] == []


async def test_a_quote_is_the_servers_price(town: Town) -> None:
    lines = [
        {"item_id": "noodles", "quantity": 2, "choices": {"size": "large"}},
        {"item_id": "tea", "quantity": 1},
    ]
    answer = await town.ask(lines)
    assert answer.status_code == 201, answer.text
    quote = answer.json()
    assert [line["total_fen"] for line in quote["lines"]] == [4_200, 500]
    assert (quote["goods_fen"], quote["packing_fen"]) == (4_700, 200)
    assert quote["delivery_fee_fen"] == 300 + 100
    assert quote["total_fen"] == 4_700 + 200 + 400
    assert quote["distance_meters"] == 1_112
    assert quote["promise_minutes"] == 10 + 5 + 10
    promise = quote["promise"]
    assert promise["low_minutes"] < promise["likely_minutes"] < promise["high_minutes"] == 25
    assert promise["hints"] == []
    assert quote["payment_methods"] == ["jsapi", "native", "h5"]
    assert quote["expires_at"].endswith("Z")
    unlinked = await town.ask([{"item_id": "tea", "quantity": 1}], "bob")
    assert unlinked.json()["payment_methods"] == ["native", "h5"]


@pytest.mark.parametrize(
    ("lines", "more", "status", "name"),
    [
        ([{"item_id": "nothing", "quantity": 1}], {}, 422, "validation_failed"),
        ([{"item_id": "noodles", "quantity": 1}], {}, 422, "validation_failed"),
        ([{"item_id": "tea", "quantity": 4}], {}, 409, "sold_out"),
        ([{"item_id": "tea", "quantity": 0}], {}, 422, "validation_failed"),
        ([{"item_id": "tea", "quantity": 1, "price_fen": 1}], {}, 422, "validation_failed"),
        ([], {}, 422, "validation_failed"),
        (
            [{"item_id": "tea", "quantity": 1}],
            {"fulfilment": "self_pickup"},
            422,
            "fulfilment_unavailable",
        ),
        (
            [{"item_id": "tea", "quantity": 1}],
            {
                "requested_window": {
                    "from": "2020-01-01T10:00:00Z",
                    "to": "2020-01-01T11:00:00Z",
                }
            },
            422,
            "validation_failed",
        ),
        (
            [{"item_id": "tea", "quantity": 1}],
            {
                "requested_window": {
                    "from": "2020-01-01T10:00:00Z",
                    "to": "2120-01-01T11:00:00Z",
                }
            },
            422,
            "window_not_kept",
        ),
        ([{"item_id": "tea", "quantity": 1}], {"address_id": "unknown"}, 404, "not_found"),
        ([{"item_id": "tea", "quantity": 1}], {"shop_id": "unknown"}, 404, "not_found"),
    ],
)
async def test_what_can_not_be_sold_is_refused_by_name(
    town: Town, lines: list[Json], more: Json, status: int, name: str
) -> None:
    answer = await town.ask(lines, **more)
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"/problems/{name}"


async def test_far_away_closed_and_paused(town: Town) -> None:
    tea: list[Json] = [{"item_id": "tea", "quantity": 1}]
    far = await town.address(lat=31.0)
    answer = await town.ask(tea, address_id=far)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/out_of_delivery_area")
    for values in ({"paused": True, "open": True}, {"paused": False, "open": False}):
        await town.set_shop(**values)
        answer = await town.ask(tea)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/shop_closed")
    await town.set_shop(open=True, opening_hours=[])
    assert (await town.ask(tea)).status_code == 201


async def test_opening_hours_are_the_sites(town: Town) -> None:
    tea: list[Json] = [{"item_id": "tea", "quantity": 1}]
    await town.set_site(always_open=False, time_zone="Asia/Tokyo")
    tokyo = utc_now() + timedelta(hours=9)
    now, later, last = (
        (tokyo + timedelta(minutes=minutes)).strftime("%H:%M") for minutes in (-5, 60, 120)
    )
    await town.set_shop(opening_hours=[{"opens": now, "closes": later}])
    assert (await town.ask(tea)).status_code == 201
    await town.set_shop(opening_hours=[{"opens": later, "closes": last}])
    assert (await town.ask(tea)).json()["type"] == "/problems/shop_closed"


async def test_a_merchant_has_their_own_switches(town: Town, http: httpx.AsyncClient) -> None:
    who, path = town.headers("merchant", town.merchant_id), f"/v1/merchant/shops/{town.shop_id}"
    shop = (await http.post(path, headers=who, json={"paused": True})).json()
    assert (shop["paused"], shop["open"], shop["auto_accept"]) == (True, False, False)
    shop = (await http.post(path, headers=who, json={"paused": False, "auto_accept": True})).json()
    assert (shop["paused"], shop["open"], shop["auto_accept"]) == (False, True, True)
    other = town.headers("merchant", "other")
    assert (await http.post(path, headers=other, json={"open": False})).status_code == 404

    path = "/v1/merchant/items/tea/availability"
    wanted: Json = {"shop_id": town.shop_id, "available": False}
    item = (await http.post(path, headers=who, json=wanted)).json()
    assert (item["available"], item["stock"]) == (False, 3)
    assert (await town.ask([{"item_id": "tea", "quantity": 1}])).status_code == 409
    item = (await http.post(path, headers=who, json=wanted | {"stock": None})).json()
    assert item["stock"] is None
    assert (await http.post(path, headers=other, json=wanted)).status_code == 404
