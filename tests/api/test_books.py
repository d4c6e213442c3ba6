"""Statements, closed books and payouts over HTTP: everyone their own, finance all of their site."""

import csv
import uuid
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from domain.reconciliation import span
from services import statements, tables
from services.db import Database
from tests.api.town import Town
from tests.ledger import post_at
from tests.services.test_payouts import town as with_bank
from tests.services.test_statements import DAY, LATE, life

Json = dict[str, Any]
TIME = {"from": str(DAY), "until": str(DAY + timedelta(days=2))}


async def live(database: Database, site_id: str) -> None:
    """Two days' orders of the merchant `m` and the rider `r`."""
    for number in range(2):
        async with database.write() as writer:
            for each in life(site_id, f"o{number}"):
                await post_at(writer, each, span(DAY + timedelta(days=number))[0] + LATE)


@pytest.fixture
async def fin(town: Town, database: Database) -> dict[str, str]:
    await live(database, town.site_id)
    return town.headers("finance", "fay")


def merchant(**more: str) -> Json:
    return {"party": "account", "id": "merchant:m:payable", **TIME, **more}


async def test_a_statement_is_paged_and_told_as_csv(
    http: httpx.AsyncClient, fin: dict[str, str]
) -> None:
    url = "/v1/finance/statements"
    seen: list[Json] = []
    cursor = ""
    while cursor is not None:
        page = merchant(limit="1") | ({"cursor": cursor} if cursor else {})
        answer = await http.get(url, headers=fin, params=page)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        seen += told["items"]
        cursor = told["next_cursor"]
    figures = [told[name] for name in ("opening_fen", "in_fen", "out_fen", "closing_fen", "lines")]
    assert figures == [0, 5_000, 0, 5_000, 2]
    assert [one["event"] for one in seen] == ["order_settled"] * 2
    by_hand = await http.get(url, headers=fin | {"Accept": "text/csv"}, params=merchant())
    asked = await http.get(url, headers=fin, params=merchant(format="csv"))
    assert by_hand.text == asked.text
    assert asked.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(asked.text.splitlines()))
    assert [row["event"] for row in rows] == ["opening", *["order_settled"] * 2, "closing"]
    assert (rows[0]["balance_fen"], rows[-1]["balance_fen"]) == ("0", "5000")
    assert [row["in_fen"] for row in rows[1:-1]] == ["2500", "2500"]


async def test_a_long_csv_goes_on_where_its_link_says(
    http: httpx.AsyncClient, fin: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.statements.CSV_LINES", 1)
    asked = await http.get("/v1/finance/statements", headers=fin, params=merchant(format="csv"))
    more = asked.headers["link"].removeprefix("<").partition(">")[0]
    rest = await http.get(more, headers=fin)
    assert "link" not in rest.headers
    rows = [*csv.reader(asked.text.splitlines()), *csv.reader(rest.text.splitlines())]
    events = [row[1] for row in rows]
    assert events == ["event", "opening", "order_settled", "event", "order_settled", "closing"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"until": str(DAY)},
        {"from": "yesterday"},
        {"from": "2026-03-04T10:00:00"},
        {"cursor": "no"},
        {"party": "nobody"},
        {"id": "\0"},
    ],
)
async def test_nonsense_is_refused(
    http: httpx.AsyncClient, fin: dict[str, str], wrong: dict[str, str]
) -> None:
    answer = await http.get("/v1/finance/statements", headers=fin, params=merchant() | wrong)
    assert answer.status_code == 422, answer.text


