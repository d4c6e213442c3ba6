"""Contracts of dispatch: one matcher per zone."""

from dataclasses import dataclass

from domain.contracts.act import act


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """The input of the `Dispatch` workflow and of its matcher."""

    site_id: str
    zone_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The matcher was asked to stop after `ticks` rounds."""

    ticks: int


MATCH = act("dispatch.match", Zone, Stopped)
