"""Every committed history replays under today's code, in Temporal's workflow sandbox."""

from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from tests.replay.recording import FOLDER, payloads
from workflows.after_sale import AfterSale
from workflows.kit.plugin import runner
from workflows.kit.refuse import Refusals
from workflows.recover import Recover
from workflows.refund import Refund
from workflows.settlement import Settlement
from workflows.takeaway import TakeawayOrder
from workflows.ticket import Ticket
from workflows.tip import Tip

WORKFLOWS: list[type] = [TakeawayOrder, Refund, Recover, Ticket, AfterSale, Settlement, Tip]
HISTORIES = sorted(FOLDER.glob("*.json"))


def replayer() -> Replayer:
    return Replayer(
        workflows=WORKFLOWS,
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
    assert kinds == {kind.__name__ for kind in WORKFLOWS}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_it_replays(path: Path) -> None:
    await replayer().replay_workflow(read(path))


async def test_a_renamed_act_is_caught() -> None:
    """The guard bites: code that does something else than was recorded fails the replay."""
    history = read(FOLDER / "takeaway-completed.json")
    [marker] = [
        payload
        for event in history.events
        for payload in payloads(event)
        if b"orders.mark_accepted" in payload.data
    ]
    marker.data = marker.data.replace(b"orders.mark_accepted", b"orders.mark_rejected")
    with pytest.raises(workflow.NondeterminismError):
        await replayer().replay_workflow(history)
