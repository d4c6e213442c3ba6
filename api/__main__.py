"""The API as a process: `python -m api`."""

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn

from api.app import create_app
from api.health import checks
from services import health, logs, metrics, process
from services.settings import Settings, settings

GRACE_SECONDS = 5
PING_SECONDS = 20.0
CONNECTIONS_MAX = 12_000
"""Above what the hub takes, so that its refusal is a problem and not a closed door."""
SOCKET_MESSAGE_BYTES = 16_384


class Server(uvicorn.Server):
    """A server that leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None of them."""
        yield


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop; then end live connections, finish requests, close pools."""
    told = settings()
    app = create_app(told)
    async with app.router.lifespan_context(app):
        parts = app.state.parts
        servers = [Server(config) for config in _configs(app, told)]
        window = None
        if told.metrics_port:
            window = await health.serve(told.metrics_port, checks(parts), _exposition)
        serving = [asyncio.create_task(server.serve()) for server in servers]
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({stopping, *serving}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await parts.hub.close()
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*serving)
        if window is not None:
            window.close()


def _configs(app: object, told: Settings) -> list[uvicorn.Config]:
    ports: list[dict[str, object]] = [{"port": told.api_port}]
    if told.tls_certificate:
        ports.append(
            {
                "port": told.api_tls_port,
                "ssl_certfile": told.tls_certificate,
                "ssl_keyfile": told.tls_key,
            }
        )
    return [
        uvicorn.Config(
            app,  # type: ignore[arg-type]
            host=told.api_host,
            lifespan="off",
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            ws_max_size=SOCKET_MESSAGE_BYTES,
            ws_ping_interval=PING_SECONDS,
            ws_ping_timeout=PING_SECONDS,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=GRACE_SECONDS,
            **port,  # type: ignore[arg-type]
        )
        for port in ports
    ]


async def _exposition() -> bytes:
    return metrics.exposition()


if __name__ == "__main__":
    logs.configure("api", settings().log_level)
    process.run(main)
