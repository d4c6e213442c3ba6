"""Payouts and statements replay: a batch booked, sent and followed, and a night's sites."""

from pathlib import Path

import pytest
from temporalio.api.history.v1 import History
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from domain.contracts import payouts, statements
from workflows.kit.plugin import runner
from workflows.kit.refuse import Refusals
from workflows.payout import Payout
from workflows.statements import Statements

HISTORIES = Path(__file__).parent / "histories"
ACTS = {
    "payout": [payouts.BOOK.name, payouts.SEND.name, payouts.FOLLOW.name],
    "statements": [statements.KEEP.name],
}


def history(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", ACTS)
async def test_it_replays(name: str) -> None:
    replayer = Replayer(
        workflows=[Payout, Statements],
        workflow_runner=runner(sandboxed=True),
        interceptors=[Refusals()],
    )
    replayed = await replayer.replay_workflow(history(name))
    assert replayed.replay_failure is None


@pytest.mark.parametrize("name", ACTS)
def test_the_acts_come_in_their_order(name: str) -> None:
    acts = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in History(events=history(name).events).events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert list(dict.fromkeys(acts)) == ACTS[name]
