"""The three results of asking somebody else for something; a timeout is never a refusal (law 2)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Refusal(StrEnum):
    """What a refusal means for those who asked."""

    NOT_FOUND = "not_found"
    """The number is unknown there: nothing happened under it yet."""
    LATER = "later"
    """Time, or somebody, may mend it: ask again under the same number."""
    NEVER = "never"
    """No repetition will be answered otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(Generic[T]):
    """The other side did it, and says so with a verified answer."""

    value: T


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The other side refused for certain; nothing happened there."""

    code: str
    """The channel's own, as its documents list it."""
    message: str = ""
    kind: Refusal = Refusal.LATER


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """It may or may not have happened: query until settled, never guess."""

    reason: str


Outcome = Accepted[T] | Rejected | Unknown
