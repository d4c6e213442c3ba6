"""Dispatch replays the history of a zone whose matcher was taken over four times."""

import base64
from pathlib import Path

import pytest
from temporalio.api.history.v1 import History
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from domain.contracts.dispatch import MATCH
from domain.ids import dispatch_workflow
from workflows.dispatch import Dispatch
from workflows.kit.codec import EncryptionCodec
from workflows.kit.plugin import plugin

KEY = base64.b64encode(b"k" * 32).decode()
"""The history's payloads were encrypted under it."""
HISTORY = Path(__file__).parent / "histories" / "dispatch.json"
EVENTS_MAX = 5
"""Neither attempts nor ticks may add events."""


@pytest.fixture
def history() -> WorkflowHistory:
    return WorkflowHistory.from_json(dispatch_workflow("s1", "center"), HISTORY.read_text())


async def test_it_replays(history: WorkflowHistory) -> None:
    codec = EncryptionCodec.from_text(KEY)
    replayer = Replayer(workflows=[Dispatch], plugins=[plugin(codec, sandboxed=True)])

    replayed = await replayer.replay_workflow(history)

    assert replayed.replay_failure is None


def test_a_dead_matcher_is_missed_soon_and_its_successors_never_run_out(
    history: WorkflowHistory,
) -> None:
    events = History(events=history.events).events
    scheduled = events[-1].activity_task_scheduled_event_attributes

    assert len(events) <= EVENTS_MAX
    assert scheduled.activity_type.name == MATCH.name
    assert scheduled.heartbeat_timeout.ToSeconds() == 2
    assert scheduled.retry_policy.initial_interval.ToMilliseconds() == 200
    assert scheduled.retry_policy.backoff_coefficient == 1
    assert scheduled.retry_policy.maximum_attempts == 0
