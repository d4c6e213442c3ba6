"""A wire on loopback that tests cut: by a reset, by silence, or where certain words pass."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

CHUNK_BYTES = 65_536
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: close says RST."""


@dataclass(eq=False)
class Pair:
    """Both ends of one connection."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    silent: bool = False

    def reset(self) -> None:
        for writer in self.writers:
            told: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                told.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


@dataclass
class Wire:
    """Leads to `target`, a port; `refused` are words of clients whose connection is reset."""

    target: int
    port: int = 0
    refused: tuple[bytes, ...] = ()
    late_seconds: float = 0.0
    """Before a new connection carries anything."""
    pairs: set[Pair] = field(default_factory=set)

    def cut(self, *, silently: bool = False) -> int:
        """End every connection, or carry nothing of it any more; how many there were."""
        pairs = [pair for pair in self.pairs if not pair.silent]
        for pair in pairs:
            pair.silent = silently
            if not silently:
                pair.reset()
        return len(pairs)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, until either side ends it."""
        await asyncio.sleep(self.late_seconds)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            Pair((writer, writer)).reset()
            return
        pair = Pair((writer, back))
        self.pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(pair, reader, back, asked=True), self._pump(pair, there, writer)
            )
        except OSError:
            pass
        finally:
            pair.reset()
            self.pairs.discard(pair)

    async def _pump(
        self,
        pair: Pair,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        asked: bool = False,
    ) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if asked and any(word in chunk.lower() for word in self.refused):
                break
            if not pair.silent:
                writer.write(chunk)
                await writer.drain()
        if not pair.silent:
            pair.reset()


@contextlib.asynccontextmanager
async def wire(target: int) -> AsyncIterator[Wire]:
    """A wire to a port of this machine."""
    made = Wire(target)
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made
        server.close()
        for pair in list(made.pairs):
            pair.reset()
