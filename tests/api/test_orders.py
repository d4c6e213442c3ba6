"""Placing up to Temporal's door, and every way an order is read; the whole life is in e2e."""

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.parts import Parts
from services import events
from services.db import Database
from tests.api.town import Json, Town


async def place(
    town: Town, quote: Json, customer: str = "ann", *, key: str = "", **more: Any
) -> httpx.Response:
    """Try to place; Temporal is away."""
    body = {
        "quote_id": quote["quote_id"],
        "address_id": quote["address_id"],
        "payment": {"channel": "wechat", "method": "native"},
        **more,
    }
    headers = town.headers("customer", customer) | {"Idempotency-Key": key or uuid.uuid4().hex}
    return await town.http.post("/v1/orders", headers=headers, json=body)


async def test_a_changed_price_is_a_conflict_with_a_quote_that_can_be_ordered(town: Town) -> None:
    quote, key = await town.quote(), uuid.uuid4().hex
    await town.set_item("tea", price_fen=600)
    answer = await place(town, quote, key=key)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/quote_changed")
    fresh = answer.json()["quote"]
    assert fresh["total_fen"] == quote["total_fen"] + 100
    assert fresh["quote_id"] != quote["quote_id"]
    again = await place(town, quote, key=key)
    assert again.content == answer.content
    assert again.headers["content-type"] == "application/problem+json"
    assert (await place(town, fresh)).json()["type"] == "/problems/unavailable"


async def test_a_fresh_quote_promises_by_what_goes_on_there(town: Town, database: Database) -> None:
    quote = await town.quote()
    for _ in range(6):
        await town.order()
    async with database.write() as writer:
        await writer.run(
            text("UPDATE orders SET status = 'preparing' WHERE shop_id = :shop_id"),
            {"shop_id": town.shop_id},
        )
    await town.set_item("tea", price_fen=600)
    fresh = (await place(town, quote)).json()["quote"]
    assert fresh["promise"]["hints"] == ["busy kitchen: +2 min"]
    assert fresh["promise_minutes"] == quote["promise_minutes"] + 2
    async with database.read() as reader:
        known = await reader.scalar(
            text("SELECT promise->'known'->'cooking' FROM quotes WHERE quote_id = :quote_id"), fresh
        )
    assert known == 6


async def test_what_is_refused_before_the_workflow(town: Town, database: Database) -> None:
    quote = await town.quote(customer="bob")
    jsapi = {"channel": "wechat", "method": "jsapi"}
    answer = await place(town, quote, "bob", payment=jsapi)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/payer_not_linked")
    assert answer.json()["payment_methods"] == ["native", "h5"]
    assert (await place(town, quote, "ann")).status_code == 404
    assert (await place(town, quote, "bob", address_id="another")).status_code == 422
    await town.set_item("tea", stock=0)
    assert (await place(town, quote, "bob")).json()["type"] == "/problems/sold_out"
    await town.set_item("tea", stock=5)
    await town.set_shop(paused=True)
    assert (await place(town, quote, "bob")).json()["type"] == "/problems/shop_closed"
    await town.set_shop(paused=False)
    async with database.write() as writer:
        await writer.run(
            text("UPDATE quotes SET expires_at = now() WHERE quote_id = :quote_id"), quote
        )
    assert (await place(town, quote, "bob")).json()["type"] == "/problems/quote_expired"


@pytest.mark.parametrize(
    "wrong",
    [
        {"remark": "x" * 201},
        {"remark": "my card is 4242 4242 4242 4242"},
        {"tableware": -1},
        {"payment": {"channel": "wechat", "method": "native", "instalments": 5}},
        {"quote_id": "a\0b"},
        {"total_fen": 1},
    ],
)
async def test_a_body_of_the_wrong_shape(town: Town, wrong: Json) -> None:
    quote = {"quote_id": "quote", "address_id": "address"}
    answer = await place(town, quote, **wrong)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation_failed")


async def test_a_key_is_needed_and_bounded(town: Town, http: httpx.AsyncClient) -> None:
    body = {
        "quote_id": "q",
        "address_id": "a",
        "payment": {"channel": "wechat", "method": "native"},
    }
    for more in ({}, {"Idempotency-Key": "x" * 129}, {"Idempotency-Key": "a b"}):
        answer = await http.post("/v1/orders", headers=town.ann | more, json=body)
        assert answer.status_code == 422, answer.text


async def test_while_temporal_is_away_nothing_is_final(town: Town, database: Database) -> None:
    quote, key = await town.quote(), uuid.uuid4().hex
    for _ in range(2):
        answer = await place(town, quote, key=key)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert answer.headers["retry-after"]
    async with database.read() as reader:
        row = await reader.first(text("SELECT * FROM request_keys WHERE key = :key"), {"key": key})
    assert row is not None
    assert (row.order_id, row.answer) == ("", None)
    other = await place(town, quote, key=key, remark="another body")
    assert (other.status_code, other.json()["type"]) == (409, "/problems/idempotency_conflict")


async def test_reading_an_order(town: Town, http: httpx.AsyncClient, parts: Parts) -> None:
    stream = await town.order()
    path = f"/v1/orders/{stream.order_id}"
    from_rows = (await http.get(path, headers=town.ann)).json()
    assert await parts.cache.snapshot(stream.order_id) is not None
    from_redis = (await http.get(path, headers=town.ann)).json()
    assert from_rows == from_redis
    assert from_rows.items() >= {"seq": 1, **stream.view}.items()
    assert len(from_rows["handover_code"]) == 4
    for_merchant = await http.get(path, headers=town.headers("merchant", town.merchant_id))
    assert "handover_code" not in for_merchant.json()
    assert for_merchant.json()["number"] == 1


