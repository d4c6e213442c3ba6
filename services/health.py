"""A process's own small window: /metrics, /healthz and /readyz on a loopback port."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

Check = Callable[[], Awaitable[object]]
"""Raises when the part is down."""

LOOPBACK = "127.0.0.1"
CHECK_SECONDS = 2.0
REQUEST_SECONDS = 5.0
REQUEST_LINE_BYTES = 4_096
JSON = "application/json"


async def serve(
    port: int, checks: Mapping[str, Check], exposition: Callable[[], Awaitable[bytes]]
) -> asyncio.Server:
    """Answer on loopback until closed; port 0 takes a free one.

    /healthz says that the process turns, /readyz which of its parts is down (503), /metrics
    what `exposition` gives.
    """

    async def answer(path: str) -> tuple[int, str, bytes]:
        match path:
            case "/healthz":
                return 200, JSON, orjson.dumps({"status": "ok"})
            case "/readyz":
                parts = await ready(checks)
                up = all(state == "ok" for state in parts.values())
                body = {"status": "ok" if up else "down", "parts": parts}
                return 200 if up else 503, JSON, orjson.dumps(body)
            case "/metrics":
                return 200, CONTENT_TYPE_LATEST, await exposition()
            case _:
                return 404, JSON, orjson.dumps({"status": "not_found"})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                line = await reader.readuntil(b"\r\n")
                target = line.split(b" ")[1] if line.count(b" ") == 2 else b""
                status, kind, body = await answer(target.partition(b"?")[0].decode("latin-1"))
                head = (
                    f"HTTP/1.1 {status} \r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever asked has gone, or speaks something else
        finally:
            writer.close()

    return await asyncio.start_server(talk, LOOPBACK, port, limit=REQUEST_LINE_BYTES)


async def ready(checks: Mapping[str, Check]) -> dict[str, str]:
    """Each part by name: `ok`, or the kind of error that its check gave."""
    states = await asyncio.gather(*(_state(check) for check in checks.values()))
    return dict(zip(checks, states, strict=True))


async def _state(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as error:  # noqa: BLE001  whatever it is, the part is down
        return type(error).__name__
    return "ok"
