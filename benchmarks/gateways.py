"""What a channel's client adds to a bare call: signing, verifying, reading, by channel.

A payment is opened once at the sandbox; its real answer is then served to every repetition by a
constant server, to the client and to bare httpx in turn.
"""

import asyncio
import os
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from benchmarks.pace import percentile
from benchmarks.report import Figure
from benchmarks.wire import Unexpected
from domain.channels import Create
from domain.outcomes import Accepted
from services.channel import Channel
from services.gateways import CHANNELS
from services.seeds import keep_keys, keys_ref
from workers.demo_city import PAYEES
from workers.seed import ENROLMENTS

CALLS = 400
WARM_CALLS = 20
START_SECONDS = 30.0
LOOPBACK = "127.0.0.1"
METHODS = {"wechat": "native", "alipay": "native", "card": "card", "bank": "ecny"}
HOP = frozenset({b"connection", b"transfer-encoding", b"content-length"})


class Line(httpx.AsyncBaseTransport):
    """Where requests go: through the sandbox's proxy, and once told to a port of loopback."""

    def __init__(self, proxied: httpx.AsyncBaseTransport) -> None:
        self._proxied = proxied
        self._direct = httpx.AsyncHTTPTransport()
        self.port = 0
        self.request: httpx.Request | None = None
        self.answer = b""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send; the last request and answer through the proxy are kept."""
        if self.port:
            request.url = request.url.copy_with(scheme="http", host=LOOPBACK, port=self.port)
            return await self._direct.handle_async_request(request)
        response = await self._proxied.handle_async_request(request)
        body = await response.aread()
        self.request, self.answer = request, _raw(response, body)
        return httpx.Response(response.status_code, headers=response.headers, content=body)

    async def aclose(self) -> None:
        """Hang up."""
        await self._proxied.aclose()
        await self._direct.aclose()


async def overheads(*, calls: int) -> list[Figure]:
    """Opening a payment by each channel's client, less the same bytes by bare httpx: medians."""
    figures = []
    with tempfile.TemporaryDirectory(prefix="paotui-benchmark-") as name:
        home = Path(name)
        async with _sandbox(home) as (control, proxy):
            for made in CHANNELS:
                line = Line(httpx.AsyncHTTPTransport(proxy=proxy, verify=_trust(home)))
                async with httpx.AsyncClient(transport=line, trust_env=False) as http:
                    channel = made(http)
                    account = await _enrol(control, channel.name, home, channel.load_account)
                    figures.append(await _measure(channel, account, line, http, calls))
    return figures


async def _measure(
    channel: Channel[Any], account: object, line: Line, http: httpx.AsyncClient, calls: int
) -> Figure:
    order = Create(
        method=METHODS[channel.name],
        out_trade_no=secrets.token_hex(12),
        amount_fen=3_000,
        description="Noodles",
        notify_url="https://pay.paotui.example/v1/notify",
        expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=15),
    )

    async def by_client() -> None:
        outcome = await channel.create(account, order)
        if not isinstance(outcome, Accepted):
            raise Unexpected(f"{channel.name}: {outcome}")

    await by_client()
    asked = line.request
    assert asked is not None
    content, headers = asked.content, dict(asked.headers)

    async def by_httpx() -> None:
        request = http.build_request(asked.method, asked.url, content=content, headers=headers)
        await http.send(request)

    server = await asyncio.get_running_loop().create_server(
        lambda: _Constant(line.answer), LOOPBACK, 0
    )
    line.port = server.sockets[0].getsockname()[1]
    waits: dict[Callable[[], Awaitable[None]], list[float]] = {by_client: [], by_httpx: []}
    for number in range(calls + WARM_CALLS):
        for ask, found in waits.items():
            began = time.perf_counter()
            await ask()
            if number >= WARM_CALLS:
                found.append((time.perf_counter() - began) * 1_000)
    server.close()
    client, bare = (percentile(found, 0.5) for found in waits.values())
    return Figure(
        name=f"{channel.name}: opening a payment, beyond bare httpx",
        value=client - bare,
        unit="ms",
        note=f"client {client:.2f} ms, httpx {bare:.2f} ms, medians of {calls}",
    )


class _Constant(asyncio.Protocol):
    """Answers every request with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lengths = [
            int(one.partition(b":")[2])
            for one in head.split(b"\r\n")
            if one.lower().startswith(b"content-length:")
        ]
        if len(body) >= sum(lengths):
            self._buffer = b""
            self._transport.write(self._answer)


@asynccontextmanager
async def _sandbox(home: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """The outside world in a process of its own: its control interface, its proxy."""
    holders = [socket.create_server((LOOPBACK, 0)) for _ in range(3)]
    control, tls, proxy = (holder.getsockname()[1] for holder in holders)
    for holder in holders:
        holder.close()
    told = {
        "SANDBOX_HOME": str(home),
        "SANDBOX_CONTROL_PORT": str(control),
        "SANDBOX_TLS_PORT": str(tls),
        "SANDBOX_PROXY_PORT": str(proxy),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox"), env=os.environ | told
    )
    try:
        async with httpx.AsyncClient(
            base_url=f"http://{LOOPBACK}:{control}", trust_env=False, timeout=START_SECONDS
        ) as asked:
            await _until_up(asked)
            yield asked, f"http://{LOOPBACK}:{proxy}"
    finally:
        process.terminate()
        await process.wait()


async def _until_up(control: httpx.AsyncClient) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await control.get("/control/settings")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


async def _enrol(
    control: httpx.AsyncClient, name: str, home: Path, load: Callable[[Path], Any]
) -> Any:  # noqa: ANN401 - each channel's own
    """A payee of the channel, with its keys."""
    number = f"{PAYEES[name]}9"
    where = ENROLMENTS[name]
    made = await control.post(f"{where.path}/merchants", json={where.mchid: number})
    keys = made.raise_for_status().json()
    appid = keys.get(where.appid, "")
    keep_keys(home, {"channel": name, "mchid": number, "appid": appid, "keys": keys})
    return load(home / keys_ref(name, number))


def _raw(response: httpx.Response, body: bytes) -> bytes:
    lines = [b"HTTP/1.1 %d OK" % response.status_code]
    kept = [(one, value) for one, value in response.headers.raw if one.lower() not in HOP]
    lines += [b": ".join(pair) for pair in [*kept, (b"Content-Length", b"%d" % len(body))]]
    return b"\r\n".join([*lines, b"", body])


def _trust(home: Path) -> Any:  # noqa: ANN401 - httpx's own
    return httpx.create_ssl_context(verify=str(home / "ca.pem"))
