"""Who may follow, how they say who they are, and by which ways."""

from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.live import entry, ways
from api.live.app import create_app
from api.live.ways import Way
from api.parts import Parts
from services.settings import Settings
from tests.api.live.conftest import served
from tests.api.live.line import following, hear
from tests.api.town import Town


def token_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
async def bare_port(told: Settings) -> AsyncIterator[int]:
    """A hub of its own, where one way is switched off."""
    app = create_app(told.model_copy(update={"live_ways": "sse, websocket"}))
    async with app.router.lifespan_context(app), served(app) as port:
        yield port


@pytest.mark.parametrize("query", ["?ticket=forged", "?since=x"])
async def test_a_socket_that_may_not_be_opened(town: Town, port: int, query: str) -> None:
    order_id = (await town.order()).order_id
    headers = town.ann if query == "?since=x" else {}
    with pytest.raises(InvalidStatus) as refused:
        async with following(port, f"/v1/orders/{order_id}/live{query}", headers):
            pass
    response = refused.value.response
    assert response.status_code == (422 if headers else 401)
    assert response.headers["content-type"] == "application/problem+json"
    stranger = town.headers("customer", "bob")
    with pytest.raises(InvalidStatus) as hidden:
        async with following(port, f"/v1/orders/{order_id}/live", stranger):
            pass
    assert hidden.value.response.status_code == 404


async def test_a_browser_says_hello(town: Town, http: httpx.AsyncClient, port: int) -> None:
    order_id = (await town.order()).order_id
    await town.happen(order_id)
    path = f"/v1/orders/{order_id}/live"
    hello = {"type": "hello", "token": token_of(town.ann)}
    async with following(port, path, hello=hello) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
    async with following(port, path, hello=hello | {"since": 1}) as socket_:
        assert (await hear(socket_))["seq"] == 2
    ticket = (await http.post("/v1/live-tickets", headers=town.ann)).json()["ticket"]
    by_ticket = {"type": "hello", "ticket": ticket, "since": 1}
    async with following(port, path, hello=by_ticket) as socket_:
        assert (await hear(socket_))["seq"] == 2
    assert await closing(port, path, by_ticket) == 4401
    assert await closing(port, "/v1/merchant/live", hello) == 4403
    bob = {"type": "hello", "token": token_of(town.headers("customer", "bob"))}
    assert await closing(port, path, bob) == 4403
    assert await closing(port, path, hello | {"since": "x"}) == 4400


@pytest.mark.parametrize(
    "hello", [{"type": "hello"}, {"type": "hello", "token": "x"}, {"type": "x"}, [], 1]
)
async def test_a_hello_that_names_nobody(town: Town, port: int, hello: object) -> None:
    order_id = (await town.order()).order_id
    assert await closing(port, f"/v1/orders/{order_id}/live", hello) == 4401


async def test_who_says_nothing_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "HELLO_SECONDS", 0.1)
    assert await closing(port, "/v1/rider/live", None) == 4401


async def closing(port: int, path: str, hello: object) -> int:
    """The code that a socket is closed with at its first message."""
    with pytest.raises(ConnectionClosed) as closed:
        async with following(port, path, hello=hello):
            pass
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


async def test_a_way_that_is_switched_off_names_the_others(town: Town, bare_port: int) -> None:
    order_id = (await town.order()).order_id
    url = f"http://127.0.0.1:{bare_port}/v1/orders/{order_id}"
    async with httpx.AsyncClient(headers=town.ann) as client:
        off = await client.get(f"{url}/events?wait_seconds=20")
        assert (off.status_code, off.json()["ways"]) == (503, ["websocket", "sse", "poll"])
        assert off.headers["retry-after"] == str(off.json()["retry_after_seconds"])
        plain = (await client.get(f"{url}/events")).json()
        assert [event["seq"] for event in plain["items"]] == [1]
        assert plain["poll_again_seconds"] == ways.POLL_SECONDS
        assert plain["ways"] == ["websocket", "sse", "poll"]
        async with client.stream("GET", f"{url}/live") as answer:
            line = await anext(answer.aiter_lines())
            assert orjson.loads(line[6:])["ways"] == ["websocket", "sse", "poll"]


async def test_an_api_beside_hubs_only_polls(
    town: Town, parts: Parts, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts.live, "ways", ways.offered("websocket,sse", live=False))
    order_id = (await town.order()).order_id
    with pytest.raises(InvalidStatus) as refused:
        async with following(port, f"/v1/orders/{order_id}/live", town.ann):
            pass
    assert refused.value.response.status_code == 503
    assert orjson.loads(refused.value.response.body)["ways"] == ["poll"]


def test_ways_come_best_first() -> None:
    assert ways.offered("poll,sse, websocket,long_poll", live=True) == tuple(Way)
    assert ways.offered("", live=True) == (Way.POLL,)
    with pytest.raises(ValueError, match="pigeon"):
        ways.offered("pigeon", live=True)
