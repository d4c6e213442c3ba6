"""`python -m workers.finance`: serves finance's queue and sees to its nights and mornings."""

import asyncio
import contextlib
from dataclasses import dataclass
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
from domain.contracts.statements import KeepAll
from services import logs, process
from services.db import Database
from services.settings import settings
from workers.queues import FINANCE
from workers.serve import serve
from workers.temporal import RPC_TIMEOUT

RECONCILE, STATEMENTS = "reconcile", "statements"
CATCH_UP = timedelta(hours=12)
"""What was missed is made up for while it is still the same day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daily:
    """A workflow of every day, at an hour of China's."""

    name: str
    """Of the schedule; its workflows' ids begin so."""
    workflow: str
    takes: object
    hour: int
    minute: int


DAILY = (
    Daily(name=STATEMENTS, workflow="Statements", takes=KeepAll(), hour=1, minute=5),
    # WeChat Pay's bills are ready at 10:00, Alipay's at 9:00.
    Daily(name=RECONCILE, workflow="Reconciliations", takes=ReconcileAll(), hour=10, minute=5),
)


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop."""

    async def prepare(client: Client, _: Database) -> None:
        await ensure_schedules(client)

    await serve(FINANCE, stop, prepare)


async def ensure_schedules(client: Client) -> None:
    """Create the daily schedules that are not there; people may have changed or paused others."""
    for daily in DAILY:
        moment = ScheduleCalendarSpec(
            hour=[ScheduleRange(daily.hour)], minute=[ScheduleRange(daily.minute)]
        )
        schedule = Schedule(
            action=ScheduleActionStartWorkflow(
                daily.workflow, daily.takes, id=daily.name, task_queue=FINANCE.name
            ),
            spec=ScheduleSpec(calendars=[moment], time_zone_name="Asia/Shanghai"),
            policy=SchedulePolicy(catchup_window=CATCH_UP),
        )
        with contextlib.suppress(ScheduleAlreadyRunningError):
            await client.create_schedule(daily.name, schedule, rpc_timeout=RPC_TIMEOUT)


if __name__ == "__main__":
    logs.configure("finance", settings().log_level)
    process.run(main)
