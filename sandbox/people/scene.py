"""What people of one session share: the pace of life, the API, and words across the counter."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from sandbox.people.client import CALL_TIMEOUT_SECONDS, GaveUp, Line

log = logging.getLogger(__name__)

Pay = Callable[[dict[str, Any]], Awaitable[bool]]
"""Pay as the channel's app would, by what the API answered; False: the channel refused."""

CONNECTIONS = 64


class Refused(Exception):
    """The API said no, and asking again would not help."""


@dataclass(slots=True)
class Scene:
    """One session's common ground."""

    api_url: str
    speed: float
    pay: Pay
    chance: random.Random
    http: httpx.AsyncClient = field(init=False)
    trouble: Counter[str] = field(default_factory=Counter)
    """What people met: answers of 429 and 5xx, refused connections, lost lines."""
    ready_at: dict[str, datetime] = field(default_factory=dict)
    """order_id → when its food is ready, for orders that say so."""
    called_out: dict[str, asyncio.Event] = field(default_factory=dict)
    """order_id → the kitchen has put it on the counter."""
    codes: dict[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)
    """order_id → ask the customer at the door for the hand-over code."""

    counters: dict[str, Callable[[str, str], Awaitable[None]]] = field(default_factory=dict)
    """merchant_id → come for an order, and tell the code."""

    def __post_init__(self) -> None:
        self.http = httpx.AsyncClient(
            base_url=self.api_url,
            timeout=CALL_TIMEOUT_SECONDS,
            trust_env=False,
            limits=httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=30),
        )

    def line(self, token: str) -> Line:
        """A line to the API in somebody's name."""
        return Line(self.http, token, self.trouble)

    async def live(self, seconds: float) -> None:
        """Let seconds of life pass."""
        await asyncio.sleep(seconds / self.speed)

    def counter(self, order_id: str) -> asyncio.Event:
        """Where the rider waits for this order's food."""
        return self.called_out.setdefault(order_id, asyncio.Event())

    def happens(self, probability: float) -> bool:
        """Take a chance."""
        return self.chance.random() < probability


async def until(moment: datetime) -> None:
    """Wait for a real moment; past ones are over."""
    await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


class Errands:
    """Things one person does at the same time; one that fails is told and stops nobody."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, errand: Coroutine[Any, Any, None]) -> None:
        """Start one."""
        task = asyncio.create_task(self._do(errand))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, errand: Coroutine[Any, Any, None]) -> None:
        try:
            await errand
        except (GaveUp, Refused) as error:
            self._scene.trouble[type(error).__name__] += 1
        except Exception:
            self._scene.trouble["errand_failed"] += 1
            log.exception("an errand failed")

    async def close(self) -> None:
        """Drop everything."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
