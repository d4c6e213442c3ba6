"""While Redis is away hubs ask the rows a bounded number of times, and nobody is sent away."""

import asyncio
import time
from contextlib import AsyncExitStack

import httpx
from sqlalchemy import event
from websockets.protocol import State

from api.live import hub
from api.parts import Parts
from tests.api.live.line import PATIENCE_SECONDS, following, hear, until_listening
from tests.api.town import Town
from tests.valkey import Valkey

LINES = 30
SECONDS = 4.0


async def test_an_outage_costs_a_bounded_number_of_questions(
    town: Town, parts: Parts, http: httpx.AsyncClient, port: int, valkey: Valkey
) -> None:
    order_id = (await town.order()).order_id
    await until_listening(parts)
    questions = 0

    def count(*_: object) -> None:
        nonlocal questions
        questions += 1

    pool = parts.database.engine.sync_engine.pool
    url = f"/v1/orders/{order_id}/events?since=1&wait_seconds=25"
    async with AsyncExitStack() as open_, asyncio.TaskGroup() as waiting:
        lines = [
            await open_.enter_async_context(
                following(port, "/v1/rider/live", town.headers("rider", f"r{number}"))
            )
            for number in range(LINES)
        ]
        for line in lines:
            assert (await hear(line))["type"] == "snapshot"
        polls = [waiting.create_task(http.get(url, headers=town.ann)) for _ in range(LINES)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while parts.live.hub.connections < LINES * 2:  # noqa: ASYNC110 - a number
                await asyncio.sleep(0.02)
        valkey.stop()
        try:
            await until_listening(parts, listening=False)
            event.listen(pool, "checkout", count)
            began = time.monotonic()
            await asyncio.sleep(SECONDS)
            took = time.monotonic() - began
            event.remove(pool, "checkout", count)
            assert parts.live.hub.connections == LINES * 2
            assert {line.state for line in lines} == {State.OPEN}
            audits, looks = took / hub.POLL_SECONDS, took / hub.RIDERS_SECONDS
            assert LINES <= questions <= (audits + 2) + LINES * (looks + 1)
            await town.happen(order_id)
            pages = [(await one).json()["items"] for one in polls]
        finally:
            await asyncio.to_thread(valkey.start)
        assert [[item["seq"] for item in page] for page in pages] == [[2]] * LINES
    await until_listening(parts)
