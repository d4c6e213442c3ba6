"""The door of the embedded MQTT broker: who connects is who the token says, under that name only.

Mosquitto knows no tokens, so it listens on a private socket behind this door. The door reads one
packet, CONNECT (MQTT 3.1.1 §3.1, 5.0 §3.1); what follows is passed on as it is. The name that was
let in decides about topics, by the broker's own list (`cli/stack.py`, MQTT_ACL).
"""

import asyncio
import hmac
from asyncio import StreamReader, StreamWriter
from collections.abc import Coroutine
from typing import Any, NamedTuple

from services.identity import Role, Unauthenticated, verify

INGEST = "paotui/ingest"
"""Who reads all riders' positions; no rider's name is like it."""
TOPIC = "paotui/{0}/positions"
"""Of a rider by name, `<site>/riders/<rider>`."""
CONNECT = 0x10
CONNECT_BYTES_MAX = 8_192
CONNECT_SECONDS = 5.0
CONNECTIONS_MAX = 10_000
SESSION_SECONDS = 3_600.0
"""After that a client has to come again, with a token that is still valid."""
CHUNK_BYTES = 65_536
VERSION_5 = 5
PROTOCOLS = {4: b"\x20\x02\x00\x05", VERSION_5: b"\x20\x03\x00\x87\x00"}
"""By protocol level, the CONNACK that says "not authorised"."""
WILDCARDS = frozenset("+#/\0")


class Refused(Exception):
    """This is no client of ours; `answer` is what it is told."""

    def __init__(self, answer: bytes = b"") -> None:
        super().__init__()
        self.answer = answer


class Hello(NamedTuple):
    """What a CONNECT packet says of its sender."""

    level: int
    client_id: str
    name: str
    password: str


class Gate:
    """Passes clients that may come in to the broker's socket."""

    def __init__(self, broker_socket: str, secret: str) -> None:
        """`secret` is INGEST's password."""
        self._socket = broker_socket
        self._secret = secret
        self._count = 0

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listen until closed; port 0 takes a free one."""
        return await asyncio.start_server(self._meet, host, port, limit=CHUNK_BYTES)

    async def _meet(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._count += 1
        try:
            if self._count <= CONNECTIONS_MAX:
                await self._admit(reader, writer)
        except Refused as refused:
            writer.write(refused.answer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            pass  # it has gone, is silent, or speaks something else
        finally:
            self._count -= 1
            writer.close()

    async def _admit(self, reader: StreamReader, writer: StreamWriter) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            packet, body = await read_connect(reader)
            self._ensure_known(understand(body))
            inner_reader, inner_writer = await asyncio.open_unix_connection(self._socket)
        inner_writer.write(packet)
        try:
            async with asyncio.timeout(SESSION_SECONDS):
                await _first_end(_pass(reader, inner_writer), _pass(inner_reader, writer))
        finally:
            inner_writer.close()

    def _ensure_known(self, hello: Hello) -> None:
        # Whoever connects under another's client id would end the other's session.
        if hello.name == INGEST and hello.client_id.startswith(f"{INGEST}/"):
            known = hmac.compare_digest(hello.password.encode(), self._secret.encode())
        else:
            known = _is_rider(hello) and hello.client_id == hello.name
        if not known:
            raise Refused(PROTOCOLS[hello.level])


async def read_connect(reader: StreamReader) -> tuple[bytes, bytes]:
    """The first packet, whole, and what is in it after its length; raises Refused if too large."""
    head = await reader.readexactly(2)
    if head[0] != CONNECT:
        raise Refused
    while head[-1] & 0x80:
        if len(head) > 3:
            raise Refused
        head += await reader.readexactly(1)
    length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1:]))
    if length > CONNECT_BYTES_MAX:
        raise Refused
    body = await reader.readexactly(length)
    return head + body, body


def understand(body: bytes) -> Hello:
    """The sender by a CONNECT packet's body; raises Refused where that can't be."""
    try:
        return _understand(body)
    except (IndexError, UnicodeDecodeError) as error:
        raise Refused from error


def _understand(body: bytes) -> Hello:
    protocol, place = _field(body, 0)
    level, flags = body[place], body[place + 1]
    if protocol != b"MQTT" or level not in PROTOCOLS:
        raise Refused
    place = _after_properties(body, place + 4, level)
    client_id, place = _field(body, place)
    if flags & 0x04:
        place = _after_properties(body, place, level)
        _, place = _field(body, place)
        _, place = _field(body, place)
    if not (flags & 0x80 and flags & 0x40):
        raise Refused(PROTOCOLS[level])
    name, place = _field(body, place)
    password, place = _field(body, place)
    return Hello(level, client_id.decode(), name.decode(), password.decode())


def _field(body: bytes, place: int) -> tuple[bytes, int]:
    """Two bytes of length, then so many bytes; and where the next one begins."""
    start = place + 2
    end = start + (body[place] << 8 | body[place + 1])
    if end > len(body):
        raise IndexError
    return body[start:end], end


def _after_properties(body: bytes, place: int, level: int) -> int:
    """Where it goes on after the properties, which only version 5 has."""
    if level != VERSION_5:
        return place
    length = shift = 0
    while True:
        byte = body[place]
        place += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return place + length


def _is_rider(hello: Hello) -> bool:
    try:
        who = verify(hello.password)
    except Unauthenticated:
        return False
    plain = not WILDCARDS & set(who.site_id + who.subject)
    return who.role is Role.RIDER and plain and hello.name == f"{who.site_id}/riders/{who.subject}"


async def _pass(reader: StreamReader, writer: StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def _first_end(*ways: Coroutine[Any, Any, None]) -> None:
    """Until one way has ended; then neither goes on."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
