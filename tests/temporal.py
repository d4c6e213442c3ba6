"""A Temporal development server for one test session, in memory, as `paotui up` configures it.

`python -m tests.temporal` fetches or builds the binary if it is not there.
"""

import asyncio
import base64
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from cli.report import Report
from cli.temporal import acquire, find
from services.settings import Settings, configured
from workflows.kit import attributes

TIMERS = ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"']
"""Without it timers under a second fire after a second."""
START_SECONDS = 60
"""On a machine whose processors are busy with other tests."""


def binary() -> Path:
    """The `temporal` that is there already; fetching it is `make`'s job, not a test's."""
    found = find(configured())
    if found is None:
        raise RuntimeError(
            "no `temporal` binary: run `make temporal` once, or set PAOTUI_TEMPORAL_BINARY"
        )
    return found.path


@contextlib.asynccontextmanager
async def development_server() -> AsyncIterator[Settings]:
    """Settings that point at a fresh server, with a payload key of their own."""
    server = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(binary()),
        search_attributes=attributes.ALL,
        dev_server_extra_args=TIMERS,
        dev_server_startup_timeout=timedelta(seconds=START_SECONDS),
    )
    try:
        yield Settings(
            temporal_address=server.client.service_client.config.target_host,
            temporal_namespace=server.client.namespace,
            payload_key=SecretStr(base64.b64encode(os.urandom(32)).decode()),
        )
    finally:
        await server.shutdown()


async def _get() -> None:
    async with Report() as report:
        await acquire(configured(), report)


if __name__ == "__main__":
    asyncio.run(_get())
