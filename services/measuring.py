"""What every call of a gateway is counted and timed by, whichever its channel; decides nothing."""

import inspect
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from domain.outcomes import Accepted, Outcome, Rejected, Unknown
from services import metrics
from services.channel import Channel
from services.codes import bounded

CALLS = tuple(
    name
    for name, member in vars(Channel).items()
    if inspect.iscoroutinefunction(member) and name != "notice"
)
"""The port's calls; a notice is no call of ours."""
ALARMING = {metrics.PAYMENTS: ("frozen",), metrics.REFUNDS: ("abnormal", "closed")}
"""Where the first one is an alert: Prometheus sees no increase where a series only begins."""
_ASKING: ContextVar[str] = ContextVar("asking", default="")

Call = Callable[..., Awaitable[Outcome[Any]]]


def measure(channel: Channel[Any]) -> Channel[Any]:
    """Have each of a channel's calls counted and timed from now on; the same channel."""
    for counter, labels in ALARMING.items():
        for label in labels:
            counter.labels(channel.name, label)
    for name in CALLS:
        setattr(channel, name, _measured(channel.name, name, getattr(channel, name)))
    return channel


async def note_clock(answer: httpx.Response) -> None:
    """How far our clock is from that of the gateway being asked, by its answer's `Date`."""
    channel, date = _ASKING.get(), answer.headers.get("date", "")
    # A date without a zone would be read in this machine's.
    if not channel or not date.endswith(" GMT"):
        return
    try:
        skew = datetime.now(UTC) - parsedate_to_datetime(date)
    except ValueError:
        return
    metrics.CLOCK_SKEW.labels(channel).set(skew.total_seconds())


def _measured(channel: str, name: str, call: Call) -> Call:
    async def run(*given: object, **named: object) -> Outcome[Any]:
        asking = _ASKING.set(channel)
        began = time.perf_counter()
        try:
            outcome = await call(*given, **named)
        finally:
            _ASKING.reset(asking)
        match outcome:
            case Accepted():
                result, code = "accepted", ""
            case Rejected(code=code):
                result = "rejected"
            case Unknown(reason=code):
                result = "unknown"
        taken = time.perf_counter() - began
        metrics.GATEWAY_SECONDS.labels(channel, name, result).observe(taken)
        if code:
            metrics.GATEWAY_REFUSALS.labels(channel, name, bounded(code)).inc()
        return outcome

    return run
