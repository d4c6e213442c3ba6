"""The effective matcher is killed, and another one makes the next offer within 15 s."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client
from temporalio.service import RPCError

from domain.ids import dispatch_workflow
from tests.e2e.world import PLACE, World, poll
from tests.faults.seeds import SEEDS, Tell
from tests.faults.stage import Stage
from workflows.kit.connect import connect

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TAKEOVER_SECONDS = 15.0

_EPOCH = text("SELECT epoch FROM zones WHERE site_id = :site_id")


@pytest.mark.parametrize("seed", SEEDS)
async def test_another_matcher_offers_within_15_s(
    stage: Stage, seed: int, tell: Tell, tmp_path: Path
) -> None:
    world = await stage.city(1, riders=1, timers={"rider_ahead_seconds": 900})
    client = await connect(stage.settings)
    async with matchers(stage, tmp_path) as pids:
        await world.rider("r0", "shift", {"on": False})
        order = await world.accepted()
        first = await poll(lambda: effective(client, world, pids))
        # At any moment between two beats.
        await asyncio.sleep(random.Random(seed).random())  # noqa: S311
        epoch = await epoch_of(world)

        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        await world.rider("r0", "shift", {"on": True, **PLACE})
        await world.claim(order["order_id"], "r0")

        seconds = time.monotonic() - began
        tell(f"seed {seed}: an offer {seconds:.1f} s after the effective matcher was killed")
        [other] = set(pids) - {first}
        assert await effective(client, world, pids) == other
        assert await epoch_of(world) > epoch
        assert seconds <= TAKEOVER_SECONDS
    envelope = {"action": "cancel_refund", "reason_code": "test", "request_id": "over"}
    path = f"/v1/support/orders/{order['order_id']}/interventions"
    await world.call("POST", path, world.token("support", "ann"), envelope)
    await world.until_home(order["order_id"])
    await world.assert_laws()


@asynccontextmanager
async def matchers(stage: Stage, logs: Path) -> AsyncIterator[Collection[int]]:
    """Two matchers of this test's own instead of the supervised one."""
    async with AsyncExitStack() as stack:
        await stage.stop("matcher")
        stack.push_async_callback(stage.start, "matcher")
        # The first has the supervised one's port.
        pids = [
            await stack.enter_async_context(
                stage.process("workers.matcher", log=logs / str(number), instead_of=instead_of)
            )
            for number, instead_of in enumerate(("matcher", ""))
        ]
        yield pids


async def effective(client: Client, world: World, pids: Collection[int]) -> int | None:
    """Which of these processes runs the zone's activity now, as Temporal tells."""
    try:
        found = await client.get_workflow_handle(dispatch_workflow(world.site_id, "z")).describe()
    except RPCError:
        return None
    for activity in found.raw_description.pending_activities:
        pid = int(activity.last_worker_identity.partition("@")[0] or 0)
        if pid in pids and activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED:
            return pid
    return None


async def epoch_of(world: World) -> int:
    async with world.database.read() as reader:
        return int(await reader.scalar(_EPOCH, {"site_id": world.site_id}))
