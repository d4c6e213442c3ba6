"""Status reads per second of the API's process, beside a route that returns a constant."""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.children import ask, child
from benchmarks.wire import Unexpected

CONNECTIONS = 64
SPARE_SECONDS = 60.0
_SCRIPT = """
local paths, turn = {{{paths}}}, 0
request = function()
  turn = turn % #paths + 1
  return wrk.format("GET", paths[turn])
end
"""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1_000.0}


async def per_second(
    url: str, paths: Sequence[str], token: str, *, seconds: float
) -> dict[str, Any]:
    """{per_second, p50_ms, p99_ms, generator}: by wrk where it is on PATH, else by ours."""
    if wrk := shutil.which("wrk"):
        return await _wrk(wrk, url, paths, token, seconds=seconds)
    wish = {
        "port": urlsplit(url).port,
        "paths": list(paths),
        "token": token,
        "connections": CONNECTIONS,
        "seconds": seconds,
    }
    found = await ask("benchmarks.hammer", wish, seconds=seconds + SPARE_SECONDS)
    return found | {"generator": "benchmarks.hammer"}


@asynccontextmanager
async def constant_route() -> AsyncIterator[str]:
    """The URL of the route that returns a constant, served while the block runs."""
    async with child("benchmarks.constant") as process:
        assert process.stdout is not None
        async with asyncio.timeout(SPARE_SECONDS):
            port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"


async def _wrk(
    wrk: str, url: str, paths: Sequence[str], token: str, *, seconds: float
) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT.format(paths=", ".join(f'"{path}"' for path in paths)))
        script.flush()
        words = ["-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", "--latency", "-s", script.name]
        if token:
            words += ["-H", f"Authorization: Bearer {token}"]
        process = await asyncio.create_subprocess_exec(
            wrk, *words, url, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(seconds + SPARE_SECONDS):
            out, _ = await process.communicate()
    text = out.decode()
    if process.returncode or "Non-2xx" in text:
        raise Unexpected(f"{Path(wrk).name}:\n{text}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate is not None
    return {
        "per_second": float(rate[1]),
        "p50_ms": _latency(text, "50%"),
        "p99_ms": _latency(text, "99%"),
        "generator": "wrk",
    }


def _latency(text: str, share: str) -> float:
    found = re.search(rf"^\s+{share}\s+([\d.]+)(us|ms|s)", text, re.MULTILINE)
    assert found is not None
    return float(found[1]) * _UNITS[found[2]]
