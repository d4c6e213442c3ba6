"""A part of the outside world, as the sandbox puts it together with the others."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.types import ASGIApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One counterpart on its real wire protocol.

    `run` is its clockwork (notices, endings) until it is cancelled.
    """

    hosts: tuple[str, ...]
    """Real host names served over TLS and known to the CONNECT proxy."""
    gateway: ASGIApp
    controls: tuple[APIRouter, ...]
    """Their routes begin with `/control`."""
    run: Callable[[], Coroutine[Any, Any, None]]
