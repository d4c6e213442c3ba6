"""Bounds of one caller: bytes per request, requests per minute."""

from collections.abc import AsyncIterator

import httpx
import pytest
from limits import parse

from api.app import create_app
from api.limits import BODY_BYTES, CALLERS_MAX, Windows
from api.parts import Parts
from services.settings import Settings
from tests.api.town import Town


async def test_a_body_that_is_too_large_is_refused_unread(
    town: Town, http: httpx.AsyncClient
) -> None:
    answer = await http.post("/v1/addresses", headers=town.ann, content=b"x" * (BODY_BYTES + 1))
    assert answer.status_code == 413
    assert answer.json()["type"] == "/problems/body_too_large"


async def test_a_body_of_untold_length_is_counted(town: Town, http: httpx.AsyncClient) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1_000):
            taken += 1
            yield b"x" * 1_024

    headers = town.ann | {"Content-Type": "application/json"}
    answer = await http.post("/v1/addresses", headers=headers, content=endless())
    assert answer.status_code == 413
    assert taken <= BODY_BYTES // 1_024 + 1


@pytest.mark.parametrize("length", ["-1", "abc", "1" * 5_000])
async def test_lengths_that_are_none(http: httpx.AsyncClient, length: str) -> None:
    answer = await http.post("/v1/addresses", headers={"Content-Length": length})
    assert answer.status_code == 413


async def test_each_caller_has_a_rate_of_their_own(
    told: Settings, parts: Parts, town: Town
) -> None:
    app = create_app(told.model_copy(update={"rate_limit": "3/minute"}))
    app.state.parts = parts
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        ann, bob = town.ann, town.headers("customer", "bob")
        seen = [(await client.get("/v1/addresses", headers=ann)).status_code for _ in range(5)]
        assert seen == [200, 200, 200, 429, 429]
        refused = await client.get("/v1/addresses", headers=ann)
        assert refused.json()["type"] == "/problems/rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert (await client.get("/v1/addresses", headers=bob)).status_code == 200
        forged = [{"Authorization": f"Bearer forged{number}"} for number in range(4)]
        by_address = [
            (await client.get("/v1/addresses", headers=headers)).status_code for headers in forged
        ]
        assert by_address == [401, 401, 401, 429]
        assert (await client.get("/healthz")).status_code == 200


def test_windows_end_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000.0
    monkeypatch.setattr("api.limits.time.monotonic", lambda: now)
    windows, rate = Windows(), parse("2/minute")
    assert [windows.hit("a", rate) for _ in range(3)] == [0, 0, 60]
    now += 60
    assert windows.hit("a", rate) == 0
    for number in range(CALLERS_MAX):
        windows.hit(str(number), rate)
    assert len(windows._windows) <= CALLERS_MAX
