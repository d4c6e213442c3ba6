"""After-sale at the edge: whose it is, what shapes it takes, the public rules.

Temporal is away; the answers that need it are in tests/workflows.
"""

import uuid
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from domain.after_sale import State
from domain.contracts.tickets import TicketStep
from domain.refund_rules import REASONS
from services import after_sales, tickets
from services.db import Database
from tests.api.town import Town
from tests.sold import Sales

PNG = b"\x89PNG\r\n\x1a\n"
WANTED = {"lines": [{"line_no": 1, "quantity": 1}], "reason_code": "quality"}
ACTS = {
    "/v1/after-sales/{}/escalate": ("customer", "ann", {}),
    "/v1/merchant/after-sales/{}/approve": ("merchant", "", {}),
    "/v1/merchant/after-sales/{}/reject": ("merchant", "", {"reason_code": "fine"}),
    "/v1/support/after-sales/{}/decide": (
        "support",
        "sue",
        {"decision": "approve", "reason_code": "sorry"},
    ),
}


@pytest.fixture
async def sales(database: Database, town: Town) -> Sales:
    """The town's own site, with a payee for its merchant."""
    return await Sales(database, town.site_id).build(new_site=False)


def keyed(town: Town, customer: str = "ann") -> dict[str, str]:
    return town.headers("customer", customer) | {"Idempotency-Key": uuid.uuid4().hex}


async def wish(sales: Sales) -> Any:
    """A wish that its workflow has kept."""
    ask = sales.asked(await sales.order(), (1, 1))
    async with sales.database.write() as writer:
        sold = await after_sales.sold(writer, ask.order_id)
        await after_sales.insert(
            writer,
            ask,
            site_id=sales.site_id,
            reason=REASONS["quality"],
            state=State.ASKED,
            parts=sold.left[:2],
        )
    return ask


async def test_asking_is_the_customers_own_and_needs_a_key(
    town: Town, http: httpx.AsyncClient, sales: Sales
) -> None:
    path = f"/v1/orders/{await sales.order()}/refunds"
    assert (await http.post(path, headers=town.ann, json=WANTED)).status_code == 422
    assert (await http.post(path, headers=keyed(town, "bob"), json=WANTED)).status_code == 404
    merchant = town.headers("merchant", town.merchant_id) | {"Idempotency-Key": "k"}
    assert (await http.post(path, headers=merchant, json=WANTED)).status_code == 403
    away = await http.post(path, headers=keyed(town), json=WANTED)
    assert (away.status_code, away.json()["type"]) == (503, "/problems/unavailable")


