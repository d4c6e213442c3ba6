"""Who is offered which task: pure choice among free riders; making the offers is dispatch's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from domain.geo import Point, distance_meters


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a rider has met one task so far."""

    times: int
    """Offers of this task that the rider declined or let expire."""
    seconds_ago: float
    """Since the last of them ended."""
    barred: bool = False
    """The rider gave the task back, or support took it away: never again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeRider:
    """A rider on shift with neither task nor open offer."""

    rider_id: str
    place: Point
    quiet: bool = False
    """The last offer went unanswered and there has been no sign of life since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTask:
    """A task that looks for its rider."""

    task_id: str
    shop: Point
    pause_seconds: float
    """How long a rider who was asked is left alone before being asked again."""
    asked: Mapping[str, Asked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """This task is to be offered to this rider."""

    task_id: str
    rider_id: str


def match(tasks: Sequence[WaitingTask], riders: Sequence[FreeRider]) -> list[Match]:
    """At most one offer per task and per rider; tasks choose in the order given.

    A task takes whoever it asked least, the quiet last, then the nearest to the shop, then the
    smallest id; so nobody is asked twice before every free rider was asked once.
    """
    free = {rider.rider_id: rider for rider in riders}
    matches = []
    for task in tasks:
        ranks = [_rank(task, rider) for rider in free.values() if _may_ask(task, rider)]
        if ranks:
            *_, rider_id = min(ranks)
            del free[rider_id]
            matches.append(Match(task.task_id, rider_id))
    return matches


def _may_ask(task: WaitingTask, rider: FreeRider) -> bool:
    asked = task.asked.get(rider.rider_id)
    return asked is None or (not asked.barred and asked.seconds_ago >= task.pause_seconds)


def _rank(task: WaitingTask, rider: FreeRider) -> tuple[int, bool, int, str]:
    asked = task.asked.get(rider.rider_id)
    times = asked.times if asked else 0
    return times, rider.quiet, distance_meters(rider.place, task.shop), rider.rider_id
