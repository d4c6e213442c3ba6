"""F7, F8: channels that hang up, break, stall or refuse for a while, at every call with money."""

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.e2e.tills import ALL, pay_at
from tests.e2e.world import Json, World
from tests.faults.cases import (
    QUANTITIES,
    Case,
    accept,
    arm,
    assert_right,
    beside,
    part_refunded,
    place,
    until_over,
    until_paid,
    untroubled,
)
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

BURSTS = ("http_500", "http_502", "http_429", "http_202", "system_error")
CERTAIN = frozenset({"http_500", "http_502", "http_429"})
"""Of these the sandbox is told whether it happened; the others always did."""
BURST_MAX = 3
ENDS = ("cancelled", "rejected", "part given back")

Trouble = Callable[[random.Random], Mapping[str, Any]]


def hangs_up(dice: random.Random) -> Mapping[str, Any]:
    """The effect is there, the answer never comes; twice, since a repeat may meet it too."""
    return {"fault": "drop_after_commit", "times": dice.randint(1, 2)}


def bursts(dice: random.Random) -> Mapping[str, Any]:
    """So many in a row of one kind."""
    fault = dice.choice(BURSTS)
    happened = {"after_commit": dice.random() < 0.5} if fault in CERTAIN else {}
    return {"fault": fault, "times": dice.randint(1, BURST_MAX), **happened}


@every_seed
async def test_f7_the_channel_commits_and_hangs_up(case: Case) -> None:
    """Unknown is asked after under the same number, and had one effect."""
    await told(case, hangs_up, ("create", "capture", "close", "refund"))


@every_seed
async def test_f8_the_channel_breaks_for_a_while(case: Case) -> None:
    """The same numbers are repeated, whatever is answered meanwhile."""
    await told(case, bursts, ("create", "query", "capture", "close", "refund", "refund_query"))


async def told(case: Case, trouble: Trouble, operations: tuple[str, ...]) -> None:
    """An order at each channel, in trouble at each of these calls."""
    world = await case.city()
    lives = [life(case, world, channel, trouble, operations) for channel in ALL]
    kept = dict(await beside(lives))
    await assert_right(world, kept)


async def life(
    case: Case, world: World, channel: str, trouble: Trouble, operations: tuple[str, ...]
) -> tuple[str, int]:
    """From the tap to an end; the order, and what the channel keeps of it."""
    dice = case.dice_of(channel)
    for operation in operations:
        script = dict(trouble(dice))
        case.say(f"{channel} {operation} {' '.join(str(word) for word in script.values())}")
        await arm(world, channel, operation, **script)
    end, quantity = dice.choice(ENDS), dice.randint(1, QUANTITIES)
    case.say(f"{channel} x{quantity} {end}")
    order = await place(world, channel, quantity)
    await pay_at(world, order)
    await until_paid(world, order)
    assert "create" not in await untroubled(world, channel), "the create met no trouble"
    return order["order_id"], await ended(world, order, end, dice)


async def ended(world: World, order: Json, end: str, dice: random.Random) -> int:
    """Bring an order there; what the channel keeps, in fen."""
    if end == "part given back":
        part_fen = dice.randint(1, order["total_fen"] - 1)
        await accept(world, order)
        await part_refunded(world, order, part_fen)
        return int(order["total_fen"]) - part_fen
    if end == "cancelled":
        assert (await world.cancel(order["order_id"])).is_success
    else:
        await world.merchant(order["order_id"], "reject", {"reason_code": "too_busy"})
    await until_over(world, order)
    return 0
