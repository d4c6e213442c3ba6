"""Histories as committed JSON (decrypted: ids, codes and times only), and their fingerprints.

`python -m tests.replay.recording NAME WORKFLOW_ID` keeps a run of the stack that is up.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import PayloadCodec

from services.settings import settings
from workflows.kit.connect import connect

FOLDER = Path(__file__).parent / "histories"


def payloads(message: Message) -> Iterator[Payload]:
    """Every payload inside a message."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = [one for one in value.values() if isinstance(one, Message)]
        elif isinstance(value, Message):
            inner = [value]
        else:
            inner = list(value)
        for one in inner:
            yield from payloads(one)


async def decrypted(client: Client, workflow_id: str) -> WorkflowHistory:
    """A run's history with its payloads in clear."""
    codec = client.data_converter.payload_codec
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    for event in history.events:
        await _open(event, codec)
    return history


async def _open(event: HistoryEvent, codec: PayloadCodec | None) -> None:
    for payload in payloads(event):
        if codec is not None:
            [plain] = await codec.decode([payload])
            payload.CopyFrom(plain)


def fingerprint(history: WorkflowHistory) -> str:
    """A hash over what the code decided: acts, timers' lengths, messages, in their order."""
    steps = [step for event in history.events if (step := _step(event))]
    return hashlib.sha256("\n".join(steps).encode()).hexdigest()[:16]


def _step(event: HistoryEvent) -> str:
    kind = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_")
    if kind.startswith("WORKFLOW_TASK"):
        return ""
    more: object = ""
    if event.HasField("marker_recorded_event_attributes"):
        details = event.marker_recorded_event_attributes.details
        more = [payload.data for payload in details["data"].payloads]
        more = str(more).split('"activity_type":"')[-1].split('"')[0]
    elif event.HasField("timer_started_event_attributes"):
        more = event.timer_started_event_attributes.start_to_fire_timeout.ToSeconds()
    elif event.HasField("activity_task_scheduled_event_attributes"):
        more = event.activity_task_scheduled_event_attributes.activity_type.name
    elif event.HasField("workflow_execution_signaled_event_attributes"):
        more = event.workflow_execution_signaled_event_attributes.signal_name
    elif event.HasField("workflow_execution_update_accepted_event_attributes"):
        accepted = event.workflow_execution_update_accepted_event_attributes
        more = accepted.accepted_request.input.name
    return f"{kind} {more}".strip()


async def _record(name: str, workflow_id: str) -> None:
    client = await connect(settings())
    history = await decrypted(client, workflow_id)
    (FOLDER / f"{name}.json").write_text(history.to_json())
    sys.stdout.write(f"{name}: {len(history.events)} events, {fingerprint(history)}\n")


if __name__ == "__main__":
    asyncio.run(_record(sys.argv[1], sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # sdk-python #300
