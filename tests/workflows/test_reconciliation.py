"""Reconciliation replays: a bill that came late, funds that were damaged, and a morning's start."""

import base64
from pathlib import Path

import pytest
from temporalio.api.history.v1 import History
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from domain.contracts import reconciliation
from workflows.kit.codec import EncryptionCodec
from workflows.kit.plugin import plugin
from workflows.reconciliation import Reconciliation, Reconciliations

KEY = base64.b64encode(b"k" * 32).decode()
"""The histories' payloads were encrypted under it."""
HISTORIES = Path(__file__).parent / "histories"
IDS = {"reconciliation": "reconcile/s1-account/2026-11-22", "reconciliations": "reconcile"}


def history(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(IDS[name], (HISTORIES / f"{name}.json").read_text())


@pytest.mark.parametrize("name", IDS)
async def test_it_replays(name: str) -> None:
    replayer = Replayer(
        workflows=[Reconciliation, Reconciliations],
        plugins=[plugin(EncryptionCodec.from_text(KEY), sandboxed=True)],
    )
    replayed = await replayer.replay_workflow(history(name))
    assert replayed.replay_failure is None


def test_the_acts_of_a_day_are_those_of_the_contracts_in_their_order() -> None:
    acts = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in History(events=history("reconciliation").events).events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert acts[:2] == [reconciliation.IMPORT.name] * 2
    assert acts[-2:] == [reconciliation.GIVE_UP.name, reconciliation.COMPARE.name]
    assert set(acts[2:-2]) == {reconciliation.IMPORT.name}
