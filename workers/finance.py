"""`python -m workers.finance`: serves finance's queue and sees that every morning reconciles."""

import asyncio
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
)

from domain.contracts.reconciliation import ReconcileAll
from services import logs, process
from services.db import Database
from services.settings import settings
from workers.queues import FINANCE
from workers.serve import serve
from workers.temporal import RPC_TIMEOUT
from workflows.reconciliation import Reconciliations

SCHEDULE = "reconcile"
BILLS_HOUR, BILLS_MINUTE = 10, 5
"""Of China's day: WeChat Pay's bills are ready at 10:00, Alipay's at 9:00."""
CATCH_UP = timedelta(hours=12)
"""A morning that was missed is made up for while it is still the same day."""


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop."""

    async def prepare(client: Client, _: Database) -> None:
        await ensure_schedule(client)

    await serve(FINANCE, stop, prepare)


async def ensure_schedule(client: Client) -> None:
    """Create the daily schedule unless it is there, as people may have changed or paused it."""
    morning = ScheduleCalendarSpec(
        hour=[ScheduleRange(BILLS_HOUR)], minute=[ScheduleRange(BILLS_MINUTE)]
    )
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            Reconciliations.run, ReconcileAll(), id=SCHEDULE, task_queue=FINANCE.name
        ),
        spec=ScheduleSpec(calendars=[morning], time_zone_name="Asia/Shanghai"),
        policy=SchedulePolicy(catchup_window=CATCH_UP),
    )
    try:
        await client.create_schedule(SCHEDULE, schedule, rpc_timeout=RPC_TIMEOUT)
    except ScheduleAlreadyRunningError:
        return


if __name__ == "__main__":
    logs.configure("finance", settings().log_level)
    process.run(main)
