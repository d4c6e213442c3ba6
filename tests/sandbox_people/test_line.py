"""People try again: the same key through refused connections, cut lines, 503 and 429."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from sandbox.people.client import Answer, Line

OK = b'HTTP/1.1 201 Created\r\nContent-Length: 14\r\n\r\n{"order_id":1}'
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
SLOWER = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
TAKEN_BODY = b'{"type":"/problems/claim_taken","title":"taken"}'
TAKEN = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n%s" % (len(TAKEN_BODY), TAKEN_BODY)


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A socket that gives these answers one by one; an empty one cuts the connection."""
    left = list(answers)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.append(head)
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        await reader.readexactly(length)
        writer.write(left.pop(0).replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", heard


async def post(url: str, trouble: Counter[str]) -> Answer:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        return await Line(http, "a-token", trouble).post("/v1/orders", {"a": 1}, key="key-1")


async def test_the_same_key_is_tried_until_there_is_an_answer() -> None:
    trouble: Counter[str] = Counter()
    async with answering(b"", BUSY, SLOWER, OK) as (url, heard):
        answer = await post(url, trouble)
    assert answer == Answer(201, {"order_id": 1})
    assert answer.ok
    assert len(heard) == 4
    for head in heard:
        assert b"Idempotency-Key: key-1" in head
        assert b"Authorization: Bearer a-token" in head
    assert trouble == {"RemoteProtocolError": 1, "503": 1, "429": 1}


async def test_a_refusal_is_an_answer() -> None:
    async with answering(TAKEN) as (url, heard):
        answer = await post(url, Counter())
    assert (answer.status, answer.problem, answer.ok) == (409, "claim_taken", False)
    assert len(heard) == 1


async def test_nobody_listening_is_waited_for(unused_tcp_port_factory: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    trouble: Counter[str] = Counter()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.8):
            await post(url, trouble)
    assert trouble["ConnectError"] >= 2
