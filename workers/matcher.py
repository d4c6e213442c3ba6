"""`python -m workers.matcher`: serves the queue of dispatch and sees that every zone has one."""

import asyncio
import itertools
from dataclasses import replace

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from activities import dispatch as acts
from domain.contracts.dispatch import Zone
from domain.ids import dispatch_workflow
from services import dispatch, logs, process
from services.db import Database
from services.dispatch import kernel
from services.eta import outside
from services.eta.outside import Outside
from services.positions import Places
from services.settings import settings
from workers.queues import DISPATCH, Queue
from workers.serve import serve
from workers.temporal import RPC_TIMEOUT
from workflows.dispatch import Dispatch

LOOK_SECONDS = 1.0
"""Between looks for new zones."""
ANEW_LOOKS = 10
"""Every so many looks, zones are started again whose workflow was ended by hand."""

log = structlog.get_logger(__name__)


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop."""
    known = settings()
    async with outside.client(known) as http, asyncio.TaskGroup() as group:

        async def prepare(client: Client, database: Database) -> None:
            await asyncio.to_thread(kernel.warm_up)
            group.create_task(keep_dispatched(client, database, stop))

        around = Outside(outside.provider(known, http))
        await serve(compiled(Places(known.redis_url), around), stop, prepare)


def compiled(places: Places, around: Outside) -> Queue:
    """The queue with the compiled search; no other process loads a compiler."""
    return replace(
        DISPATCH,
        activities=lambda tools: acts.build(tools.database, places.of, kernel.ENGINE, around),
    )


async def keep_dispatched(client: Client, database: Database, stop: asyncio.Event) -> None:
    """Start what is missing, again and again until told to stop."""
    started: set[Zone] = set()
    for look in itertools.count():
        if stop.is_set():
            return
        try:
            if look % ANEW_LOOKS == 0:
                started.clear()
            await start_missing(client, database, started)
        except (SQLAlchemyError, RPCError):
            log.warning("zones could not be started", exc_info=True)
        await process.rest(stop, LOOK_SECONDS)


async def start_missing(client: Client, database: Database, started: set[Zone]) -> None:
    """One `Dispatch` per zone that isn't known to be `started`; those that run are left alone."""
    async with database.read() as reader:
        zones = await dispatch.zones(reader)
    for zone in [zone for zone in zones if zone not in started]:
        await client.start_workflow(
            Dispatch.run,
            zone,
            id=dispatch_workflow(zone.site_id, zone.zone_id),
            task_queue=DISPATCH.name,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"dispatch of {zone.site_id}/{zone.zone_id}",
            rpc_timeout=RPC_TIMEOUT,
        )
        started.add(zone)


if __name__ == "__main__":
    logs.configure("matcher", settings().log_level)
    process.run(main)
