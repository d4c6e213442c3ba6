"""The three results of asking somebody else for something; a timeout is never a refusal (law 2)."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Generic[T]):
    """The other side did it, and says so with a verified answer."""

    value: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The other side refused for certain; nothing happened there."""

    code: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """It may or may not have happened: query until settled, never guess."""

    reason: str


Outcome = Accepted[T] | Rejected | Unknown
