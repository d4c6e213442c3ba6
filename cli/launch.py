"""Bringing parts up in the order of their needs, as many at once as those allow."""

import asyncio
import os
import time
import xmlrpc.client
from asyncio.subprocess import DEVNULL, STDOUT
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import click
import httpx

from cli.component import Component, Step
from cli.report import Report
from cli.state import State
from cli.supervision import Keeper

POLL_SECONDS = 0.1
RESTART_CHECK_SECONDS = 1.0
LOG_LINES = 20


class NotReadyError(click.ClickException):
    """A part did not come up: why, the end of its log, and what to try."""

    def __init__(self, name: str, reason: str, log: Path, hint: str) -> None:
        tail = "".join(f"    {line}\n" for line in last_lines(log, LOG_LINES))
        super().__init__(f"{name}: {reason}\n  the end of {log}:\n{tail}  try: {hint}")


class Launch:
    """One run of bringing parts up; supervisord already knows the components."""

    def __init__(self, state: State, keeper: Keeper, report: Report) -> None:
        self._state = state
        self._keeper = keeper
        self._report = report
        self._done: dict[str, asyncio.Event] = {}

    async def run(self, parts: Sequence[Component | Step]) -> None:
        """Return when all are ready; raises the first failure after ending the other waits."""
        self._done = {part.name: asyncio.Event() for part in parts}
        try:
            # Loopback never goes through a proxy of the environment.
            async with httpx.AsyncClient(trust_env=False) as client, asyncio.TaskGroup() as group:
                for part in parts:
                    group.create_task(self._bring_up(part, client))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _bring_up(self, part: Component | Step, client: httpx.AsyncClient) -> None:
        for need in part.needs:
            # What a setting points elsewhere has no row, and nobody waits for it.
            if need in self._done:
                await self._done[need].wait()
        began = time.monotonic()
        with self._report.waiting(part.name):
            if isinstance(part, Step):
                await self._step(part)
            else:
                await self._component(part, client)
        seconds = time.monotonic() - began
        done = "done" if isinstance(part, Step) else "ready"
        self._report.say(f"{part.name}: {done} after {seconds:.1f} s")
        self._done[part.name].set()

    async def _component(self, part: Component, client: httpx.AsyncClient) -> None:
        try:
            await asyncio.to_thread(self._keeper.start_child, part)
        except (OSError, xmlrpc.client.Error) as error:
            raise self._failure(part, f"supervisord refuses: {error}") from error
        deadline = time.monotonic() + part.ready_seconds
        checked = time.monotonic()
        while reason := await part.ready(client):
            if time.monotonic() > deadline:
                raise self._failure(part, f"not ready after {part.ready_seconds:.0f} s ({reason})")
            if time.monotonic() - checked > RESTART_CHECK_SECONDS:
                checked = time.monotonic()
                children = await asyncio.to_thread(self._keeper.children)
                if part.name not in children:
                    raise self._failure(part, "supervisord is gone: was everything stopped?")
                self._report.note(part.name, str(children[part.name]["spawnerr"]))
            await asyncio.sleep(POLL_SECONDS)
        if part.after_ready is not None:
            await part.after_ready()

    async def _step(self, step: Step) -> None:
        log = self._state.log(step.name)
        with log.open("wb") as output:
            code = await _run(step, output)
        if code != 0:
            reason = "took too long" if code is None else f"ended with {code}"
            raise self._failure(step, reason)

    def _failure(self, part: Component | Step, reason: str) -> NotReadyError:
        return NotReadyError(part.name, reason, self._state.log(part.name), part.hint)


async def _run(step: Step, output: IO[bytes]) -> int | None:
    """The exit code; None when the bound ran out."""
    process = await asyncio.create_subprocess_exec(
        *step.command,
        stdin=DEVNULL,
        stdout=output,
        stderr=STDOUT,
        cwd=step.directory,
        env=os.environ | step.environment,
    )
    try:
        async with asyncio.timeout(step.bound_seconds):
            return await process.wait()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def last_lines(log: Path, count: int) -> list[str]:
    """The end of a log; nothing when there is none yet."""
    try:
        with log.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []
