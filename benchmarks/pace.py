"""How load is offered, some at a time or at given moments, and what is read off a sample."""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

PHASE_SECONDS = 900.0
"""No load goes on for longer."""
SEED = 7
"""Of arrivals: every run meets the same."""

Result = TypeVar("Result")


async def closed(
    life: Callable[[], Awaitable[Result]], *, count: int, at_once: int
) -> tuple[float, list[Result]]:
    """`count` lives, `at_once` at any time; lives per second, and what they returned."""
    left = iter(range(count))
    results: list[Result] = []

    async def one_after_another() -> None:
        for _ in left:
            results.append(await life())  # noqa: PERF401 - in the order in which they end

    began = time.perf_counter()
    async with asyncio.timeout(PHASE_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(one_after_another())
    return count / (time.perf_counter() - began), results


async def open_loop(
    life: Callable[[float], Coroutine[Any, Any, None]],
    *,
    count: int,
    per_second: float,
    ahead: float,
) -> float:
    """`count` lives that arrive at random moments (Poisson), however slow earlier ones are.

    Each is started `ahead` seconds early with the loop's time of its arrival; ends per second.
    """
    loop, dice = asyncio.get_running_loop(), random.Random(SEED)  # noqa: S311 - arrivals
    began = due = loop.time() + ahead
    async with asyncio.timeout(PHASE_SECONDS), asyncio.TaskGroup() as group:
        for _ in range(count):
            await asyncio.sleep(due - ahead - loop.time())
            group.create_task(life(due))
            due += dice.expovariate(per_second)
    return count / (loop.time() - began)


def percentile(sample: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the sample doesn't exceed; NaN of nothing."""
    ordered = sorted(sample)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
