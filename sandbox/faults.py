"""Scripted misbehaviour of any channel: which request or callback goes wrong next, and how."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.store import Store

MAX_FAULTS = 1000
MAX_DELAY_SECONDS = 600.0

Operation = Literal[
    "create",
    "query",
    "close",
    "capture",
    "refund",
    "refund_query",
    "split",
    "split_query",
    "unfreeze",
    "split_return",
    "split_return_query",
    "receivers",
    "bill",
    "bill_download",
    "certificates",
    "disputes",
    "transfer",
    "transfer_query",
    "notify",
]
"""What is asked of a gateway, in one language for all channels; `notify` is its callback."""


class Blemish(StrEnum):
    """A way in which a signature can be wrong."""

    BAD_SIGNATURE = "bad_signature"
    """The signature is of other bytes."""
    STALE_TIMESTAMP = "stale_timestamp"
    """Rightly signed, but twice the allowed skew ago."""
    WRONG_SERIAL = "wrong_serial"
    """Rightly signed, under the name of a key nobody knows."""
    SIGNTEST = "signtest"
    """WeChat's own probe: it must fail verification."""


class Fault(StrEnum):
    """What can go wrong."""

    DROP_BEFORE = "drop_before"
    """The connection is cut and nothing has happened."""
    DROP_AFTER_COMMIT = "drop_after_commit"
    """The connection is cut after the effect."""
    DELAY = "delay"
    """The request takes effect, or the callback leaves, `delay_seconds` later."""
    HTTP_500 = "http_500"
    """The gateway broke."""
    HTTP_502 = "http_502"
    """Somebody in front of it broke."""
    HTTP_429 = "http_429"
    """Too many requests."""
    HTTP_202 = "http_202"
    """Accepted, outcome unknown: repeat with the same parameters."""
    SYSTEM_ERROR = "system_error"
    """The channel's own word for "I don't know", rightly signed: repeat or query."""
    BAD_SIGNATURE = Blemish.BAD_SIGNATURE.value
    """The answer or callback carries a wrong signature."""
    STALE_TIMESTAMP = Blemish.STALE_TIMESTAMP.value
    """It was signed too long ago."""
    WRONG_SERIAL = Blemish.WRONG_SERIAL.value
    """It names a key nobody knows."""
    SIGNTEST = Blemish.SIGNTEST.value
    """It is WeChat's probe."""
    LOST = "lost"
    """The callback is never sent."""
    DUPLICATE = "duplicate"
    """The callback is sent `count` times at once."""


BLEMISHES = {fault: Blemish(fault.value) for fault in Fault if fault.value in set(Blemish)}
"""Faults that spoil a signature and change nothing else."""
_BREAKDOWNS = frozenset(
    {Fault.HTTP_500, Fault.HTTP_502, Fault.HTTP_429, Fault.HTTP_202, Fault.SYSTEM_ERROR}
)
_CALLBACKS_ONLY = frozenset({Fault.LOST, Fault.DUPLICATE})
_CALLBACKS = frozenset({Fault.DELAY, *BLEMISHES, *_CALLBACKS_ONLY})
_REQUESTS = frozenset(Fault) - _CALLBACKS_ONLY


class FaultScript(BaseModel):
    """A fault, whom it meets, and how often; durations are real seconds, whatever the speed."""

    model_config = ConfigDict(extra="forbid")

    channel: str | None = None
    operation: Operation | Literal["*"]
    mchid: str | None = None
    out_trade_no: str | None = None
    out_refund_no: str | None = None
    fault: Fault
    after_commit: bool | None = None
    """For `http_*` and `system_error`: whether the effect happened; by default under `http_202`
    and `system_error` only."""
    delay_seconds: float = Field(default=0.0, ge=0, le=MAX_DELAY_SECONDS)
    count: int = Field(default=2, ge=1, le=200)
    times: int | None = Field(default=1, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.operation != "*" and self.fault not in _possible(self.operation):
            raise ValueError(f"{self.operation} cannot suffer {self.fault}")
        if (self.fault is Fault.DELAY) != (self.delay_seconds > 0):
            raise ValueError("delay_seconds belongs to the fault delay")
        return self

    @property
    def is_effective(self) -> bool:
        """Whether the request takes effect in spite of the fault."""
        if self.fault in _BREAKDOWNS:
            by_default = self.fault in {Fault.HTTP_202, Fault.SYSTEM_ERROR}
            return by_default if self.after_commit is None else self.after_commit
        return self.fault is not Fault.DROP_BEFORE


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """A request or callback that a fault may meet."""

    channel: str
    operation: Operation
    mchid: str
    out_trade_no: str | None = None
    out_refund_no: str | None = None


@dataclass(slots=True)
class _Armed:
    script: FaultScript
    times_left: int | None


class Faults:
    """The armed faults, oldest first; kept in memory because every request asks."""

    def __init__(self, store: Store) -> None:
        """Load what an earlier process left armed."""
        self._store = store
        self._armed = {
            row["id"]: _Armed(FaultScript.model_validate_json(row["script"]), row["times_left"])
            for row in store.all("SELECT * FROM faults ORDER BY id")
        }

    def arm(self, script: FaultScript) -> int | None:
        """Arm a fault; its id, or None when too many are armed."""
        if len(self._armed) >= MAX_FAULTS:
            return None
        row = {"script": script.model_dump_json(), "times_left": script.times}
        fault_id = self._store.insert("faults", row)
        self._armed[fault_id] = _Armed(script, script.times)
        return fault_id

    def disarm(self, fault_id: int | None = None) -> int:
        """Disarm one fault, or all; how many that were."""
        doomed = [key for key in self._armed if fault_id in {None, key}]
        for key in doomed:
            del self._armed[key]
            self._store.run("DELETE FROM faults WHERE id = :id", id=key)
        return len(doomed)

    def armed(self) -> list[tuple[int, int | None, FaultScript]]:
        """Return (id, times left, script) of every armed fault."""
        return [(key, armed.times_left, armed.script) for key, armed in self._armed.items()]

    def draw(self, meeting: Meeting) -> FaultScript | None:
        """Return the fault that strikes here, if one does, and count it."""
        for key, armed in self._armed.items():
            if not _meets(armed.script, meeting):
                continue
            if random.random() >= armed.script.probability:  # noqa: S311 (no secret)
                continue
            if armed.times_left is not None:
                armed.times_left -= 1
                if armed.times_left == 0:
                    self.disarm(key)
                else:
                    self._store.run(
                        "UPDATE faults SET times_left = :left WHERE id = :id",
                        left=armed.times_left,
                        id=key,
                    )
            return armed.script
        return None


def _possible(operation: Operation) -> frozenset[Fault]:
    return _CALLBACKS if operation == "notify" else _REQUESTS


def _meets(script: FaultScript, meeting: Meeting) -> bool:
    return (
        script.operation in {"*", meeting.operation}
        and script.channel in {None, meeting.channel}
        and script.fault in _possible(meeting.operation)
        and script.mchid in {None, meeting.mchid}
        and script.out_trade_no in {None, meeting.out_trade_no}
        and script.out_refund_no in {None, meeting.out_refund_no}
    )
