"""The Compose file: what it sets is read, what listens is where haproxy looks, paths lead there."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.settings import Settings
from tests.faults.stage import free_ports

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "docker" / "haproxy.cfg"
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "balanced.yml").read_text())[
    "services"
]
BALANCED: dict[str, str] = SERVICES["haproxy"]["environment"]
PROCESSES = sorted(SERVICES.keys() - {"haproxy"})
EVERYWHERE = "0.0.0.0"  # noqa: S104  inside a container
PREFIX = "PAOTUI_"
READY_SECONDS = 20
LEADS = {
    "/v1/orders/1": "api",
    "/v1/orders/1/live": "hub",
    "/v1/orders/1/events": "hub",
    "/v1/merchant/live": "hub",
    "/v1/rider/live": "hub",
    "/v1/live-tickets": "hub",
    "/v1/live-tickets/1": "api",
    "/v1/rider/offers": "api",
}


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_reads_what_it_is_told(name: str) -> None:
    folder = ROOT / SERVICES[name]["command"][-1].replace(".", "/")
    source = "".join(path.read_text() for path in folder.glob("*.py"))
    told = {each.removeprefix(PREFIX).lower() for each in SERVICES[name]["environment"]}
    assert told <= set(Settings.model_fields)
    assert {each for each in told if not re.search(rf"\.{each}\b", source)} == set()


@pytest.mark.parametrize("name", PROCESSES)
def test_haproxy_finds_a_process_where_it_listens(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(setting, value)
    told, kind, number = Settings(), name[:-1], name[-1]
    hub = kind == "hub"
    assert (told.live_host if hub else told.api_host) == EVERYWHERE
    port = told.live_port if hub else told.api_port
    assert BALANCED[f"{PREFIX}BALANCED_{kind.upper()}_{number}"] == f"{name}:{port}"
    if not hub:
        assert BALANCED[f"{PREFIX}BALANCED_TLS_{number}"] == f"{name}:{told.api_tls_port}"
        assert not told.api_live


def test_haproxy_is_told_what_it_asks_for() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", CONFIGURATION.read_text())) == set(BALANCED)


async def test_live_addresses_lead_to_hubs(tmp_path: Path) -> None:
    found = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("no haproxy: apt-get install haproxy")
    http, tls = free_ports(2)
    told = {f"{PREFIX}BALANCED_HTTP": http, f"{PREFIX}BALANCED_TLS": tls}
    log = tmp_path / "haproxy.log"
    async with AsyncExitStack() as running, httpx.AsyncClient() as client:
        for name in set(BALANCED) - set(told):
            kind = "hub" if "_HUB_" in name else "api"
            told[name] = await running.enter_async_context(_named(kind))
        addresses = {name: f"127.0.0.1:{port}" for name, port in told.items()}
        proxy = await asyncio.create_subprocess_exec(
            *(found, "-db", "-f", CONFIGURATION),
            env=os.environ | addresses,
            stdout=running.enter_context(log.open("wb")),
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(READY_SECONDS):
                while True:
                    assert proxy.returncode is None, log.read_text()
                    try:
                        await client.get(f"http://127.0.0.1:{http}/")
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
            led = {
                path: (await client.get(f"http://127.0.0.1:{http}{path}")).text for path in LEADS
            }
        finally:
            proxy.kill()
            await proxy.wait()
    assert led == LEADS


@asynccontextmanager
async def _named(name: str) -> AsyncIterator[int]:
    """The port of a server that answers every request with its name."""
    said = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said.encode())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port
