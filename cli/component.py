"""What a part of the stack is: how it is started, when it is ready, what it needs."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import httpx

READY_SECONDS = 90.0
"""How long a part may take to become ready, on a busy machine."""

STEP_SECONDS = 180.0
"""How long a one-shot command may take."""

Probe = Callable[[httpx.AsyncClient], Awaitable[str]]
"""Answers with an empty text when ready, else with the reason why not."""


class Tier(StrEnum):
    """What stops together; the services stop before the foundation they stand on."""

    FOUNDATION = "foundation"
    """Servers made by others, and the sandbox."""
    SERVICES = "services"
    """Paotui's own processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A child that stays."""

    name: str
    tier: Tier
    command: tuple[str, ...]
    ready: Probe
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path
    user: str = ""
    stop_signal: str = "TERM"
    pid_file: Path | None = None
    """Its own pid file; None: the launcher writes one."""
    after_ready: Callable[[], Awaitable[None]] | None = None
    ready_seconds: float = READY_SECONDS
    hint: str = "run `paotui doctor`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command that must end well before others may start."""

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path
    bound_seconds: float = STEP_SECONDS
    hint: str = "run `paotui doctor`"
