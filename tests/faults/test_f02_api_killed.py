"""F2: an API process dies in the middle of requests; the same keys at another one place once."""

import asyncio
import os
import signal
import uuid
from typing import Any

import httpx
import pytest

from domain.ids import order_id
from tests.e2e.tills import ALL, WAYS, pay_at
from tests.e2e.world import Json, World, poll
from tests.faults.board import Board
from tests.faults.cases import Case, accept, arm, assert_right, beside, until_paid
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

TAPS = 8
KILL_SECONDS = (0.05, 3.0)
SLOW_SECONDS = 1.0
"""How long channels take: most taps are in the middle then."""


@every_seed
async def test_f2_a_killed_api_leaves_one_order_of_a_key(case: Case) -> None:
    """Whatever the dead process had done: one order per key, and every repeat has one answer."""
    world = await case.city(customers=TAPS)
    for channel in ALL:
        await arm(world, channel, "create", "delay", delay_seconds=SLOW_SECONDS, times=TAPS)
    taps = [await _tap(case, world, number) for number in range(TAPS)]
    after_seconds = case.dice.uniform(*KILL_SECONDS)
    async with case.stage.more_api(case.folder / f"api-{case.seed}.log") as (pid, url):
        dying = [asyncio.create_task(_place(case.stage.api, url, tap)) for tap in taps]
        await asyncio.sleep(after_seconds)
        os.kill(pid, signal.SIGKILL)
        answered = [one for one in await asyncio.gather(*dying) if one is not None]
    case.say(f"killed after {after_seconds:.2f} s, {len(answered)} of {TAPS} taps answered")
    placed = dict(await beside(_again(world, tap) for tap in taps))
    for body in answered:
        assert _told(body) == _told(placed[body["order_id"]])
    board = Board(world.database, [world.site_id])
    await board.look()
    assert set(board.status) == set(placed)
    owners = {tap["order_id"]: tap["customer"] for tap in taps}
    await beside(_paid(world, order, owners[key]) for key, order in placed.items())
    await assert_right(world, {key: int(order["total_fen"]) for key, order in placed.items()})


async def _tap(case: Case, world: World, number: int) -> Json:
    """A request to place, as it will be sent every time."""
    customer = f"c{number}"
    quote = await world.quote(customer, case.dice.randint(1, 3))
    key = uuid.uuid4().hex
    return {
        "order_id": order_id(world.site_id, customer, key),
        "customer": customer,
        "headers": world.token("customer", customer) | {"Idempotency-Key": key},
        "json": {
            "quote_id": quote["quote_id"],
            "address_id": quote["address_id"],
            "payment": WAYS[case.dice.choice(ALL)],
        },
    }


async def _place(client: httpx.AsyncClient, url: str, tap: Json) -> Json | None:
    """The answer if there was one, and it was final."""
    wanted = {name: tap[name] for name in ("headers", "json")}
    try:
        answer = await client.post(f"{url}/v1/orders", **wanted)
    except httpx.TransportError:
        return None
    return dict(answer.json()) if answer.status_code == 201 else None


async def _again(world: World, tap: Json) -> tuple[str, Json]:
    """The same tap at the API that lives, until the payment is open; then once more."""

    async def placed() -> Json | None:
        return await _place(world.api, str(world.settings.api_url), tap)

    order = await poll(placed)
    assert order["order_id"] == tap["order_id"]
    assert await placed() == order
    return order["order_id"], order


def _told(body: Json) -> dict[str, Any]:
    """What of an answer is said for good: the order may have gone on since."""
    said = ("order_id", "total_fen", "payment_channel", "payment_parameters")
    return {name: body[name] for name in said}


async def _paid(world: World, order: Json, customer: str) -> None:
    await pay_at(world, order)
    await until_paid(world, order, customer)
    await accept(world, order, customer)
