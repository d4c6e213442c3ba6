"""A hub as its own process, or in the API's: it leaves by sending people away."""

import asyncio
import os
import signal
import socket
import sys

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from api.live.outbox import RESTART
from services.settings import Settings
from tests.api.live.line import PATIENCE_SECONDS, following, hear, hear_all
from tests.api.town import Town

START_SECONDS = 90


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


async def ready(url: str) -> None:
    async with asyncio.timeout(START_SECONDS), httpx.AsyncClient() as client:
        while True:
            try:
                if (await client.get(f"{url}/healthz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(("module", "setting"), [("api.live", "LIVE_PORT"), ("api", "API_PORT")])
async def test_told_to_stop_it_sends_people_away_and_ends_well(
    town: Town, told: Settings, module: str, setting: str
) -> None:
    order_id = (await town.order()).order_id
    port, own = free_ports(2)
    environment = os.environ | {f"PAOTUI_{setting}": str(port), "PAOTUI_METRICS_PORT": str(own)}
    assert environment["PAOTUI_REDIS_URL"] == told.redis_url
    hub = await asyncio.create_subprocess_exec(sys.executable, "-m", module, env=environment)
    try:
        await ready(f"http://127.0.0.1:{own}")
        async with following(port, f"/v1/orders/{order_id}/live", town.ann) as socket_:
            assert (await hear(socket_))["type"] == "snapshot"
            async with httpx.AsyncClient() as client:
                figures = await client.get(f"http://127.0.0.1:{own}/metrics")
                assert 'paotui_live_connections{kind="websocket"} 1.0' in figures.text
            hub.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                await hear_all(socket_)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == RESTART
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await hub.wait() == 0
    finally:
        if hub.returncode is None:
            hub.kill()
            await hub.wait()
