"""The control interface of people over HTTP: sessions, bounds, unknown names; nobody's API."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sandbox.people.control import create_people
from sandbox.people.sessions import SESSIONS_MAX, People

PATH = "/control/people/sessions"
NOWHERE = "http://127.0.0.1:9"
RIDER = {"id": "r1", "token": "t", "habits": {"start": {"lat": 30.0, "lng": 120.0}}}
ORDER = {
    "customer_id": "c1",
    "shop_id": "s1",
    "lines": [{"item_id": "i1", "quantity": 1, "choices": {}}],
    "place": {"lat": 30.0, "lng": 120.0},
    "key": "k1",
}


async def never(placed: dict[str, Any]) -> bool:
    raise AssertionError(f"nothing was placed, and yet paid: {placed}")


@pytest.fixture
async def control() -> AsyncIterator[httpx.AsyncClient]:
    people = People(never)
    app = FastAPI()
    app.include_router(create_people(people))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        yield client
    await people.close()


async def opened(control: httpx.AsyncClient, **more: object) -> str:
    answer = await control.post(PATH, json={"api_url": NOWHERE, "speed": 60, **more})
    assert answer.status_code == 201
    return str(answer.json()["session_id"])


async def test_people_join_and_are_counted(control: httpx.AsyncClient) -> None:
    session = await opened(control)
    for group, person in {
        "customers": {"id": "c1", "token": "t"},
        "merchants": {"id": "m1", "token": "t", "habits": {"accepts_after_seconds": "silent"}},
        "riders": RIDER,
    }.items():
        for _ in range(2):
            answer = await control.post(f"{PATH}/{session}/{group}", json=person)
            assert answer.status_code == 204, answer.text
    order = await control.post(f"{PATH}/{session}/orders", json=ORDER)
    again = await control.post(f"{PATH}/{session}/orders", json=ORDER)
    assert order.status_code == 202
    assert order.json()["status"] == "placing"
    assert again.json()["clicked_at"] == order.json()["clicked_at"]
    progress = (await control.get(f"{PATH}/{session}", params={"log": True})).json()
    assert (progress["customers"], progress["merchants"]) == (1, 1)
    assert (progress["riders"]["all"], progress["riders"]["on_shift"]) == (1, 0)
    assert (progress["orders"], progress["ended"]) == (1, 0)
    assert [order["key"] for order in progress["log"]] == ["k1"]
    assert (await control.get(f"{PATH}/{session}/orders/k1")).json()["order_id"] == ""


async def test_a_session_is_opened_again_by_its_id_and_ends(control: httpx.AsyncClient) -> None:
    session = await opened(control, session_id="mine")
    assert session == "mine"
    await control.post(f"{PATH}/mine/riders", json=RIDER)
    assert await opened(control, session_id="mine") == "mine"
    assert (await control.get(f"{PATH}/mine")).json()["riders"]["all"] == 1
    for _ in range(2):
        assert (await control.delete(f"{PATH}/mine")).status_code == 204
    assert (await control.get(f"{PATH}/mine")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/none/riders", RIDER, 404),
        ("/here/orders", ORDER, 404),
        ("/here/riders", {"id": "r", "token": "t", "habits": {}}, 422),
        ("/here/riders", RIDER | {"mood": "good"}, 422),
        ("/here/customers", {"id": "c", "token": "t", "habits": {"pays": "perhaps"}}, 422),
        ("/here/merchants", {"id": "m", "token": "t", "habits": {"rejects": 2}}, 422),
        ("", {"api_url": "file:///etc/passwd"}, 422),
        ("", {"api_url": NOWHERE, "speed": 0}, 422),
    ],
)
async def test_what_makes_no_sense_is_refused(
    control: httpx.AsyncClient, path: str, body: dict[str, Any], status: int
) -> None:
    await opened(control, session_id="here")
    assert (await control.post(PATH + path, json=body)).status_code == status


async def test_sessions_are_bounded(control: httpx.AsyncClient) -> None:
    for _ in range(SESSIONS_MAX):
        await opened(control)
    refused = await control.post(PATH, json={"api_url": NOWHERE})
    assert refused.status_code == 429
