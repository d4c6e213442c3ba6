"""What a customer sees of platform credit, what support may give, what an order may ask of it."""

import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.api.test_orders import place
from tests.api.town import Json, Town

LIMIT_FEN = 20_000
NOW = datetime.now(UTC)


async def give(
    town: Town, amount_fen: int, *, key: str = "", days: float = 7, role: str = "support"
) -> httpx.Response:
    """Support's gift to Ann."""
    gift = {
        "customer_id": "ann",
        "amount_fen": amount_fen,
        "reason_code": "sorry",
        "expires_at": (NOW + timedelta(days=days)).isoformat(),
    }
    headers = town.headers(role, "sue") | {"Idempotency-Key": key or uuid.uuid4().hex}
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
    ("amount_fen", "days", "role", "status"),
    [
        (LIMIT_FEN + 1, 7, "support", 409),
        (0, 7, "support", 422),
        (300, -1, "support", 422),
        (300, 400, "support", 422),
        (300, 7, "customer", 403),
    ],
)
async def test_what_nobody_may_give(
    town: Town, amount_fen: int, days: float, role: str, status: int
) -> None:
    assert (await give(town, amount_fen, days=days, role=role)).status_code == status
    assert (await seen(town))["available_fen"] == 0


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
