"""The ways to follow, best first: what this process offers, and what a client does without one."""

import random
from collections.abc import Sequence
from enum import StrEnum

from api.observe import LIVE_CHANGES
from domain.errors import Unavailable

COME_BACK_SECONDS = 5.0
"""Those who were sent away come back within so long, at random moments."""
TRY_AGAIN_SECONDS = 30
"""When a way that is switched off may be asked for again."""
POLL_SECONDS = 3
"""Between two polls of a client that can do nothing better."""


class Way(StrEnum):
    """How a client hears of what happens."""

    WEBSOCKET = "websocket"
    """Both directions, one connection; the best."""
    SSE = "sse"
    """One long answer (`text/event-stream`)."""
    LONG_POLL = "long_poll"
    """A request that is answered as soon as there is something."""
    POLL = "poll"
    """A request that is answered at once; always there."""


def offered(setting: str, *, live: bool) -> tuple[Way, ...]:
    """The ways of a process, best first; raises ValueError on a name that is none.

    Without `live` the process only answers polls.
    """
    chosen = {Way(name.strip()) for name in setting.split(",") if name.strip()} if live else set()
    return tuple(way for way in Way if way in chosen | {Way.POLL})


def ensure(way: Way, offers: Sequence[Way]) -> None:
    """Refuse a way that is switched off, naming the others."""
    if way not in offers:
        raise Unavailable(
            f"{way} is switched off here",
            ways=[str(other) for other in offers],
            retry_after_seconds=TRY_AGAIN_SECONDS,
        )


def arrived(way: Way, came_from: str | None) -> None:
    """Count a client that says that it followed by another way before."""
    if came_from in tuple(Way) and came_from != way:
        LIVE_CHANGES.labels(came_from, way).inc()


def come_back_seconds() -> float:
    """After how long one client comes back."""
    return random.uniform(0, COME_BACK_SECONDS)  # noqa: S311 - nothing secret
