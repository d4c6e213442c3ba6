"""The stack as something to kill: its processes by name, its clients, its cities; no verdicts."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

import httpx
import psutil
from sqlalchemy.exc import SQLAlchemyError

from cli.ports import remembered
from cli.state import State
from cli.supervision import Keeper
from services.db import Database
from services.settings import Settings
from tests.e2e.world import World, poll
from tests.faults.patience import Steady
from tests.stack import BIN, START_SECONDS, environment_of, settings_of

BACKEND = "postgres_backend"
EVERYTHING = "everything"
TARGETS = (
    *("worker", "api", "relay", "matcher", "valkey", "postgres", "temporal", "sandbox"),
    *(BACKEND, EVERYTHING),
)
CALL_SECONDS = 15
"""Above the API's own bound of 12 s."""
RUNNING_SECONDS = 30.0

Answer = TypeVar("Answer")


class Stage:
    """A running stack and connections to it that survive what is done to it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keeper = Keeper(State.at(settings.home))
        limits = httpx.Limits(max_connections=200)
        self.api = httpx.AsyncClient(base_url=settings.api_url, timeout=CALL_SECONDS, limits=limits)
        self.steady = Steady(base_url=settings.api_url, timeout=CALL_SECONDS, limits=limits)
        self.gateway = httpx.AsyncClient(base_url=settings.sandbox_url, timeout=CALL_SECONDS)
        self.database = Database(settings.database_url, pool_size=4)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.api.aclose()
        await self.steady.aclose()
        await self.gateway.aclose()
        await self.database.close()

    @property
    def environment(self) -> dict[str, str]:
        """For processes that belong to this stack."""
        return environment_of(self.settings.home)

    async def city(self, customers: int, **more: Any) -> World:
        """A seeded site."""
        world = World(
            settings=self.settings,
            api=self.api,
            gateway=self.gateway,
            database=self.database,
            **more,
        )
        return await world.seed(customers)

    async def kill(self, target: str, choose: Callable[[list[psutil.Process]], Any]) -> None:
        """Kill -9 a part by its name; `choose` picks among PostgreSQL's back-ends."""
        if target == EVERYTHING:
            await self._kill_everything()
        elif target == BACKEND:
            server = psutil.Process(await self.pid("postgres"))
            choose(sorted(server.children(), key=lambda child: child.pid)).kill()
        else:
            os.kill(await self.pid(target), signal.SIGKILL)

    async def pid(self, name: str) -> int:
        """Of a supervised part, as soon as it runs."""
        async with asyncio.timeout(RUNNING_SECONDS):
            while True:
                child = (await asyncio.to_thread(self.keeper.children)).get(name, {})
                if child.get("pid"):
                    return int(child["pid"])
                await asyncio.sleep(0.2)

    async def stop(self, name: str) -> None:
        """Have a supervised service stopped until `start`."""
        await asyncio.to_thread(self.keeper.call, "stopProcess", f"services:{name}")

    async def start(self, name: str) -> None:
        """Have a supervised service started again."""
        await asyncio.to_thread(self.keeper.call, "startProcess", f"services:{name}")

    @asynccontextmanager
    async def process(
        self,
        module: str,
        *arguments: str | Path,
        log: Path,
        instead_of: str = "",
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[int]:
        """A process of this stack in a group of its own, killed at the end; its pid.

        `instead_of` a supervised one, it keeps that one's port from being taken meanwhile.
        `settings` are environment variables that differ from the stack's.
        """
        port = remembered(self.keeper.state).get(f"{instead_of}_metrics", 0)
        with log.open("w") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *arguments),
                env=self.environment | {"PAOTUI_METRICS_PORT": str(port), **settings},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield process.pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    @asynccontextmanager
    async def more_api(self, log: Path) -> AsyncIterator[tuple[int, str]]:
        """One more API process of this stack; its pid and where it listens."""
        port, tls_port = free_ports(2)
        apart = {"PAOTUI_API_PORT": str(port), "PAOTUI_API_TLS_PORT": str(tls_port)}
        async with self.process("api", log=log, settings=apart) as pid:
            url = f"http://127.0.0.1:{port}"
            await poll(lambda: self._ready(url))
            yield pid, url

    async def _ready(self, url: str) -> bool | None:
        with suppress(httpx.TransportError):
            return (await self.api.get(f"{url}/readyz")).is_success or None
        return None

    async def _kill_everything(self) -> None:
        keeper = psutil.Process(self.keeper.pid())
        family = keeper.children(recursive=True)
        for process in (keeper, *family):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self.up()

    async def up(self) -> None:
        """`paotui up` again: what was left goes on where it was."""
        up = await asyncio.create_subprocess_exec(
            *(BIN / "paotui", "up", "--detach", "--no-demo"),
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(START_SECONDS):
            said, _ = await up.communicate()
        assert up.returncode == 0, said.decode()
        now, before = settings_of(self.settings.home), self.settings
        for place in ("api_url", "sandbox_url", "database_url", "temporal_address"):
            assert getattr(now, place) == getattr(before, place), f"another {place} after the kill"


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now."""
    with ExitStack() as claims:
        sockets = [claims.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


async def insist(ask: Callable[[], Awaitable[Answer]], seconds: float) -> Answer:
    """What `ask` answers once the database answers at all."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await ask()
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(0.3)
