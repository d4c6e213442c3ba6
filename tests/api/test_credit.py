"""What a customer sees of platform credit, what support may give, what an order may ask of it."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import insert

from services import tables
from tests.api.test_orders import place
from tests.api.town import Json, Town

LIMIT_FEN = 20_000
CUSTOMER_DAY_FEN, SUPPORTER_DAY_FEN = 20_000, 50_000
NOW = datetime.now(UTC)


async def give(
    town: Town,
    amount_fen: int,
    *,
    key: str = "",
    days: float = 7,
    who: str = "support:sue",
    customer: str = "ann",
) -> httpx.Response:
    """Support's gift, to Ann unless told otherwise."""
    gift = {
        "customer_id": customer,
        "amount_fen": amount_fen,
        "reason_code": "sorry",
        "expires_at": (NOW + timedelta(days=days)).isoformat(),
    }
    headers = town.headers(*who.split(":")) | {"Idempotency-Key": key or uuid.uuid4().hex}
    return await town.http.post("/v1/support/credit", headers=headers, json=gift)


async def seen(town: Town, customer: str = "ann") -> Json:
    who = town.headers("customer", customer)
    return dict((await town.http.get("/v1/credit", headers=who)).json())


async def test_a_gift_is_given_once_and_shown_to_its_customer(town: Town) -> None:
    key = uuid.uuid4().hex
    first, again = await give(town, 300, key=key), await give(town, 300, key=key)
    assert (first.status_code, again.content) == (201, first.content)
    assert (await give(town, 400, key=key)).json()["type"] == "/problems/idempotency_conflict"
    await give(town, 200, days=2)
    found = await seen(town)
    assert found["available_fen"] == 500
    assert [grant["left_fen"] for grant in found["items"]] == [200, 300]
    assert (await seen(town, "bob"))["available_fen"] == 0
    assert (await town.quote())["credit_available_fen"] == 500


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"amount_fen": 0}, 422),
        ({"days": -1}, 422),
        ({"days": 400}, 422),
        ({"who": "customer:ann"}, 403),
        ({"customer": "nobody"}, 404),
    ],
)
async def test_what_nobody_may_give(town: Town, wish: Json, status: int) -> None:
    assert (await give(town, **{"amount_fen": 300} | wish)).status_code == status
    assert (await seen(town))["available_fen"] == 0


async def decide(town: Town, grant_id: str, word: str, who: str) -> httpx.Response:
    headers = town.headers(*who.split(":"))
    return await town.http.post(f"/v1/support/credit/{grant_id}/{word}", headers=headers)


async def test_above_the_limit_a_second_person_gives(town: Town) -> None:
    proposed = (await give(town, LIMIT_FEN + 1)).json()
    grant_id = proposed["grant_id"]
    assert (proposed["state"], (await seen(town))["available_fen"]) == ("proposed", 0)
    sue = town.headers("support", "sue")
    listed = await town.http.get("/v1/support/credit?state=proposed", headers=sue)
    assert [one["grant_id"] for one in listed.json()["items"]] == [grant_id]
    alone = await decide(town, grant_id, "approve", "support:sue")
    assert (alone.status_code, alone.json()["type"]) == (403, "/problems/forbidden")
    answers = await asyncio.gather(
        *(decide(town, grant_id, "approve", "lead:lee") for _ in range(3))
    )
    assert [answer.json()["state"] for answer in answers] == ["given"] * 3
    assert (await seen(town))["available_fen"] == LIMIT_FEN + 1
    late = await decide(town, grant_id, "decline", "support:sam")
    assert late.status_code == 409
    other = (await give(town, LIMIT_FEN + 1)).json()["grant_id"]
    assert (await decide(town, other, "decline", "support:sam")).json()["state"] == "declined"
    assert (await decide(town, other, "approve", "lead:lee")).status_code == 409
    assert (await seen(town))["available_fen"] == LIMIT_FEN + 1


async def test_a_days_caps_hold_for_one_supporter_and_for_one_customer(town: Town) -> None:
    """Ten at once: never more than the caps, whoever is first."""
    half = CUSTOMER_DAY_FEN // 2
    gifts = await asyncio.gather(*(give(town, half, who=f"support:s{i}") for i in range(6)))
    states = [gift.json()["state"] for gift in gifts]
    assert (states.count("given"), states.count("proposed")) == (2, 4)
    assert (await seen(town))["available_fen"] == CUSTOMER_DAY_FEN
    async with town.database.write() as writer:
        many = [{"site_id": town.site_id, "customer_id": f"c{i}"} for i in range(6)]
        await writer.run(insert(tables.customers).values(many))
    whom = [f"c{i}" for i in range(6)]
    gifts = await asyncio.gather(*(give(town, half, customer=one) for one in whom))
    states = [gift.json()["state"] for gift in gifts]
    assert states.count("given") == SUPPORTER_DAY_FEN // half


async def test_an_order_asks_for_what_there_is_and_no_more_than_it_costs(town: Town) -> None:
    quote = await town.quote()
    total_fen = quote["total_fen"]
    await give(town, total_fen - 100)
    answer = await place(town, quote, credit_fen=total_fen)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/credit_too_low")
    assert answer.json()["available_fen"] == total_fen - 100
    await give(town, 200)
    assert (await place(town, quote, credit_fen=total_fen + 1)).status_code == 409
    # Temporal is away: nothing else stands in the way of an order that credit pays whole.
    whole = await place(town, quote, credit_fen=total_fen, payment=None)
    assert whole.json()["type"] == "/problems/unavailable"


async def test_anybody_may_read_what_goes_back_first(town: Town) -> None:
    policy = (await town.http.get("/v1/policies/refunds")).json()
    assert policy["refund_order"] == ["channel", "credit"]
