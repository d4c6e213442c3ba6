"""Two APIs and two hubs behind a real haproxy: one of each dies, and no client loses an event."""

import asyncio
import json
import os
import shutil
import signal
import ssl
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import text
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from domain.ids import order_id
from services.settings import Settings
from tests.e2e.world import World, poll
from tests.faults.patience import Steady
from tests.faults.stage import Stage, free_ports

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

CONFIGURATION = Path(__file__).resolve().parents[2] / "docker" / "haproxy.cfg"
TIERS = (("api", "api", "PAOTUI_API_PORT"), ("hub", "api.live", "PAOTUI_LIVE_PORT"))
"""Each tier, its module, and the setting of its port."""
SECONDS = 60.0
ORDERS = 4
TAPS = 6
ROUNDS = 6
"""Each holds and releases every order: two events."""
RETRY_SECONDS = 0.1


@dataclass(kw_only=True)
class Balanced:
    """What listens where; `pids` by name: api1, api2, hub1, hub2."""

    url: str
    tls_url: str
    pids: dict[str, int] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)

    def kill(self, name: str) -> None:
        """As a crash would."""
        os.kill(self.pids[name], signal.SIGKILL)


@pytest.fixture(scope="module")
def haproxy() -> str:
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("no haproxy: apt-get install haproxy")
    return found


@pytest.fixture
async def stage(stack: Settings) -> AsyncIterator[Stage]:
    async with Stage(stack) as opened:
        yield opened


@pytest.fixture
async def balanced(stage: Stage, haproxy: str, tmp_path: Path) -> AsyncIterator[Balanced]:
    """The shipped configuration before four processes of the running stack."""
    ports = iter(free_ports(10))
    http, tls = next(ports), next(ports)
    found = Balanced(url=f"http://127.0.0.1:{http}", tls_url=f"https://127.0.0.1:{tls}")
    told = {"HTTP": http, "TLS": tls}
    async with AsyncExitStack() as running:
        for kind, module, setting in TIERS:
            for number in (1, 2):
                port, own_tls = next(ports), next(ports)
                apart = {"PAOTUI_API_TLS_PORT": str(own_tls), setting: str(port)}
                apart |= {"PAOTUI_TRUSTED_PROXIES": "1", "PAOTUI_API_LIVE": "false"}
                name = f"{kind}{number}"
                log = tmp_path / f"{name}.log"
                process = stage.process(module, log=log, settings=apart)
                found.pids[name] = await running.enter_async_context(process)
                found.urls[name] = f"http://127.0.0.1:{port}"
                told[f"{kind.upper()}_{number}"] = port
                if kind == "api":
                    told[f"TLS_{number}"] = own_tls
        for url in found.urls.values():
            await poll(lambda url=url: stage._ready(url))
        addresses = {f"PAOTUI_BALANCED_{name}": f"127.0.0.1:{at}" for name, at in told.items()}
        log = tmp_path / "haproxy.log"
        with log.open("wb") as output:
            proxy = await asyncio.create_subprocess_exec(
                *(haproxy, "-db", "-f", CONFIGURATION),
                env=os.environ | addresses,
                stdout=output,
                stderr=output,
            )
        try:

            async def ready() -> bool | None:
                assert proxy.returncode is None, log.read_text()
                return await stage._ready(found.url)

            await poll(ready)
            yield found
        finally:
            with suppress(ProcessLookupError):
                proxy.kill()
            await proxy.wait()


class Client:
    """An app that follows one order and comes back where it was; `seqs` is what it was told."""

    def __init__(self, url: str, order: str, who: dict[str, str], *, socket: bool) -> None:
        self._at = f"{url}/v1/orders/{order}/live"
        self._who = who
        self._follow = self._by_socket if socket else self._by_sse
        self.seqs: list[int] = []
        self.connections = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            with suppress(OSError, WebSocketException, httpx.HTTPError):
                await self._follow(self.seqs[-1] if self.seqs else 0)
            await asyncio.sleep(RETRY_SECONDS)

    def _hear(self, message: dict[str, Any]) -> None:
        assert message["type"] != "snapshot", "it asked for what came after"
        if "seq" in message:  # not so a welcome, a heartbeat or a place
            self.seqs.append(message["seq"])

    async def _by_socket(self, since: int) -> None:
        url = f"{self._at}?since={since}".replace("http", "ws", 1)
        async with connect(url, additional_headers=self._who, proxy=None, close_timeout=1) as open_:
            self.connections += 1
            async for line in open_:
                self._hear(json.loads(line))

    async def _by_sse(self, since: int) -> None:
        headers = self._who | {"Last-Event-ID": str(since)}
        async with (
            httpx.AsyncClient(timeout=httpx.Timeout(10, read=SECONDS)) as client,
            client.stream("GET", self._at, headers=headers) as answer,
        ):
            answer.raise_for_status()
            self.connections += 1
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    self._hear(json.loads(line.removeprefix("data: ")))


