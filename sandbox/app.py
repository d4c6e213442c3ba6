"""The sandbox put together: its applications, its listeners, its beginning and its end."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Host
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.control import create_control
from sandbox.internet import Authority, ConnectProxy
from sandbox.people.control import create_people
from sandbox.people.paying import at_cashier
from sandbox.people.sessions import People
from sandbox.settings import Settings
from sandbox.store import Store
from sandbox.wechat.gateway import ABORT, create_gateway
from sandbox.wechat.protocol import GATEWAY_HOSTS
from sandbox.wechat.service import WeChatPay

SHUTDOWN_SECONDS = 2


class _AbortableProtocol(HttpToolsProtocol):
    """Lets an application cut the connection, which ASGI itself cannot say."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, object] = self.scope  # type: ignore[assignment]
        scope[ABORT] = self.transport.abort


class _Listener(uvicorn.Server):
    """A server among several in one loop: signals are the process's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def create_control_app(wechat: WeChatPay) -> FastAPI:
    """Make the control interface; further parts of the outside world mount their routers here."""
    app = FastAPI(title="Sandbox control", docs_url=None, redoc_url=None)
    app.include_router(create_control(wechat))
    app.include_router(create_people(People(at_cashier(wechat.cashier))))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


def create_gateway_app(wechat: WeChatPay) -> Starlette:
    """Make what answers on the TLS port, routed by host name."""
    gateway = create_gateway(wechat)
    return Starlette(routes=[Host(host, gateway) for host in GATEWAY_HOSTS])


async def serve(settings: Settings) -> None:
    """Run the sandbox until SIGTERM or SIGINT."""
    settings.home.mkdir(parents=True, exist_ok=True)
    authority = Authority(settings.home)
    gateway_files = authority.server_files("gateway", GATEWAY_HOSTS)
    for name in settings.public_map:
        authority.server_files(name, [name])
    store = Store(settings.home / "sandbox.sqlite3")
    wechat = WeChatPay(settings, store, authority)
    listeners = [
        _Listener(_config(create_control_app(wechat), settings.control_port)),
        _Listener(_config(create_gateway_app(wechat), settings.tls_port, gateway_files)),
    ]
    proxy = ConnectProxy(hosts=frozenset(GATEWAY_HOSTS), target_port=settings.tls_port)
    try:
        await _run(wechat, listeners, await proxy.serve(settings.proxy_port))
    finally:
        store.close()


async def _run(wechat: WeChatPay, listeners: list[_Listener], proxy: asyncio.Server) -> None:
    def stop() -> None:
        for listener in listeners:
            listener.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    clockwork = asyncio.create_task(wechat.run())
    # Without its clockwork the sandbox would look alive and send nothing.
    clockwork.add_done_callback(lambda _: stop())
    try:
        await asyncio.gather(*(listener.serve() for listener in listeners))
    finally:
        proxy.close()
        clockwork.cancel()
        with suppress(asyncio.CancelledError):
            await clockwork


def _config(
    app: FastAPI | Starlette, port: int, tls_files: tuple[Path, Path] | None = None
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http=_AbortableProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_certfile=tls_files[0] if tls_files else None,
        ssl_keyfile=tls_files[1] if tls_files else None,
    )
