"""F14: WeChat Pay's keys change while orders are paid: grey release, expiry, roll-over."""

import asyncio
import json

import pytest

from tests.e2e.tills import pay_at
from tests.e2e.world import World
from tests.faults.cases import (
    QUANTITIES,
    Case,
    accept,
    assert_right,
    beside,
    part_refunded,
    place,
    until_paid,
)
from tests.faults.seeds import every_seed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

ORDERS = 8
GREY = 0.5
"""Share of notices signed by the public key."""
LIVES_SECONDS = 4.0
"""Of the certificate between the old one and the next."""


@every_seed
async def test_f14_keys_roll_over_while_orders_are_paid(case: Case) -> None:
    """No payment and no refund fails, whichever key signs what."""
    world = await case.city()
    if case.dice.random() < 0.5:
        case.say("a merchant with certificates only")
        _forget_public_key(world)
    await _set(world, "PUT", "settings", grey=GREY)
    try:
        lives = [_life(case, world, number) for number in range(ORDERS)]
        kept, _ = await asyncio.gather(beside(lives), _roll(case, world))
    finally:
        await _set(world, "PUT", "settings", grey=0)
    await assert_right(world, dict(kept))


async def _life(case: Case, world: World, number: int) -> tuple[str, int]:
    dice = case.dice_of(str(number))
    await asyncio.sleep(dice.uniform(0, 2 * LIVES_SECONDS))
    order = await place(world, "wechat", dice.randint(1, QUANTITIES))
    await pay_at(world, order)
    await until_paid(world, order)
    await accept(world, order)
    part_fen = dice.randint(1, order["total_fen"] - 1)
    await part_refunded(world, order, part_fen)
    return order["order_id"], order["total_fen"] - part_fen


async def _roll(case: Case, world: World) -> None:
    """A certificate that soon expires, and then one that doesn't."""
    await asyncio.sleep(case.dice.uniform(0, LIVES_SECONDS))
    await _set(world, "POST", "certificates", lifetime_seconds=LIVES_SECONDS)
    await asyncio.sleep(LIVES_SECONDS)
    await _set(world, "POST", "certificates")


def _forget_public_key(world: World) -> None:
    """Before anybody has read the payee's keys: as merchants have had it until 2024."""
    file = world.settings.home / "keys" / "wechat" / world.payee("wechat") / "account.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"public_key_id": ""}))


async def _set(world: World, method: str, what: str, **told: float) -> None:
    answer = await world.gateway.request(method, f"/control/{what}", json=told)
    assert answer.is_success, answer.text
