"""A client that degrades by itself misses nothing and doubles nothing, whatever is cut."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import replace
from itertools import pairwise

import pytest
from click.testing import CliRunner, Result
from prometheus_client import REGISTRY
from redis import Redis

from api.live.app import create_app
from api.parts import Parts
from cli.following_ways import WAYS, Refused
from cli.main import main
from services.settings import Settings
from tests.api.live.conftest import served
from tests.api.live.follower import (
    EVENT_SECONDS,
    PACE,
    ensure_equal,
    gaps,
    happening,
    heard,
    under_way,
)
from tests.api.live.test_process import free_ports, ready
from tests.api.town import Town
from tests.cutting import wire
from tests.valkey import Valkey

CUTS = 100
HEARTBEAT_SECONDS = 0.1
HASTY = replace(PACE, open_seconds=0.5)
"""Silence before the first words is found out so late."""
LATE_SECONDS = 4 * EVENT_SECONDS
"""A better way tells again what the worse one told while it was opened."""
WORDS = {
    "websocket": b"upgrade: websocket",
    "sse": b"/live?",
    "long_poll": b"wait_seconds=1",
}
"""By way, what its request says and no worse one does."""


@asynccontextmanager
async def hub(told: Settings, offers: Sequence[str] = WAYS) -> AsyncIterator[int]:
    """The port of a hub that offers these ways."""
    app = create_app(told.model_copy(update={"live_ways": ",".join(offers)}))
    async with app.router.lifespan_context(app), served(app) as port:
        yield port


@asynccontextmanager
async def hub_process(port: int, own: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """One that can be killed."""
    environment = os.environ | {"PAOTUI_LIVE_PORT": str(port), "PAOTUI_METRICS_PORT": str(own)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.live"), env=environment
    )
    try:
        await ready(f"http://127.0.0.1:{own}")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def changes() -> dict[tuple[str, str], float]:
    """What the hubs of this process count: from which way, to which."""
    return {
        (one, other): REGISTRY.get_sample_value(
            "paotui_live_changes_total", {"from": one, "to": other}
        )
        or 0.0
        for one in WAYS
        for other in WAYS
    }


async def test_a_network_that_is_cut_a_hundred_times(
    town: Town, parts: Parts, told: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("feed", "telling"):
        monkeypatch.setattr(f"api.live.{module}.HEARTBEAT_SECONDS", HEARTBEAT_SECONDS)
    seed = time.time_ns()
    print("seed", seed)  # noqa: T201 - shown when it fails
    dice = random.Random(seed)  # noqa: S311 - when to cut
    out_of_turn = gaps(monkeypatch)
    order_id = await under_way(town)
    async with (
        hub(told) as port,
        wire(port) as cuttable,
        heard(cuttable.port, order_id, town.ann, pace=HASTY) as all_of_it,
        heard(cuttable.port, order_id, town.ann, since=None, pace=HASTY) as from_now,
    ):
        await all_of_it.until(seq=2)
        await from_now.until(seq=2)
        async with happening(town, parts, order_id):
            cuts = 0
            while cuts < CUTS:
                await asyncio.sleep(dice.uniform(0, 0.4))
                cuts += cuttable.cut(silently=dice.random() < 0.5) > 0
        assert await ensure_equal(parts, order_id, all_of_it, from_now) > CUTS
    assert not out_of_turn
    assert all_of_it.told[0]["seq"] == 1
    assert all_of_it.places


async def test_redis_is_killed_started_again_and_flushed(
    town: Town,
    parts: Parts,
    told: Settings,
    valkey: Valkey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.live.hub.AUDIT_SECONDS", 0.5)
    out_of_turn = gaps(monkeypatch)
    order_id = await under_way(town)
    async with hub(told) as port, heard(port, order_id, town.ann) as client:
        async with happening(town, parts, order_id):
            await client.until(seq=10)
            valkey.stop()
            try:
                await client.until(seq=client.seq + 10)
            finally:
                await asyncio.to_thread(valkey.start)
            for _ in range(3):
                await client.until(seq=client.seq + 10)
                with closing(Redis.from_url(valkey.url)) as redis:
                    redis.flushall()
        await ensure_equal(parts, order_id, client)
    assert client.ways == ["websocket"]
    assert not out_of_turn


async def test_a_hub_is_killed_and_another_takes_its_address(
    town: Town, parts: Parts, told: Settings
) -> None:
    port, own = free_ports(2)
    assert os.environ["PAOTUI_REDIS_URL"] == told.redis_url
    order_id = await under_way(town)
    async with heard(port, order_id, town.ann) as client:
        async with happening(town, parts, order_id):
            for _ in range(2):
                async with hub_process(port, own) as process:
                    await client.until(seq=client.seq + 10, way="websocket")
                    process.kill()
        async with hub_process(port, own):
            await ensure_equal(parts, order_id, client)


@pytest.mark.parametrize("by", ["settings", "network"])
async def test_down_to_polls_and_up_again(
    town: Town, parts: Parts, told: Settings, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr("api.live.ways.TRY_AGAIN_SECONDS", 1)
    before = changes()
    out_of_turn = gaps(monkeypatch)
    order_id = await under_way(town)
    async with AsyncExitStack() as open_:
        hubs = [hub(told, WAYS[best:]) for best in (range(4) if by == "settings" else range(1))]
        ports = [await open_.enter_async_context(one) for one in hubs]
        cuttable = await open_.enter_async_context(wire(ports[0]))
        cuttable.late_seconds = LATE_SECONDS
        client = await open_.enter_async_context(heard(cuttable.port, order_id, town.ann))
        await client.until(way="websocket")
        async with happening(town, parts, order_id):
            for best in (1, 2, 3, 2, 1, 0):
                if by == "settings":
                    cuttable.target = ports[best]
                else:
                    cuttable.refused = tuple(WORDS[way] for way in WAYS[:best])
                cuttable.cut()
                await client.until(seq=client.seq + 5, way=WAYS[best])
        await ensure_equal(parts, order_id, client)
    assert client.ways == [WAYS[best] for best in (0, 1, 2, 3, 2, 1, 0)]
    assert client.changes == 6
    assert not out_of_turn
    counted = {pair for pair, count in changes().items() if count > before[pair]}
    assert counted == set(pairwise(client.ways))


async def test_whoever_may_not_follow_is_told_once(town: Town, told: Settings) -> None:
    order_id = await under_way(town)
    async with hub(told) as port:
        for headers in (town.headers("customer", "bob"), {"Authorization": "Bearer forged"}):
            async with heard(port, order_id, headers) as client:
                with pytest.raises(Refused):
                    await client.until(seq=1)


async def test_the_command_prints_until_the_order_ends(
    town: Town, parts: Parts, told: Settings
) -> None:
    order_id = await under_way(town)
    token = town.ann["Authorization"].removeprefix("Bearer ")

    def run(port: int, *words: str) -> Result:
        return CliRunner().invoke(
            main, ["follow", order_id, "--url", f"http://127.0.0.1:{port}", *words]
        )

    async with hub(told) as port:
        refused = await asyncio.to_thread(run, port, "--token", "forged")
        assert (refused.exit_code, "401" in refused.output) == (1, True)
        async with happening(town, parts, order_id):
            running = asyncio.create_task(asyncio.to_thread(run, port, "--token", token))
            await asyncio.sleep(1)
            delay = {"minutes": 4, "hints": ["rain: +4 min"]}
            await town.happen(order_id, estimated_at="2030-01-01T00:00:00Z", delay=delay)
            await town.happen(order_id, status="delivered", delivery="delivered")
            shown = await running
    assert shown.exit_code == 0, shown.output
    for line in ("by websocket", "snapshot", "status delivering", "rider at 30.27", "rain: +4 min"):
        assert line in shown.output
    assert shown.output.splitlines()[-1].endswith("status delivered, delivery delivered")