@pytest.mark.parametrize(
    "wrong",
    [
        {"lines": [{"line_no": 0, "quantity": 1}]},
        {"lines": [{"line_no": 1, "quantity": 0}]},
        {"reason_code": "Because!"},
        {"evidence": ["a"] * 10},
        {"amount_fen": 1},
    ],
)
async def test_a_wish_of_the_wrong_shape(
    town: Town, http: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    answer = await http.post("/v1/orders/o/refunds", headers=keyed(town), json=WANTED | wrong)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation_failed")


async def test_answers_are_given_by_those_whose_it_is(
    town: Town, http: httpx.AsyncClient, sales: Sales
) -> None:
    ask = await wish(sales)
    for path, (role, subject, body) in ACTS.items():
        url = path.format(ask.after_sale_id)
        who = town.headers(role, subject or town.merchant_id)
        assert (await http.post(url, headers=who, json=body)).status_code == 503, path
        nowhere = await http.post(path.format("none"), headers=who, json=body)
        assert nowhere.status_code == 404, path
        stranger = town.headers(role, "stranger", site="" if role != "support" else "elsewhere")
        assert (await http.post(url, headers=stranger, json=body)).status_code == 404, path
        wrong_role = town.headers("rider", "rod")
        assert (await http.post(url, headers=wrong_role, json=body)).status_code == 403, path


async def test_merchant_and_support_list_what_waits_for_them(
    town: Town, http: httpx.AsyncClient, sales: Sales
) -> None:
    asked = [(await wish(sales)).after_sale_id for _ in range(3)]
    merchant, sue = town.headers("merchant", town.merchant_id), town.headers("support", "sue")
    path = "/v1/merchant/after-sales"
    first = (await http.get(f"{path}?limit=2", headers=merchant)).json()
    rest = await http.get(f"{path}?limit=2&cursor={first['next_cursor']}", headers=merchant)
    found = [one["after_sale_id"] for one in first["items"] + rest.json()["items"]]
    assert (found, rest.json()["next_cursor"]) == (asked[::-1], None)
    stranger = await http.get(path, headers=town.headers("merchant", "stranger"))
    assert stranger.json()["items"] == []
    path = "/v1/support/after-sales"
    assert (await http.get(path, headers=sue)).json()["items"] == []
    async with sales.database.write() as writer:
        moved = {"actor": "customer:ann", "reason_code": "unfair"}
        await after_sales.move(writer, asked[0], State.ESCALATED, **moved)
    [waits] = (await http.get(path, headers=sue)).json()["items"]
    assert waits["after_sale_id"] == asked[0]
    assert len((await http.get(f"{path}?state=asked", headers=sue)).json()["items"]) == 2
    elsewhere = town.headers("support", "sue", site="elsewhere")
    assert (await http.get(path, headers=elsewhere)).json()["items"] == []
    assert (await http.get(f"{path}?state=lost", headers=sue)).status_code == 422


async def test_only_photos_that_were_checked_are_evidence(
    town: Town, http: httpx.AsyncClient, sales: Sales
) -> None:
    order_id = (ask := await wish(sales)).order_id
    path = f"/v1/orders/{order_id}/refunds"
    evidence_id = await shown(sales, order_id)
    for evidence, status in (
        (["invented"], 422),
        ([evidence_id, "invented"], 422),
        ([await shown(sales, await sales.order())], 422),
        ([evidence_id, evidence_id], 503),  # Temporal is away: nothing else is in its way
    ):
        body = WANTED | {"evidence": evidence}
        assert (await http.post(path, headers=keyed(town), json=body)).status_code == status
    url = f"/v1/after-sales/{ask.after_sale_id}/evidence/{evidence_id}"
    merchant = town.headers("merchant", town.merchant_id)
    assert (await http.get(url, headers=merchant)).status_code == 404
    async with sales.database.write() as writer:
        await writer.run(
            text(
                "UPDATE after_sales SET evidence = to_jsonb(CAST(:ids AS text[]))"
                " WHERE order_id = :order_id"
            ),
            {"ids": [evidence_id], "order_id": order_id},
        )
    answer = await http.get(url, headers=merchant)
    assert (answer.content, answer.headers["content-type"]) == (PNG, "image/png")
    assert (await http.get(url, headers=town.headers("merchant", "stranger"))).status_code == 404


async def shown(sales: Sales, order_id: str) -> str:
    """A photo on a ticket of Ann's about the order."""
    async with sales.database.write() as writer:
        about = {"site_id": sales.site_id, "order_id": order_id, "customer_id": "ann"}
        ticket_id = await tickets.open_ticket(writer, **about, kind="customer", key="k")
        ticket = await tickets.find(writer, tickets.Filter(site_id=sales.site_id), ticket_id)
        evidence_id = await tickets.keep_evidence(writer, ticket, PNG)
        step = TicketStep(ticket_id=ticket_id, key="e", data={"evidence_id": evidence_id})
        await tickets.add_evidence(writer, step)
    return evidence_id


async def test_a_list_of_what_was_asked_back(
    town: Town, http: httpx.AsyncClient, sales: Sales
) -> None:
    ask = await wish(sales)
    path = f"/v1/orders/{ask.order_id}/refunds"
    [shown] = (await http.get(path, headers=town.ann)).json()["items"]
    assert shown["after_sale_id"] == ask.after_sale_id
    assert (shown["state"], shown["reason"], shown["bearer"]) == ("asked", "质量问题", "merchant")
    assert shown["lines"] == [{"line_no": 1, "quantity": 1}]
    assert (await http.get(path, headers=town.headers("customer", "bob"))).status_code == 404


async def test_the_rules_are_public_and_named_on_the_quote(
    town: Town, http: httpx.AsyncClient
) -> None:
    quote = await town.quote()
    [line] = quote["lines"]
    assert (line["discount_fen"], line["paid_fen"]) == (0, line["total_fen"])
    assert (quote["discounts"], quote["channel_fee_fen"]) == ([], 0)
    rules = {
        name: (await http.get(policy["path"])).json() for name, policy in quote["policies"].items()
    }
    for name, rule in rules.items():
        assert rule["version"] == quote["policies"][name]["version"]
    reasons = {reason["code"]: reason for reason in rules["refunds"]["reasons"]}
    assert reasons.keys() == REASONS.keys()
    assert reasons["damaged"]["answered_by"] == "support"
    assert rules["fees"]["base_fen"] == 300
    assert [tier["late_seconds"] for tier in rules["compensation"]["tiers"]] == [600, 1800, 3600]
    assert (await http.get("/v1/policies/fees?site=nowhere")).status_code == 404
    assert (await http.get("/v1/policies/fees")).status_code == 200


async def test_an_orders_lines_keep_what_was_paid_for_them(town: Town, database: Database) -> None:
    stream = await town.order()
    async with database.read() as reader:
        sold = await after_sales.sold(reader, stream.order_id)
        [line] = await reader.all(
            text("SELECT total_fen, discount_fen, paid_fen FROM order_lines WHERE order_id = :id"),
            {"id": stream.order_id},
        )
    assert tuple(line) == (500, 0, 500)
    assert sum(part.paid_fen for part in sold.left) == stream.view["total_fen"]
