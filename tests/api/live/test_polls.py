"""A long poll answers as soon as there is something, and never forgets an event."""

import asyncio
import time

import httpx
import pytest

from api.live import polls
from api.parts import Parts
from tests.api.live.line import publish, until_listening
from tests.api.live.test_places import move
from tests.api.town import Town


async def test_it_answers_as_soon_as_there_is_an_event(
    town: Town, parts: Parts, http: httpx.AsyncClient
) -> None:
    stream = await town.order()
    await publish(parts, stream.order_id)
    await until_listening(parts)
    url = f"/v1/orders/{stream.order_id}/events?wait_seconds=25"
    at_once = await http.get(f"{url}&since=0", headers=town.ann)
    assert [event["seq"] for event in at_once.json()["items"]] == [1]
    assert at_once.json()["poll_again_seconds"] == 0
    waiting = asyncio.create_task(http.get(f"{url}&since=1", headers=town.ann))
    while not parts.live.hub.connections:  # noqa: ASYNC110 - a number, not an Event
        await asyncio.sleep(0.01)
    await town.happen(stream.order_id)
    await publish(parts, stream.order_id)
    page = (await waiting).json()
    assert [event["seq"] for event in page["items"]] == [2]
    assert page["position"] is None


async def test_an_empty_page_says_when_to_ask_again(town: Town, http: httpx.AsyncClient) -> None:
    order_id = (await town.order()).order_id
    began = time.monotonic()
    url = f"/v1/orders/{order_id}/events?since=1&wait_seconds=1"
    page = (await http.get(url, headers=town.ann)).json()
    assert time.monotonic() - began >= 0.9
    assert (page["items"], page["poll_again_seconds"]) == ([], polls.AGAIN_SECONDS)


async def test_it_answers_when_the_rider_moves_on(
    town: Town, parts: Parts, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polls, "POLL_SECONDS", 0.5)
    await until_listening(parts)
    order_id = (await town.order()).order_id
    await town.happen(order_id, status="delivering", delivery="picked_up", rider_id="rod")
    await publish(parts, order_id)
    await move(parts, town, (30.27, 120.14))
    while parts.live.hub.place((town.site_id, "rod")) is None:  # noqa: ASYNC110 - no Event
        await asyncio.sleep(0.01)
    url = f"/v1/orders/{order_id}/events?since=2"
    began = time.monotonic()
    stays = (await http.get(f"{url}&wait_seconds=2", headers=town.ann)).json()
    assert (time.monotonic() - began > 1.9, stays["position"]["lat"]) == (True, 30.27)
    began = time.monotonic()
    waiting = asyncio.create_task(http.get(f"{url}&wait_seconds=25", headers=town.ann))
    while not parts.live.hub.connections:  # noqa: ASYNC110 - a number, not an Event
        await asyncio.sleep(0.01)
    await move(parts, town, (30.28, 120.14))
    page = (await waiting).json()
    assert 0.4 < time.monotonic() - began < 20
    assert (page["items"], page["position"]["lat"]) == ([], 30.28)


async def test_a_drained_hub_answers_and_takes_nobody(
    town: Town, parts: Parts, http: httpx.AsyncClient
) -> None:
    order_id = (await town.order()).order_id
    url = f"/v1/orders/{order_id}/events?since=1&wait_seconds=25"
    waiting = asyncio.create_task(http.get(url, headers=town.ann))
    while not parts.live.hub.connections:  # noqa: ASYNC110 - a number, not an Event
        await asyncio.sleep(0.01)
    await parts.live.hub.drain()
    try:
        assert (await waiting).json()["items"] == []
        assert (await http.get(url, headers=town.ann)).status_code == 503
        assert (await http.get(f"/v1/orders/{order_id}/live", headers=town.ann)).status_code == 503
    finally:
        parts.live.hub._draining = False
