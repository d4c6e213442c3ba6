"""The sandbox put together: its applications, its listeners, its beginning and its end."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Host
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.alipay.part import create_part as create_alipay
from sandbox.bank.part import create_part as create_bank
from sandbox.card.part import create_part as create_card
from sandbox.conditions import create_conditions
from sandbox.control import create_control
from sandbox.faults import Faults
from sandbox.gateways import ABORT
from sandbox.internet import Authority, ConnectProxy, PublicInternet
from sandbox.part import Part
from sandbox.people.control import create_people
from sandbox.people.paying import at_cashiers
from sandbox.people.sessions import People
from sandbox.settings import Settings
from sandbox.store import Store
from sandbox.wechat.gateway import create_gateway
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


def create_parts(
    settings: Settings, store: Store, authority: Authority, internet: PublicInternet
) -> list[Part]:
    """Make every part of the outside world; nothing runs until their `run`."""
    faults = Faults(store)
    wechat = WeChatPay(settings, store, authority, internet, faults)
    return [
        Part(
            hosts=GATEWAY_HOSTS,
            gateway=create_gateway(wechat),
            controls=(create_control(wechat),),
            run=wechat.run,
        ),
        create_alipay(settings, store, authority, internet, faults),
        create_card(settings, store, authority, internet, faults),
        create_bank(settings, store, authority, internet, faults),
    ]


def create_control_app(parts: list[Part]) -> FastAPI:
    """Make the control interface of all parts, and of the people who pay through it."""
    app = FastAPI(title="Sandbox control", docs_url=None, redoc_url=None)
    for control in (control for part in parts for control in part.controls):
        app.include_router(control)
    app.include_router(create_conditions())
    app.include_router(create_people(People(at_cashiers(lambda: app))))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


def create_gateway_app(parts: list[Part]) -> Starlette:
    """Make what answers on the TLS port, routed by host name."""
    return Starlette(routes=[Host(host, part.gateway) for part in parts for host in part.hosts])


async def serve(settings: Settings) -> None:
    """Run the sandbox until SIGTERM or SIGINT."""
    settings.home.mkdir(parents=True, exist_ok=True)
    authority = Authority(settings.home)
    for name in settings.public_map:
        authority.server_files(name, [name])
    store = Store(settings.home / "sandbox.sqlite3")
    internet = PublicInternet(ca_path=authority.certificate_path, public_map=settings.public_map)
    parts = create_parts(settings, store, authority, internet)
    hosts = tuple(host for part in parts for host in part.hosts)
    gateway_files = authority.server_files("gateway", hosts)
    listeners = [
        _Listener(_config(create_control_app(parts), settings.control_port)),
        _Listener(_config(create_gateway_app(parts), settings.tls_port, gateway_files)),
    ]
    proxy = ConnectProxy(hosts=frozenset(hosts), target_port=settings.tls_port)
    try:
        await _run(parts, listeners, proxy, settings.proxy_port)
    finally:
        await internet.close()
        store.close()


async def _run(
    parts: list[Part], listeners: list[_Listener], proxy: ConnectProxy, proxy_port: int
) -> None:
    tunnels = await proxy.serve(proxy_port)

    def stop() -> None:
        tunnels.close()
        proxy.cut()
        for listener in listeners:
            listener.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    clockworks = [asyncio.create_task(part.run()) for part in parts]
    for clockwork in clockworks:
        # Without its clockworks the sandbox would look alive and send nothing.
        clockwork.add_done_callback(lambda _: stop())
    try:
        await asyncio.gather(*(listener.serve() for listener in listeners))
    finally:
        for clockwork in clockworks:
            clockwork.cancel()
        ended = await asyncio.gather(*clockworks, return_exceptions=True)
        for error in ended:
            if not isinstance(error, asyncio.CancelledError) and isinstance(error, BaseException):
                raise error


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
        date_header=False,  # the bank signs its own
        timeout_keep_alive=75,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        ssl_certfile=tls_files[0] if tls_files else None,
        ssl_keyfile=tls_files[1] if tls_files else None,
    )