async def test_one_api_and_one_hub_die_and_no_client_loses_an_event(
    stage: Stage, balanced: Balanced
) -> None:
    world = await stage.city(customers=TAPS)
    async with Steady(base_url=balanced.url, timeout=15) as world.api, asyncio.TaskGroup() as group:
        orders = [(await world.accepted())["order_id"] for _ in range(ORDERS)]
        who = world.token("customer", "c0")
        clients = [
            Client(balanced.url, order, who, socket=number < ORDERS / 2)
            for number, order in enumerate(orders)
        ]
        following = [group.create_task(client.run()) for client in clients]
        await poll(lambda: _true(all(client.seqs for client in clients)))
        living = [asyncio.create_task(_live(world, order)) for order in orders]
        taps = [asyncio.create_task(_tap(world, f"c{number}")) for number in range(TAPS)]
        heard = sum(len(client.seqs) for client in clients)
        await poll(lambda: _true(sum(len(one.seqs) for one in clients) > heard + ORDERS))
        balanced.kill("hub1")
        balanced.kill("api1")
        await asyncio.gather(*living, *taps)
        ends = {order: (await world.view(order))["seq"] for order in orders}
        await poll(lambda: _true(all(c.seqs[-1] >= ends[o] for c, o in _pairs(clients, orders))))
        for task in following:
            task.cancel()
        for client, order in _pairs(clients, orders):
            assert client.seqs == list(range(1, ends[order] + 1))
        assert sum(client.connections for client in clients) > ORDERS, "nobody was cut off"
        async with world.database.read() as reader:
            placed = text("SELECT count(*) FROM orders WHERE site_id = :site_id")
            found = await reader.scalar(placed, {"site_id": world.site_id})
        assert found == ORDERS + TAPS


async def test_paths_go_where_they_belong_and_notices_keep_their_tls(
    stage: Stage, balanced: Balanced
) -> None:
    world = await stage.city(customers=1)
    who = world.token("customer", "c0")
    async with httpx.AsyncClient(base_url=balanced.url, timeout=15) as outside:
        world.api = outside
        order = (await world.paid())["order_id"]
        for path in ("/metrics", "/codec/decode"):
            assert (await outside.get(path)).status_code == 404
        for name in ("hub1", "hub2"):
            balanced.kill(name)

        async def no_hub() -> httpx.Response | None:
            answer = await outside.get(f"/v1/orders/{order}/events", headers=who)
            return answer if answer.status_code == 503 else None

        refused = await poll(no_hub)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["type"] == "/problems/unavailable"
        assert refused.headers["retry-after"] == "1"
        assert (await outside.get(f"/v1/orders/{order}", headers=who)).status_code == 200
    trusted = ssl.create_default_context(cafile=stage.settings.gateway_ca)
    host = urlsplit(stage.settings.public_url).hostname
    async with httpx.AsyncClient(verify=trusted) as gateway:
        answer = await gateway.post(
            f"{balanced.tls_url}/v1/notify/wechat/{world.account_id}",
            json={},
            headers={"Host": str(host)},
            extensions={"sni_hostname": host},
        )
    assert (answer.status_code, answer.json()["code"]) == (401, "FAIL"), answer.text


async def _live(world: World, order: str) -> None:
    """Things happen to an order."""
    for _ in range(ROUNDS):
        for action in ("hold", "release"):
            assert (await world.intervene(order, action)).is_success


async def _tap(world: World, customer: str) -> None:
    """One tap, repeated under its key whoever answers, is one order."""
    quote, key = await world.quote(customer), uuid.uuid4().hex

    async def tap() -> str | None:
        answer = await world.try_place(quote, customer, key=key)
        assert answer.is_success, answer.text
        return str(answer.json()["order_id"]) if answer.status_code == 201 else None

    said = {await poll(tap) for _ in range(3)}
    assert said == {order_id(world.site_id, customer, key)}


def _pairs(clients: list[Client], orders: list[str]) -> list[tuple[Client, str]]:
    return list(zip(clients, orders, strict=True))


async def _true(happened: bool) -> bool | None:  # noqa: FBT001  what `poll` asks for
    return happened or None
