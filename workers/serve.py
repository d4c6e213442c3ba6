"""How a process serves a task queue: parts opened, health shown, worker run until told to stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import structlog
from sqlalchemy import text
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from services import health
from services.db import Database
from services.gateways import Gateways
from services.settings import settings
from workers.queues import Queue, Tools
from workers.temporal import Telemetry, Workflows

POOL_CONNECTIONS = 16
RECONNECT_SECONDS = 0.5
BEAT = timedelta(seconds=1)
POLLERS = PollerBehaviorAutoscaling(minimum=1, maximum=10, initial=2)

log = structlog.get_logger(__name__)


async def serve(
    queue: Queue,
    stop: asyncio.Event,
    prepare: Callable[[Client, Database], Awaitable[None]] | None = None,
) -> None:
    """Run this process's worker of a queue until `stop`; `prepare` runs once before it polls."""
    known = settings()
    telemetry = Telemetry(metrics=bool(known.metrics_port))
    async with AsyncExitStack() as stack:
        database = Database(known.database_url, pool_size=POOL_CONNECTIONS)
        stack.push_async_callback(database.close)
        gateways = Gateways(known)
        stack.push_async_callback(gateways.close)
        workflows = Workflows(known, telemetry.runtime)
        checks = {"database": check_database(database), "temporal": workflows.check}
        await stack.enter_async_context(window(known.metrics_port, checks, telemetry))
        client = await connected(workflows, stop)
        if client is None:
            return
        if prepare is not None:
            await prepare(client, database)
        async with worker(client, queue, Tools(database=database, gateways=gateways)):
            log.info("serving", queue=queue.name)
            await stop.wait()
            log.info("stopping", queue=queue.name)


def worker(client: Client, queue: Queue, tools: Tools) -> Worker:
    """The worker of a queue, with the limits of its row in the table."""
    return Worker(
        client,
        task_queue=queue.name,
        workflows=queue.workflows,
        activities=queue.activities(tools),
        max_cached_workflows=queue.cached_workflows,
        sticky_queue_schedule_to_start_timeout=queue.sticky_wait,
        max_concurrent_workflow_tasks=queue.workflow_tasks,
        max_concurrent_local_activities=queue.local_activities,
        max_concurrent_activities=queue.activities_at_once,
        workflow_task_poller_behavior=POLLERS,
        activity_task_poller_behavior=POLLERS,
        graceful_shutdown_timeout=queue.grace,
        # A matcher must be missed after 2 s; the SDK would hold beats back for 1.6 s of them.
        max_heartbeat_throttle_interval=BEAT,
    )


async def connected(workflows: Workflows, stop: asyncio.Event) -> Client | None:
    """The client as soon as Temporal answers; None if told to stop before."""
    while not stop.is_set():
        try:
            return await workflows.client()
        except RuntimeError:
            log.info("waiting for Temporal")
            await asyncio.sleep(RECONNECT_SECONDS)
    return None


def check_database(database: Database) -> health.Check:
    """A check that the database answers."""

    async def check() -> None:
        async with database.read() as reader:
            await reader.scalar(text("SELECT 1"))

    return check


@asynccontextmanager
async def window(
    port: int, checks: Mapping[str, health.Check], telemetry: Telemetry
) -> AsyncIterator[None]:
    """The process's /metrics, /healthz and /readyz, if it has a port for them."""
    if not port:
        yield
        return
    async with await health.serve(port, checks, telemetry.exposition):
        yield
