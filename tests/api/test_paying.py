"""The payment page from rows, and what is kept of payers; Temporal is away, e2e does the rest."""

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.parts import Parts
from api.payers import address_of
from api.paying import usual, ways
from domain.contracts.life import PayWishes
from domain.contracts.payments import StoreAttempt
from services import payments, personal
from services.db import Database
from services.identity import Identity, Role
from tests.api.town import Json, Town

ANN = {"subject": "customer:ann"}


async def attempt(town: Town, order_id: str, number: int = 1, **columns: Any) -> str:
    """An attempt of the order, its columns as given."""
    wanted = StoreAttempt(
        order_id=order_id, attempt=number, channel="wechat", method="native", wishes=PayWishes()
    )
    async with town.database.write() as writer:
        stored = await payments.store_attempt(writer, wanted)
        for name, value in columns.items():
            change = f"UPDATE payment_attempts SET {name} = :value WHERE out_trade_no = :number"  # noqa: S608
            await writer.run(text(change), {"value": value, "number": stored})
    return stored


async def page(town: Town, order_id: str) -> Json:
    answer = await town.http.get(f"/v1/orders/{order_id}/payment", headers=town.ann)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_while_nothing_is_certain_the_page_is_checking(town: Town) -> None:
    order_id = (await town.order()).order_id
    assert (await page(town, order_id))["state"] == "checking"
    for state in ("created", "unknown"):
        await attempt(town, order_id, state=state)
        found = await page(town, order_id)
        assert (found["state"], found["payment_parameters"]) == ("checking", None)
        assert found["ask_again_after_seconds"] == 2
        assert found["failure"] is None
    other = town.headers("customer", "bob")
    path = f"/v1/orders/{order_id}/payment"
    assert (await town.http.get(path, headers=other)).status_code == 404


async def test_a_failure_says_why_and_what_to_do(town: Town) -> None:
    order_id = (await town.order()).order_id
    await attempt(town, order_id, state="failed", failure_code="RULE_LIMIT")
    found = await page(town, order_id)
    assert (found["state"], found["ask_again_after_seconds"]) == ("failed", None)
    assert found["failure"]["reason"] == "over_limit"
    assert found["failure"]["advice"] == "other_method"
    assert found["ways"]


@pytest.mark.parametrize(
    ("view", "state"),
    [
        ({"status": "cancelled", "close_reason": "payment_expired"}, "expired"),
        ({"status": "cancelled", "close_reason": "customer_cancelled"}, "closed"),
        ({"status": "cancelled", "payment": "refunded"}, "paid"),
        ({"status": "awaiting_acceptance", "payment": "authorized"}, "authorized"),
        ({"status": "preparing", "payment": "paid"}, "paid"),
    ],
)
async def test_what_is_over_is_not_offered_again(town: Town, view: Json, state: str) -> None:
    order_id = (await town.order()).order_id
    await attempt(town, order_id, state="unknown")
    await town.happen(order_id, **view)
    found = await page(town, order_id)
    assert (found["state"], found["ways"], found["ask_again_after_seconds"]) == (state, [], None)


async def test_without_a_channel_it_is_the_way_last_used(
    town: Town, parts: Parts, http: httpx.AsyncClient
) -> None:
    who = Identity(site_id=town.site_id, role=Role.CUSTOMER, subject="ann")

    async def chosen() -> str:
        async with parts.database.read() as reader:
            found = await ways(parts, reader, who, town.merchant_id)
        return (await usual(parts, who, town.merchant_id, found)).method

    assert await chosen() == "jsapi"
    await attempt(town, (await town.order()).order_id, state="paid", method="native")
    assert await chosen() == "native"
    await attempt(town, (await town.order()).order_id, state="paid", method="not_offered_here")
    assert await chosen() == "native"
    quote = await town.quote()
    body = {name: quote[name] for name in ("quote_id", "address_id")}
    headers = town.ann | {"Idempotency-Key": uuid.uuid4().hex}
    placed = await http.post("/v1/orders", headers=headers, json=body)
    assert placed.json()["type"] == "/problems/unavailable", "refused before Temporal's door"
    used = await http.get("/v1/me/payment-methods", headers=town.ann)
    told = {"channel": "wechat", "method": "not_offered_here"}
    assert used.json() == {"last_used": told, "saved": [], "complete": True}


async def test_nothing_is_kept_where_nothing_can_be(town: Town, http: httpx.AsyncClient) -> None:
    order_id = (await town.order()).order_id
    for more in ({"save": True}, {"saved_method": "pm_1"}):
        way = {"channel": "wechat", "method": "native", **more}
        answer = await http.post(f"/v1/orders/{order_id}/payments", headers=town.ann, json=way)
        assert answer.status_code == 422, answer.text
    gone = await http.delete("/v1/me/payment-methods/pm_1", headers=town.ann)
    assert gone.status_code == 404


async def test_a_devices_address_is_a_personal_row_and_goes_with_the_person(
    town: Town, database: Database, http: httpx.AsyncClient
) -> None:
    order_id = (await town.order()).order_id
    way = {"channel": "wechat", "method": "h5"}
    headers = town.ann | {"X-Forwarded-For": "203.0.113.9"}
    await http.post(f"/v1/orders/{order_id}/payments", headers=headers, json=way)
    named = {"site_id": town.site_id, **ANN, "kind": "device"}
    async with database.read() as reader:
        [ref] = await personal.refs(reader, **named)
        kept = await personal.get(reader, **named, ref=ref)
    assert kept == {"address": "127.0.0.1"}
    async with database.write() as writer:
        await personal.erase(writer, site_id=town.site_id, **ANN)
    async with database.read() as reader:
        assert await personal.get(reader, **named, ref=ref) is None


@pytest.mark.parametrize(
    ("forwarded", "trusted", "address"),
    [
        ("", 0, "10.0.0.9"),
        ("203.0.113.7", 0, "10.0.0.9"),
        ("198.51.100.1, 203.0.113.7", 1, "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", 2, "198.51.100.1"),
        ("203.0.113.7", 2, "10.0.0.9"),
        ("2001:DB8::1", 1, "2001:db8::1"),
        ("<script>", 1, "10.0.0.9"),
    ],
)
def test_only_trusted_proxies_are_believed(forwarded: str, trusted: int, address: str) -> None:
    assert address_of("10.0.0.9", forwarded, trusted=trusted) == address
