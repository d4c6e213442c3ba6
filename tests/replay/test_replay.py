"""Every committed history replays under today's code, in Temporal's workflow sandbox."""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from tests.replay.recording import FOLDER
from workflows.kit.plugin import runner
from workflows.kit.refuse import Refusals
from workflows.recover import Recover
from workflows.refund import Refund
from workflows.takeaway import TakeawayOrder

HISTORIES = sorted(FOLDER.glob("*.json"))


def replayer() -> Replayer:
    return Replayer(
        workflows=[TakeawayOrder, Refund, Recover],
        workflow_runner=runner(sandboxed=True),
        interceptors=[Refusals()],
    )


def read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(path.stem, path.read_text())


def test_there_is_a_history_of_each_workflow() -> None:
    kinds = {
        read(path).events[0].workflow_execution_started_event_attributes.workflow_type.name
        for path in HISTORIES
    }
    assert kinds == {"TakeawayOrder", "Refund", "Recover"}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_it_replays(path: Path) -> None:
    await replayer().replay_workflow(read(path))


@pytest.mark.parametrize("path", HISTORIES[:1], ids=lambda path: path.stem)
async def test_a_changed_command_is_caught(path: Path) -> None:
    """The guard bites: an event more than the code would make fails the replay."""
    history = read(path)
    marker = next(
        event for event in history.events if event.HasField("marker_recorded_event_attributes")
    )
    events = [event for event in history.events if event is not marker]
    with pytest.raises(Exception, match=r"[Nn]ondeterminism|TMPRL1100"):
        await replayer().replay_workflow(WorkflowHistory("changed", events))
