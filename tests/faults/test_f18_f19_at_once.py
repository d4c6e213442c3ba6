"""F18, F19: taps at the same moment that together would take or give too much."""

import asyncio

import pytest

from tests.e2e.tills import ALL, WAYS, again, try_pay
from tests.e2e.world import Json, World
from tests.faults.cases import (
    QUANTITIES,
    Case,
    accept,
    accepted,
    assert_right,
    beside,
    events,
    place,
    until_paid,
)
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

JITTER_SECONDS = 0.005
PARALLEL = (3, 8)
TOO_MUCH = 409
"""What is left no longer suffices: a refusal that names it."""


@every_seed
async def test_f18_channels_paid_at_the_same_millisecond(case: Case) -> None:
    """One payment is the order's, every other goes home by itself."""
    world = await case.city(customers=len(ALL))
    pairs = [case.dice.sample(ALL, case.dice.randint(2, 3)) for _ in ALL]
    case.say(", ".join("+".join(pair) for pair in pairs))
    lives = [_paid_at_once(case, world, pair, f"c{number}") for number, pair in enumerate(pairs)]
    await assert_right(world, dict(await beside(lives)))


async def _paid_at_once(
    case: Case, world: World, channels: list[str], customer: str
) -> tuple[str, int]:
    dice = case.dice_of(customer)
    first = await place(world, channels[0], dice.randint(1, QUANTITIES), customer)
    order_id = first["order_id"]
    opened = [first]
    opened += [await again(world, order_id, WAYS[channel], customer) for channel in channels[1:]]

    async def pay(order: Json, after_seconds: float) -> None:
        await asyncio.sleep(after_seconds)
        answer = await try_pay(world, order)
        # The platform closes the others as soon as it hears of one.
        assert answer.is_success or answer.status_code == 409, answer.text

    await asyncio.gather(*(pay(order, dice.uniform(0, JITTER_SECONDS)) for order in opened))
    await until_paid(world, first, customer)
    await accept(world, first, customer)
    assert (await events(world, first)).count("order.accepted") == 1
    return order_id, int(first["total_fen"])


@every_seed
async def test_f19_refunds_in_parallel_never_exceed_what_was_paid(case: Case) -> None:
    """Those that fit are given, the others are refused; none is given twice."""
    world = await case.city()
    lives = [_given_back_at_once(case, world, channel) for channel in ALL]
    await assert_right(world, dict(await beside(lives)))


async def _given_back_at_once(case: Case, world: World, channel: str) -> tuple[str, int]:
    dice = case.dice_of(channel)
    order = await accepted(world, channel, dice.randint(1, QUANTITIES))
    order_id, total_fen = order["order_id"], int(order["total_fen"])
    wishes = [dice.randint(total_fen // 4, total_fen) for _ in range(dice.randint(*PARALLEL))]

    async def ask(number: int, amount_fen: int) -> int:
        """What was given; every wish is sent twice at once."""
        request_id = f"{order_id}-{number}"
        tap = world.intervene(order_id, "refund", amount_fen=amount_fen, request_id=request_id)
        more = world.intervene(order_id, "refund", amount_fen=amount_fen, request_id=request_id)
        one, other = await asyncio.gather(tap, more)
        assert one.status_code == other.status_code, (one.text, other.text)
        assert one.is_success or one.status_code == TOO_MUCH, one.text
        return amount_fen if one.is_success else 0

    given = sum(await asyncio.gather(*(ask(*wish) for wish in enumerate(wishes))))
    case.say(f"{channel}: {sum(wishes)} fen wished, {given} given of {total_fen}")
    assert 0 < given <= total_fen
    await world.until(order_id, lambda view: view.get("refunded_fen") == given)
    return order_id, total_fen - given
