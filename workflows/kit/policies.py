"""Named timeout and retry profiles, to be spread into the calls of `workflows.kit.acts`.

Whether a failure may be retried at all is decided where it is raised (`activities.act`).
"""

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy

UNLIMITED_ATTEMPTS = 0


class LocalPolicy(TypedDict, total=False):
    """How a local activity is tried; what belongs to one call is no part of a profile."""

    start_to_close_timeout: timedelta
    retry_policy: RetryPolicy
    local_retry_threshold: timedelta


class RegularPolicy(TypedDict, total=False):
    """How a regular activity is tried; what belongs to one call is no part of a profile."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy


ROW: LocalPolicy = {
    "start_to_close_timeout": timedelta(seconds=10),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=100),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=5),
        maximum_attempts=UNLIMITED_ATTEMPTS,
    ),
    # Above the longest interval: a retry never becomes a timer in the history.
    "local_retry_threshold": timedelta(seconds=10),
}
"""A local activity of one short transaction: it must happen, however long the database is away."""

GATEWAY_ONCE: LocalPolicy = {
    "start_to_close_timeout": timedelta(seconds=6),
    "retry_policy": RetryPolicy(maximum_attempts=1),
}
"""A local activity of one quick gateway call while a person waits; no second try."""

GATEWAY: RegularPolicy = {
    "start_to_close_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=1),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=UNLIMITED_ATTEMPTS,
    ),
}
"""A regular activity at the gateway: repeated until the gateway's answer is certain."""

PATIENT: RegularPolicy = {
    "start_to_close_timeout": timedelta(seconds=20),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=5),
        # A fault after many asks must not wait long: a pause beyond the end is the end.
        backoff_coefficient=1.0,
        maximum_attempts=UNLIMITED_ATTEMPTS,
    ),
}
"""A regular activity that asks until there is something to say; the activity names its pauses
(`next_retry_delay`), the caller the end (`within`)."""

BULK: RegularPolicy = {
    "start_to_close_timeout": timedelta(minutes=5),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(seconds=5),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(minutes=5),
        maximum_attempts=UNLIMITED_ATTEMPTS,
    ),
}
"""A regular activity over a whole day's rows, which nobody waits for."""


def within(left: timedelta, policy: RegularPolicy) -> RegularPolicy:
    """The same profile, given up when `left` is over."""
    return {**policy, "schedule_to_close_timeout": left}