async def test_another_tenants_order_does_not_exist(town: Town, http: httpx.AsyncClient) -> None:
    order_id = (await town.order()).order_id
    strangers = [
        town.headers("customer", "bob"),
        town.headers("merchant", "other"),
        town.headers("customer", "ann", site="elsewhere"),
        town.headers("support", "sue", site="elsewhere"),
    ]
    for who in strangers:
        for path in ("", "/events", "/live", "?live=true"):
            answer = await http.get(f"/v1/orders/{order_id}{path}", headers=who)
            assert answer.status_code == 404, (who, path, answer.text)
    for path in (f"/v1/orders/{order_id}/cancel", f"/v1/orders/{order_id}/payments"):
        body = {"channel": "wechat", "method": "native"}
        answer = await http.post(path, headers=strangers[0], json=body)
        assert answer.status_code == 404
    path = f"/v1/merchant/orders/{order_id}/accept"
    assert (await http.post(path, headers=strangers[1])).status_code == 404
    path = f"/v1/support/orders/{order_id}"
    assert (await http.get(f"{path}/timeline", headers=strangers[3])).status_code == 404
    note = {"text": "hello"}
    assert (await http.post(f"{path}/notes", headers=strangers[3], json=note)).status_code == 404
    for unknown in ("nothing", "a" * 65, "a%00b", "..%2f"):
        answer = await http.get(f"/v1/orders/{unknown}", headers=town.ann)
        assert answer.status_code == 404


async def test_a_read_is_never_older_than_a_command(
    town: Town, http: httpx.AsyncClient, parts: Parts
) -> None:
    stream = await town.order()
    path = f"/v1/orders/{stream.order_id}"
    assert (await http.get(path, headers=town.ann)).json()["seq"] == 1
    await town.happen(stream.order_id, status="preparing")
    await parts.refresh(stream.order_id)
    after = (await http.get(path, headers=town.ann)).json()
    assert (after["seq"], after["status"]) == (2, "preparing")
    await parts.cache.remember(stream)
    assert (await http.get(path, headers=town.ann)).json()["seq"] == 2


async def test_asking_the_workflow_needs_temporal(town: Town, http: httpx.AsyncClient) -> None:
    order_id = (await town.order()).order_id
    for who in (town.headers("support", "sue"), town.headers("operations", "otto")):
        assert (await http.get(f"/v1/orders/{order_id}", headers=who)).status_code == 503
    live = await http.get(f"/v1/orders/{order_id}?live=maybe", headers=town.ann)
    assert live.status_code == 422


async def test_lists_by_cursor_and_filter(town: Town, http: httpx.AsyncClient) -> None:
    placed = [await town.order() for _ in range(5)]
    await town.order("bob")
    who = town.headers("merchant", town.merchant_id)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = f"/v1/orders?limit=2&cursor={cursor}"
        found = (await http.get(page, headers=town.ann)).json()
        assert len(found["items"]) <= 2
        seen += [order["order_id"] for order in found["items"]]
        cursor = found["next_cursor"]
    assert seen == [stream.order_id for stream in reversed(placed)]
    everybody = (await http.get("/v1/merchant/orders", headers=who)).json()["items"]
    assert len(everybody) == 6
    delivered = await http.get("/v1/merchant/orders?status=delivered", headers=who)
    assert delivered.json()["items"] == []
    sue = town.headers("support", "sue")
    path = f"/v1/support/orders?shop_id={town.shop_id}&status=awaiting_payment&limit=100"
    assert len((await http.get(path, headers=sue)).json()["items"]) == 6
    for wrong in ("limit=101", "limit=0", "cursor=x", "status=lost"):
        assert (await http.get(f"/v1/orders?{wrong}", headers=town.ann)).status_code == 422


async def test_events_since(town: Town, http: httpx.AsyncClient) -> None:
    stream = await town.order()
    for number in range(3):
        await town.happen(stream.order_id, step=number)
    path = f"/v1/orders/{stream.order_id}/events"
    found = (await http.get(path, headers=town.ann, params={"since": 2})).json()["items"]
    assert [(event["seq"], event["data"]) for event in found] == [
        (3, {"step": 1}),
        (4, {"step": 2}),
    ]
    assert set(found[0]) == {"order_id", "seq", "type", "at", "data"}
    assert (await http.get(path, headers=town.ann, params={"since": -1})).status_code == 422


async def test_support_sees_the_whole_timeline_with_notes(
    town: Town, http: httpx.AsyncClient, parts: Parts
) -> None:
    stream, sue = await town.order(), town.headers("support", "sue")
    path = f"/v1/support/orders/{stream.order_id}"
    kept = await http.post(f"{path}/notes", headers=sue, json={"text": "calls back at six"})
    assert kept.status_code == 201
    note_id = kept.json()["note_id"]
    async with parts.database.write() as writer:
        await events.note(
            writer,
            order_id=stream.order_id,
            site_id=stream.site_id,
            kind="intervention.note",
            key=note_id,
            data={"note_id": note_id},
        )
    lines = (await http.get(f"{path}/timeline", headers=sue)).json()["items"]
    assert [(line["source"], line["kind"], line["note"]) for line in lines] == [
        ("public", "order.placed", None),
        ("inner", "intervention.note", "calls back at six"),
    ]
    first = (await http.get(f"{path}/timeline?limit=1", headers=sue)).json()
    more = f"limit=1&cursor={first['next_cursor']}"
    second = (await http.get(f"{path}/timeline?{more}", headers=sue)).json()
    assert [line["kind"] for line in second["items"]] == ["intervention.note"]
    assert second["next_cursor"] is None
