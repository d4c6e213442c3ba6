"""The effective matcher is killed, alone or in a lunch peak; another one offers within 15 s."""

import asyncio
import json
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, TextClause, text
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client
from temporalio.service import RPCError

from domain.ids import dispatch_workflow
from tests.e2e.world import PLACE, World, poll
from tests.faults.patience import Patient
from tests.faults.riders import Rider
from tests.faults.seeds import SEEDS, Tell
from tests.faults.stage import Stage
from workflows.kit.connect import connect

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

TAKEOVER_SECONDS = 15.0
ORDERS = 36
OPEN_ORDERS = 30
RIDERS = 12
CUSTOMERS = 9
PEAK_SECONDS = 300.0
"""To bring them all."""
PEAK = {"rider_ahead_seconds": 900, "offer_seconds": 8}
PLANNED = {"plan_seconds": 1, "pickup_minutes": 0.2, "dropoff_minutes": 0.2}
"""These riders ride and hand over in no time: to expect the usual minutes would let them wait."""

_EPOCH = text("SELECT epoch FROM zones WHERE site_id = :site_id")
_RULES = text("""
UPDATE zones SET rules = CAST(:rules AS jsonb) WHERE site_id = :site_id RETURNING zone_id
""")
_NOW = text("""
SELECT clock_timestamp() AS at, count(*) AS open,
  count(*) FILTER (WHERE state NOT IN ('searching', 'offered')) AS taken
FROM delivery_tasks WHERE site_id = :site_id AND state NOT IN ('delivered', 'closed')
""")
_NEXT = text("""
SELECT extract(epoch FROM min(made_at) - CAST(:at AS timestamptz)) AS seconds FROM offers
WHERE site_id = :site_id AND made_at > :at
""")
_TAKEN = text("""
SELECT e.order_id, count(*) AS times FROM order_events e JOIN delivery_tasks t USING (order_id)
WHERE t.site_id = :site_id AND t.state = 'delivered' AND e.type = 'delivery.assigned'
GROUP BY e.order_id
""")
"""Of the riders' claims: nobody gives an order back here."""


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


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_lunch_peak_loses_and_doubles_nothing(
    stage: Stage, seed: int, tell: Tell, tmp_path: Path
) -> None:
    world = await stage.city(CUSTOMERS, riders=RIDERS, auto_accept=True, timers=PEAK)
    await ask(world, _RULES, rules=json.dumps(PLANNED))
    client, patient = await connect(stage.settings), Patient(world)
    async with matchers(stage, tmp_path) as pids, AsyncExitStack() as stack:
        customers = await peak(patient)
        for number in range(RIDERS):
            rider = Rider(patient, f"r{number}", customers, f"{seed}:{number}")
            riding = asyncio.create_task(rider.ride())
            stack.callback(riding.cancel)
        await asyncio.gather(*(patient.merchant(order, "ready") for order in customers))

        async def busy() -> Any:
            [now] = await ask(world, _NOW)
            return now if now.taken >= RIDERS // 2 else None

        await poll(busy)
        first = await poll(lambda: effective(client, world, pids))
        await asyncio.sleep(random.Random(seed).random())  # noqa: S311
        os.kill(first, signal.SIGKILL)
        [killed] = await ask(world, _NOW)
        assert killed.open >= OPEN_ORDERS

        async def offered() -> float | None:
            [found] = await ask(world, _NEXT, at=killed.at)
            return found.seconds

        seconds = float(await poll(offered, PEAK_SECONDS))
        tell(
            f"seed {seed}: {killed.open} tasks open, {killed.taken} taken, the next offer"
            f" {seconds:.1f} s after the effective matcher was killed"
        )

        async def brought() -> bool | None:
            return not (await ask(world, _NOW))[0].open or None

        await poll(brought, PEAK_SECONDS)
    assert seconds <= TAKEOVER_SECONDS
    taken = {row.order_id: row.times for row in await ask(world, _TAKEN)}
    assert taken == dict.fromkeys(customers, 1)
    await world.assert_laws()


async def peak(patient: Patient) -> dict[str, str]:
    """Orders in the kitchen, all at once; the customer of each."""

    async def order(number: int) -> tuple[str, str]:
        customer = f"c{number % CUSTOMERS}"
        placed = await patient.place(customer)
        assert await patient.pay(placed)
        return placed["order_id"], customer

    customers = dict(await asyncio.gather(*(order(number) for number in range(ORDERS))))

    async def cooking() -> bool | None:
        return (await ask(patient.world, _NOW))[0].open == ORDERS or None

    await poll(cooking, PEAK_SECONDS)
    return customers


async def ask(world: World, statement: TextClause, **more: Any) -> Sequence[Row[Any]]:
    """Rows about the world's site."""
    async with world.database.write() as writer:
        return await writer.all(statement, {"site_id": world.site_id, **more})


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
