"""HTTP/1.1 as a load generator speaks it: kept connections, one request at a time, no more."""

import asyncio
import time
from typing import Any, Self, cast
from urllib.parse import urlsplit

import orjson

ANSWER_SECONDS = 30.0
KEPT_SECONDS = 3.0
"""Servers here close idle connections after five."""
CONNECTIONS_MAX = 400


class Unexpected(Exception):
    """An answer that the benchmark can't go on with."""


class _Connection(asyncio.Protocol):
    """One request at a time: the answer's status and body, told by its Content-Length."""

    def __init__(self) -> None:
        self.closed = False
        self.idle_since = 0.0
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._needs = 0
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("closed by the server"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._needs:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._needs = end + 4 + _content_length(bytes(self._buffer[:end]))
        if len(self._buffer) >= self._needs and self._waiter is not None:
            head, _, body = bytes(self._buffer).partition(b"\r\n\r\n")
            self._buffer.clear()
            self._needs = 0
            if not self._waiter.done():
                self._waiter.set_result((int(head[9:12]), body))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        assert self._transport is not None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self._waiter

    def close(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.close()


class Http:
    """Connections to one server on this machine."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._host = place.hostname or "127.0.0.1"
        self._port = place.port or 80
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._idle:
            connection.close()

    async def call(
        self,
        method: str,
        path: str,
        token: str = "",
        body: object = None,
        *,
        key: str = "",
    ) -> dict[str, Any]:
        """The JSON object of a good answer; `key` is an Idempotency-Key. Raises Unexpected."""
        request = self._request(method, path, token, body, key)
        async with self._room:
            connection = await self._connection()
            try:
                status, answer = await connection.ask(request)
            except BaseException:
                connection.close()
                raise
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        if not 200 <= status < 300:
            raise Unexpected(f"{method} {path}: {status} {answer[:300]!r}")
        found = orjson.loads(answer) if answer else {}
        return found if isinstance(found, dict) else {"items": found}

    def _request(self, method: str, path: str, token: str, body: object, key: str) -> bytes:
        content = b"" if body is None else orjson.dumps(body)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        if key:
            lines.append(f"Idempotency-Key: {key}")
        if content:
            lines.append("Content-Type: application/json")
        lines += [f"Content-Length: {len(content)}", "", ""]
        return "\r\n".join(lines).encode() + content

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and time.monotonic() - connection.idle_since < KEPT_SECONDS:
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
