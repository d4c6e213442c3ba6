"""The benchmark's own helper processes: started as modules, ended with the block they serve."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from benchmarks.wire import Unexpected

END_SECONDS = 10.0


@asynccontextmanager
async def child(module: str, *words: str) -> AsyncIterator[Process]:
    """`python -m module …` with its output piped, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, stdin=PIPE, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def ask(module: str, question: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """What a module answers on stdout to the JSON it is given on stdin."""
    async with child(module) as process, asyncio.timeout(seconds):
        out, _ = await process.communicate(orjson.dumps(question))
    if process.returncode:
        raise Unexpected(f"{module} ended with {process.returncode}")
    answer: dict[str, Any] = orjson.loads(out)
    return answer