async def test_everyone_sees_their_own(
    http: httpx.AsyncClient, fin: dict[str, str], town: Town, database: Database
) -> None:
    async with database.write() as writer:
        row = {"site_id": town.site_id, "merchant_id": town.merchant_id, "name": "Noodles"}
        await writer.run(insert(tables.merchants).values(row))
        await statements.keep_day(writer, town.site_id, DAY)
    theirs = {
        "merchant": town.headers("merchant", town.merchant_id),
        "rider": town.headers("rider", "rod"),
    }
    for role, who in theirs.items():
        own = await http.get(f"/v1/{role}/statements", headers=who, params=TIME)
        assert own.json()["party_id"] == who_is(role, town), own.text
        assert own.json()["lines"] == 0
        days = await http.get(f"/v1/{role}/statements/days", headers=who)
        assert days.json() == {"items": [], "next_cursor": None}
        for other in ("finance", *(set(theirs) - {role})):
            answer = await http.get(f"/v1/{other}/statements", headers=who, params=TIME)
            assert answer.status_code == 403
    for role in theirs:
        nobody = town.headers(role, "nobody")
        answer = await http.get(f"/v1/{role}/statements", headers=nobody, params=TIME)
        assert answer.status_code == 404
    stranger = town.headers("finance", "fay", site="elsewhere")
    for party, party_id in (
        ("merchant", town.merchant_id),
        ("rider", "rod"),
        ("channel", f"{town.site_id}-account"),
        ("account", "merchant:m:payable"),
    ):
        asked = {"party": party, "id": party_id, **TIME}
        for who, status in ((fin, 200), (stranger, 404)):
            answer = await http.get("/v1/finance/statements", headers=who, params=asked)
            assert answer.status_code == status


def who_is(role: str, town: Town) -> str:
    return town.merchant_id if role == "merchant" else "rod"


async def test_a_period_closes_once_and_shows_its_totals(
    http: httpx.AsyncClient, fin: dict[str, str]
) -> None:
    url = "/v1/finance/periods"
    for _ in range(2):
        closed = await http.post(url, headers=fin, json={"day": str(DAY)})
        assert closed.status_code == 200, closed.text
        assert (closed.json()["day"], closed.json()["closed_by"]) == (str(DAY), "finance:fay")
    [listed] = (await http.get(url, headers=fin)).json()["items"]
    assert listed == closed.json()
    totals = (await http.get(f"{url}/{DAY}", headers=fin, params={"limit": "100"})).json()
    assert sum(one["balance_fen"] for one in totals["items"]) == 0
    earlier = await http.post(url, headers=fin, json={"day": str(DAY - timedelta(days=1))})
    assert (earlier.status_code, earlier.json()["type"]) == (409, "/problems/action_not_allowed")
    assert (await http.get(f"{url}/2020-01-01", headers=fin)).status_code == 404


async def test_a_payout_is_proposed_by_one_and_approved_by_another(
    http: httpx.AsyncClient, fin: dict[str, str], town: Town, database: Database
) -> None:
    await with_bank(database, town.site_id, amy=5_000)
    fred = town.headers("finance", "fred")
    url, body = "/v1/finance/payouts", {"minimum_fen": 100}
    key = {"Idempotency-Key": uuid.uuid4().hex}
    made = await http.post(url, headers=fin | key, json=body)
    assert made.status_code == 201, made.text
    assert (await http.post(url, headers=fin | key, json=body)).content == made.content
    other = await http.post(url, headers=fin | key, json={"minimum_fen": 1})
    assert other.status_code == 409
    assert (await http.post(url, headers=fin, json=body)).status_code == 422
    one = f"{url}/{made.json()['batch_id']}"
    same = await http.post(f"{one}/approve", headers=fin)
    assert (same.status_code, same.json()["type"]) == (403, "/problems/forbidden")
    stranger = town.headers("finance", "fred", site="elsewhere")
    assert (await http.post(f"{one}/approve", headers=stranger)).status_code == 404
    assert (await http.get(one, headers=stranger)).status_code == 404
    for _ in range(2):
        approved = await http.post(f"{one}/approve", headers=fred)
        assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    assert (await http.post(f"{one}/decline", headers=fred)).status_code == 409
    [line] = (await http.get(one, headers=fin)).json()["items"]
    assert (line["rider_id"], line["amount_fen"], line["state"]) == ("amy", 5_000, "proposed")
    assert "payee" not in line
    listed = (await http.get(url, headers=fin, params={"state": "approved"})).json()["items"]
    assert listed == [approved.json()]
    assert (await http.get(url, headers=town.headers("rider", "rod"))).status_code == 403
