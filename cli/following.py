"""A client that follows one order, whatever happens to the network: the best way that works.

It falls to the next way when one fails twice, and tries better ones beside the one that works.
`docs/live.md` is the contract; how each way is spoken is in `cli/following_ways.py`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import httpx

from cli.following_ways import WAYS, Json, Link, Over, Pace, Refused, SentAway, SwitchedOff, listen

FAILURES = 2
"""In a row, until a way rests."""
SPREAD = 1.25
"""Clients that fell at once don't come back at once."""
INBOX_MESSAGES = 100
DEFAULT = Pace()


async def follow(
    base_url: str, order_id: str, token: str, *, since: int | None = None, pace: Pace = DEFAULT
) -> AsyncGenerator[Json, None]:
    """An order's messages as the hub says them, each event once, in order, without gaps.

    A snapshot comes first, unless `since` can be resumed or only polls work (then every event).
    Between them `{"type": "way", "way", "changes"}` tells which way it is on now and how often it
    changed. Raises Refused when this caller may not follow; never ends by itself.
    """
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, timeout=pace.open_seconds, trust_env=False
    ) as http:
        following = _Following(Link(http=http, order_id=order_id, pace=pace), since)
        try:
            async with aclosing(following.messages()) as messages:
                async for message in messages:
                    yield message
        finally:
            await following.close()


@dataclass(eq=False, slots=True)
class _Ear:
    """One connection and the task that hears it."""

    way: str
    task: asyncio.Task[None] | None = None


class _Following:
    """What is heard, by which ear, and which ways rest."""

    def __init__(self, link: Link, since: int | None) -> None:
        self._link = link
        self._seq = since
        self._place_at: datetime | None = None
        self._inbox: asyncio.Queue[tuple[_Ear, Json | Exception]] = asyncio.Queue(INBOX_MESSAGES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ear: _Ear | None = None
        """The one that is relied on."""
        self._better: _Ear | None = None
        """A better way that is tried beside it."""
        self._way = ""
        self._changes = 0
        self._rests = dict.fromkeys(WAYS, 0.0)
        """Until when a way is not tried, by the loop's clock."""
        self._failures: Counter[str] = Counter()
        self._fallen = 0
        """While nothing is heard: how many ways are passed over, however rested."""
        self._tries = 0
        self._back_at = 0.0

    async def messages(self) -> AsyncGenerator[Json, None]:
        """See `follow`."""
        while True:
            self._listen()
            try:
                async with asyncio.timeout_at(self._due()):
                    ear, said = await self._inbox.get()
            except TimeoutError:
                continue
            if ear not in {self._ear, self._better}:
                continue
            if isinstance(said, Exception):
                self._over(ear, said)
            elif said["type"] == "welcome":
                if self._welcome(ear, said["ways"]):
                    yield {"type": "way", "way": self._way, "changes": self._changes}
            else:
                self._failures[ear.way] = self._fallen = self._tries = 0
                if said["type"] != "heartbeat" and self._is_next(ear, said):
                    yield said

    async def close(self) -> None:
        """Leave."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _listen(self) -> None:
        """Open what is due: the best way if there is none, a better one beside a worse one."""
        now = _now()
        ways = WAYS if self._ear else WAYS[self._fallen :]
        best = next(way for way in ways if way == WAYS[-1] or self._rests[way] <= now)
        if self._ear is None:
            if now >= self._back_at:
                self._ear = self._open(best)
        elif self._better is None and best in self._better_ways():
            self._better = self._open(best)

    def _due(self) -> float | None:
        """When there is something to open; None: when something is heard."""
        if self._ear is None:
            return self._back_at
        rests = [self._rests[way] for way in self._better_ways()]
        return None if self._better else min(rests, default=None)

    def _better_ways(self) -> tuple[str, ...]:
        return WAYS[: WAYS.index(self._ear.way)] if self._ear else ()

    def _open(self, way: str) -> _Ear:
        ear = _Ear(way)
        came_from = self._way if self._way != way else ""
        ear.task = asyncio.create_task(self._hear(ear, came_from or None))
        self._tasks.add(ear.task)
        ear.task.add_done_callback(self._tasks.discard)
        return ear

    async def _hear(self, ear: _Ear, came_from: str | None) -> None:
        try:
            async with aclosing(listen(self._link, ear.way, self._seq, came_from)) as lines:
                async for line in lines:
                    await self._inbox.put((ear, line))
        except Exception as error:  # noqa: BLE001 - whoever takes it decides
            await self._inbox.put((ear, error))

    def _welcome(self, ear: _Ear, ways: list[str]) -> bool:
        """An ear hears: it is the one now. Whether the way has changed."""
        if ear is self._better:
            self._leave(self._ear)
        for way in self._better_ways():
            if way not in ways and self._rests[way] <= _now():
                self._rest(way, self._link.pace.better_seconds)
        if ear.way == self._way:
            return False
        self._changes += self._way != ""
        self._way = ear.way
        return True

    def _over(self, ear: _Ear, why: Exception) -> None:
        """An ear hears no more; raises what can't be mended by coming back."""
        if isinstance(why, Refused) or not isinstance(why, Over):
            raise why
        pace, alone = self._link.pace, ear is self._ear
        self._leave(ear)
        if isinstance(why, SwitchedOff):
            self._rest(ear.way, why.seconds)
        elif alone and isinstance(why, SentAway):
            self._back_at = _now() + why.seconds
        else:
            self._failures[ear.way] += 1
            if not alone or self._failures[ear.way] >= FAILURES:
                self._rest(ear.way, pace.better_seconds)
            if alone:
                most = min(pace.backoff_most_seconds, pace.backoff_seconds * 2**self._tries)
                self._tries = min(self._tries + 1, 16)
                self._back_at = _now() + random.uniform(0, most)  # noqa: S311 - nothing secret

    def _leave(self, ear: _Ear | None) -> None:
        if ear and ear.task:
            ear.task.cancel()
        if ear is self._better:
            self._better = None
        else:  # whoever is tried already is relied on: not two of one way
            self._ear, self._better = self._better, None

    def _rest(self, way: str, seconds: float) -> None:
        """Not before so long; who hears nothing goes on to the next way, or from the best again."""
        self._failures[way] = 0
        if self._ear is None:
            self._fallen = (WAYS.index(way) + 1) % len(WAYS)
        self._rests[way] = _now() + seconds * random.uniform(1, SPREAD)  # noqa: S311

    def _is_next(self, ear: _Ear, said: Json) -> bool:
        """Whether this is news; a connection that leaves a gap is given up."""
        kind = said["type"]
        if kind == "snapshot":
            self._seq, self._place_at = said["seq"], None
            return True
        if kind == "position":
            at = datetime.fromisoformat(said["at"])
            newer = self._place_at is None or at > self._place_at
            self._place_at = at if newer else self._place_at
            return newer
        seq, known = said["seq"], self._seq or 0
        if seq > known + 1:
            self._over(ear, Over("a gap"))
        if seq != known + 1:
            return False
        self._seq = seq
        if said["data"].keys() & {"delivery", "rider_id"}:
            self._place_at = None  # of another rider, or seen more exactly
        return True


def _now() -> float:
    return asyncio.get_running_loop().time()
