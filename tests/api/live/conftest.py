"""The application behind a real server."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from api import serving


@asynccontextmanager
async def server_of(app: FastAPI) -> AsyncIterator[tuple[serving.Server, int]]:
    """A server of the application and its port, as its own process would have."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        server = serving.Server(serving.config(app, host="127.0.0.1", port=port))
        running = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 - a flag, not an Event
            await asyncio.sleep(0.01)
        yield server, port
        server.should_exit = True
        await running


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[int]:
    """A port that the application answers on."""
    async with server_of(app) as (_, port):
        yield port


@pytest.fixture(scope="session")
async def port(app: FastAPI) -> AsyncIterator[int]:
    """The API's."""
    async with served(app) as port:
        yield port
