"""Stories told once for every seed, beside each other on one stack; what they tell is not here."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.cases import Case
from tests.faults.stage import Stage

AT_ONCE = 6
"""Cities that live beside each other: so many that neither processor waits often."""

Tell = Callable[[str], None]
Story = Callable[[Case], Awaitable[None]]


def read_seeds(words: str) -> list[int]:
    """Numbers and ranges of them: "1", "1,4,9", "1-20"."""
    pairs = [word.partition("-") for word in words.split(",")]
    return [seed for low, _, high in pairs for seed in range(int(low), int(high or low) + 1)]


SEEDS = read_seeds(os.environ.get("PAOTUI_FAULT_SEEDS", "1"))


def every_seed(story: Story) -> Callable[..., Awaitable[None]]:
    """A test per seed of this story; the first of them begins all that were chosen."""
    running: dict[int, asyncio.Task[Case]] = {}

    @pytest.mark.parametrize("seed", SEEDS)
    async def test(
        stage: Stage, seed: int, tell: Tell, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        if not running:
            gate = asyncio.Semaphore(AT_ONCE)
            for one in chosen(request):
                running[one] = asyncio.create_task(_tell(story, Case(stage, one, tmp_path), gate))
        case = await running[seed]
        tell(f"seed {seed}: {'; '.join(case.said)}")

    test.__name__ = test.__qualname__ = story.__name__
    test.__module__, test.__doc__ = story.__module__, story.__doc__
    return test


def chosen(request: pytest.FixtureRequest) -> list[int]:
    """The seeds with which this test was chosen to run."""
    mine = request.node.path, request.node.originalname
    return [
        item.callspec.params["seed"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and (item.path, item.originalname) == mine
    ]


async def _tell(story: Story, case: Case, gate: asyncio.Semaphore) -> Case:
    async with gate:
        try:
            await story(case)
        except Exception as error:
            error.add_note(f"seed {case.seed}: {'; '.join(case.said)}")
            raise
    return case
