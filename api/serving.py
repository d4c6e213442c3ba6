"""How the API's processes are served: uvicorn's limits, and the order in which a process ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from api.live.frames import AnswerProtocol, FrameProtocol
from services import metrics

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


def config(
    app: ASGIApp, *, host: str, port: int, tls: tuple[str, str] | None = None
) -> uvicorn.Config:
    """Of one port; `tls` is the paths of certificate and key."""
    certificate, key = tls or (None, None)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        lifespan="off",
        loop="none",
        http=AnswerProtocol,
        ws=FrameProtocol,
        ws_max_size=SOCKET_MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PING_SECONDS,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


async def serve(
    configs: Sequence[uvicorn.Config], stop: asyncio.Event, drain: Callable[[], Awaitable[None]]
) -> None:
    """Serve until told to stop or a server ends; then drain, and finish what is left."""
    servers = [Server(each) for each in configs]
    serving = [asyncio.create_task(server.serve()) for server in servers]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({stopping, *serving}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await drain()
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)


async def exposition() -> bytes:
    """The process's metrics."""
    return metrics.exposition()
