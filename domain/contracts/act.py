"""What an activity's contract is: a pinned wire name, one dataclass in, one out."""

from dataclasses import dataclass
from typing import Generic, TypeVar

In = TypeVar("In")
Out_co = TypeVar("Out_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Act(Generic[In, Out_co]):
    """One durable act; `name` is what histories say for ever."""

    name: str
    takes: type[In]
    gives: type[Out_co]


ALL: dict[str, Act[object, object]] = {}
"""Every contract by name; a test proves that each has a registered activity."""


def act(name: str, takes: type[In], gives: type[Out_co]) -> Act[In, Out_co]:
    """Declare a contract."""
    contract = Act(name, takes, gives)
    ALL[name] = contract  # type: ignore[assignment]
    return contract
