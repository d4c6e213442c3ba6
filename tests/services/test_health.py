"""A process's window says that it turns, which part is down, and what it counted."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from services import health, metrics

DOWN = ConnectionRefusedError("secret")


async def up() -> None:
    """A part that answers."""


async def down() -> None:
    raise DOWN


@pytest.fixture
async def checks() -> dict[str, health.Check]:
    return {"database": up, "redis": up}


@pytest.fixture
async def http(checks: dict[str, health.Check]) -> AsyncIterator[httpx.AsyncClient]:
    async def exposition() -> bytes:
        return metrics.exposition()

    async with await health.serve(0, checks, exposition) as server:
        port = server.sockets[0].getsockname()[1]
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False
        ) as client:
            yield client


async def test_all_parts_up(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "parts": {"database": "ok", "redis": "ok"}}


async def test_the_part_that_is_down_is_named(
    http: httpx.AsyncClient, checks: dict[str, health.Check]
) -> None:
    checks["redis"] = down
    answer = await http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"database": "ok", "redis": "ConnectionRefusedError"}
    assert "secret" not in answer.text
    assert (await http.get("/healthz")).status_code == 200


async def test_a_part_that_hangs_is_down(
    http: httpx.AsyncClient,
    checks: dict[str, health.Check],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS", 0.05)

    async def hang() -> None:
        await asyncio.sleep(10)

    checks["redis"] = hang
    assert (await http.get("/readyz")).json()["parts"]["redis"] == "TimeoutError"


async def test_metrics_are_prometheus_text_named_by_convention(http: httpx.AsyncClient) -> None:
    answer = await http.get("/metrics?x=1")
    assert answer.headers["content-type"].startswith("text/plain")
    ours = [line for line in answer.text.splitlines() if line.startswith("# TYPE paotui_")]
    assert ours
    for line in ours:
        _, _, name, kind = line.split()
        assert kind != "counter" or name.endswith("_total"), name
        assert kind != "histogram" or name.endswith("_seconds"), name


async def test_anything_else_is_not_found_and_nonsense_breaks_nothing(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.get("/secrets")).status_code == 404
    url = http.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"\x00" * 10_000 + b"\r\n")
    assert await reader.read() == b""
    writer.close()
    assert (await http.get("/healthz")).status_code == 200
