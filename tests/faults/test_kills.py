"""Every process of the stack is killed with orders in mid-act, and every order ends rightly."""

import asyncio
import random
from collections import Counter

import pytest

from tests.faults.crowd import Crowd, crowd
from tests.faults.ends import assert_right_ends
from tests.faults.seeds import SEEDS, Tell
from tests.faults.stage import TARGETS, Stage

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SLOTS = 34
IN_MID_ACT = 24
FILL_SECONDS = 60.0
APART_SECONDS = (2.0, 5.0)
STATUSES = {
    *("awaiting_payment", "awaiting_acceptance", "preparing", "awaiting_pickup"),
    *("delivering", "delivered", "completed", "cancelled"),
}

seen: Counter[str] = Counter()
"""Statuses that orders were in at kills, over all seeds of this session."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_all_orders_reach_a_right_end(stage: Stage, seed: int, tell: Tell) -> None:
    dice = random.Random(seed)  # noqa: S311
    targets = list(TARGETS)
    dice.shuffle(targets)
    tell(f"seed {seed}: {', '.join(targets)}")
    async with crowd(stage, seed=seed, slots=SLOTS) as people:
        for target in targets:
            await asyncio.sleep(dice.uniform(*APART_SECONDS))
            await fill(people)
            counts = people.board.counts()
            seen.update(counts)
            tell(f"kill -9 {target}: {dict(sorted(counts.items()))}")
            await stage.kill(target, dice.choice)
        await people.finish()
        tell(f"{len(people.walks)} orders have ended")
        await assert_right_ends(people)
        told = Counter(walk.story for walk in people.walks)
        tell(f"all is right: {dict(told)}")


async def test_every_status_was_hit() -> None:
    if not seen:
        pytest.skip("no kill in this session")
    assert set(seen) >= STATUSES, f"seeds {SEEDS}: no kill met {STATUSES - set(seen)}"


async def fill(people: Crowd) -> None:
    """Wait until so many orders are open that a kill meets them."""
    async with asyncio.timeout(FILL_SECONDS):
        while len(people.board.open()) < IN_MID_ACT:
            people.check()
            await asyncio.sleep(0.2)
