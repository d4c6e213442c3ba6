"""The stack that is measured: one of the benchmark's own, or the one that lives in a folder."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.wire import Unexpected
from services.settings import Settings, of_stack

PAOTUI = Path(sys.executable).parent / "paotui"
START_SECONDS = 900
STOP_SECONDS = 90
RATE_LIMIT = "100000000/minute"


@asynccontextmanager
async def home_folder(given: Path | None) -> AsyncIterator[Path]:
    """The given state folder, or a temporary one whose stack is stopped in the end."""
    if given is not None:
        os.environ["PAOTUI_HOME"] = str(given)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="paotui-benchmark-") as name:
        os.chmod(name, 0o755)  # noqa: PTH101, S103 - PostgreSQL may run as another user
        os.environ["PAOTUI_HOME"] = name
        try:
            yield Path(name)
        finally:
            await _paotui("down", seconds=STOP_SECONDS)


async def start(home: Path, *, sandboxed: bool) -> Settings:
    """(Re)start the folder's stack with the workflow sandbox on or off; where its parts are."""
    await _paotui("down", seconds=STOP_SECONDS)
    wishes = {
        "PAOTUI_RATE_LIMIT": RATE_LIMIT,
        "PAOTUI_WORKFLOW_SANDBOX": str(sandboxed).lower(),
        "PAOTUI_LOG_LEVEL": "info",
    }
    await _paotui("up", "--detach", "--no-demo", seconds=START_SECONDS, wishes=wishes)
    return of_stack(home)


async def pids() -> dict[str, int]:
    """The process of each part of the running stack."""
    told = json.loads(await _paotui("status", "--json", seconds=STOP_SECONDS))
    parts: dict[str, Any] = told["components"]
    return {name: part["pid"] for name, part in parts.items() if part["pid"]}


async def _paotui(*words: str, seconds: float, wishes: Mapping[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        PAOTUI,
        *words,
        env=os.environ | dict(wishes or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        raise Unexpected(f"paotui {' '.join(words)}:\n{out.decode()}{err.decode()}")
    return out.decode()
