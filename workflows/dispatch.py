"""A zone's dispatch: exactly one matcher runs, and another takes over when its process dies."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from domain.contracts.dispatch import MATCH, Stopped, Zone
from workflows.kit import acts
from workflows.kit.policies import UNLIMITED_ATTEMPTS, RegularPolicy

FOR_EVER: RegularPolicy = {
    "start_to_close_timeout": timedelta(days=365),
    "heartbeat_timeout": timedelta(seconds=2),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=200),
        backoff_coefficient=1.0,
        maximum_attempts=UNLIMITED_ATTEMPTS,
    ),
}
"""An attempt that dies is missed after 2 s; the history doesn't grow with attempts or ticks."""


@workflow.defn(name="Dispatch")
class Dispatch:
    """Keeps one `dispatch.match` running for one zone; ends when the zone is no more."""

    @workflow.run
    async def run(self, zone: Zone) -> Stopped:
        """One activity, for as long as the zone exists."""
        return await acts.regular(MATCH, zone, summary=f"matcher of {zone.zone_id}", **FOR_EVER)
