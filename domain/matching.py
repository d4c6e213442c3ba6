"""Who may be asked for which task, and how a zone hands out work; who is best is planned.

Pure rules: `domain.planning` chooses among those whom this file leaves.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from domain.geo import Point, contains, distance_meters

STEPS_MAX = 10
AT_ONCE = {"late": False, "plan_seconds": 0}
"""Rules of a zone that offers every task as soon as its search begins."""


FIRST_TURN = (0, False)
"""Of who was never asked for a task and isn't quiet."""


class Way(StrEnum):
    """How a zone hands out work."""

    DISPATCH = "dispatch"
    """派单: each task is offered to the rider whose plan it fits best."""
    GRAB = "grab"
    """抢单: everybody who may have it sees it; the first one has it."""
    BOTH = "both"
    """派单, and 抢单 for what has found nobody for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far and for how much more a search goes from a moment on."""

    after_seconds: float
    """Since the search began, of life."""
    radius_meters: float
    """From the rider to the shop."""
    bonus_fen: int = 0
    """On top of the rider's fee, borne by the platform."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRules:
    """What a zone has settled; spans are of life, in a site of any speed."""

    way: Way = Way.DISPATCH
    grab_after_seconds: float = 120
    """In `both`: since the search began."""
    late: bool = True
    """Commit as late as is safe, whatever `search_from` says; else as soon as the search begins."""
    plan_seconds: float = 30
    """Between plans."""
    ahead_minutes: float = 1
    """A rider is asked so long before he must leave at the latest."""
    meters_per_minute: float = 320
    """Of e-bikes, as the crow flies; other vehicles in proportion."""
    leg_minutes: float = 0
    """Every leg takes a multiple of this; 0: as long as it takes."""
    pickup_minutes: float = 4
    """At the shop, half before and half after the food is taken."""
    dropoff_minutes: float = 4
    near_minutes: float = 0
    """Between two shops whose orders are fetched together, riding; 0: only those of one shop."""
    promise_minutes: float = 40
    bearable_minutes: float = 90
    guaranteed_orders_per_hour: float = 0
    """Of a shift; riders who have earned less come first."""
    probation_fen: int = 10_000
    """Riders on probation carry nothing that costs more."""
    neighbours: tuple[str, ...] = ()
    """Zones whose riders may be asked too."""
    steps: tuple[Step, ...] = ()
    """By `after_seconds`; none: everybody, at no extra."""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "ZoneRules":
        """From a zone's row; raises TypeError or ValueError on what there is not."""
        steps = [Step(**step) for step in told.get("steps", ())]
        return cls(
            **{
                **told,
                "way": Way(told.get("way", Way.DISPATCH)),
                "neighbours": tuple(told.get("neighbours", ())),
                "steps": tuple(sorted(steps, key=lambda step: step.after_seconds)[:STEPS_MAX]),
            }
        )

    def step(self, searched_seconds: float) -> Step | None:
        """How far a search is that has taken so long; None: no limit, no bonus."""
        reached = [step for step in self.steps if step.after_seconds <= searched_seconds]
        return reached[-1] if reached else (self.steps[0] if self.steps else None)

    def is_open_to_all(self, searched_seconds: float) -> bool:
        """Whether the task is one to be grabbed by now."""
        if self.way is Way.BOTH:
            return searched_seconds >= self.grab_after_seconds
        return self.way is Way.GRAB


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
class Candidate:
    """A rider on shift, as far as it matters who may be asked."""

    rider_id: str
    place: Point
    free: bool = True
    """Has neither task nor open offer."""
    pausing: bool = False
    """Takes nothing new."""
    quiet: bool = False
    """The last offer went unanswered and there has been no sign of life since."""
    skills: frozenset[str] = frozenset()
    """Vehicle, boxes, licences: what tasks may need."""
    area: Sequence[Point] = ()
    """Where the rider works; empty: anywhere."""
    probation: bool = False
    room: int = 5
    """Of the box."""
    ends_seconds: float = math.inf
    """Until the shift is to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTask:
    """A task that looks for its rider."""

    shop: Point
    dropoff: Point
    pause_seconds: float
    """How long a rider who was asked is left alone before being asked again."""
    searched_seconds: float = 0
    value_fen: int = 0
    load: int = 1
    """Room it takes in a box."""
    ready_seconds: float = 0
    """Until its goods are; what is past: they are there."""
    needs: frozenset[str] = frozenset()
    asked: Mapping[str, Asked] = field(default_factory=dict)
    blocked: frozenset[str] = frozenset()
    """Riders whom shop or customer don't want, or who don't want them."""


def not_by(task: WaitingTask, riders: Sequence[Candidate], rules: ZoneRules) -> frozenset[str]:
    """Who may not have this task, or not now.

    Too small a box gets it only where no larger one is free. Unless it is open to all, nobody is
    asked twice before everybody free was asked once, and the quiet come last.
    """
    open_to_all = rules.is_open_to_all(task.searched_seconds)
    may = [rider for rider in riders if _may(task, rider, rules)]
    roomy = [rider for rider in may if rider.room >= task.load]
    if any(rider.free for rider in roomy):
        may = roomy
    free = [rider for rider in may if rider.free]
    if free and not open_to_all:
        first = min(_turn(task, rider) for rider in free)
        may = [rider for rider in may if not rider.free or _turn(task, rider) == first]
    return frozenset(rider.rider_id for rider in riders) - {rider.rider_id for rider in may}


def barring(
    riders: Sequence[Candidate], rules: ZoneRules
) -> Callable[[WaitingTask], frozenset[str]]:
    """`not_by` for many tasks of one moment; only what sets a task apart costs time.

    Tasks that differ in nothing that matters share an answer, and riders who are named by a task's
    own past are looked at one by one.
    """
    by_id = {rider.rider_id: rider for rider in riders}
    local = [rider for rider in riders if rider.area]
    leaving = [rider for rider in riders if rider.ends_seconds < math.inf]
    alike: dict[Hashable, tuple[frozenset[str], frozenset[str]]] = {}

    def common(task: WaitingTask) -> tuple[frozenset[str], frozenset[str]]:
        """Who is barred without a past, and who of the rest is free and not quiet."""
        step = rules.step(task.searched_seconds)
        kind = (
            task.needs,
            task.value_fen > rules.probation_fen,
            rules.is_open_to_all(task.searched_seconds),
            step and (step, task.shop),
            frozenset(rider.rider_id for rider in local if not _works_there(task, rider)),
            frozenset(rider.rider_id for rider in leaving if _too_late(task, rider)),
            task.load,
        )
        if kind not in alike:
            barred = not_by(replace(task, asked={}, blocked=frozenset()), riders, rules)
            first = (one for one in riders if one.free and not one.quiet)
            alike[kind] = barred, frozenset(one.rider_id for one in first) - barred
        return alike[kind]

    def barred_from(task: WaitingTask) -> frozenset[str]:
        barred, first = common(task)
        named = [by_id[one] for one in {*task.asked, *task.blocked} if one in by_id]
        if not named:
            return barred
        if first <= {rider.rider_id for rider in named}:
            return not_by(task, riders, rules)
        open_to_all = rules.is_open_to_all(task.searched_seconds)
        return barred | {
            rider.rider_id
            for rider in named
            if not _may(task, rider, rules)
            or (rider.free and not open_to_all and _turn(task, rider) != FIRST_TURN)
        }

    return barred_from


def _may(task: WaitingTask, rider: Candidate, rules: ZoneRules) -> bool:
    asked = task.asked.get(rider.rider_id)
    if asked is not None and (asked.barred or asked.seconds_ago < task.pause_seconds):
        return False
    if rider.pausing or rider.rider_id in task.blocked or not task.needs <= rider.skills:
        return False
    if rider.probation and task.value_fen > rules.probation_fen:
        return False
    if _too_late(task, rider) or not _works_there(task, rider):
        return False
    step = rules.step(task.searched_seconds)
    return step is None or distance_meters(rider.place, task.shop) <= step.radius_meters


def _too_late(task: WaitingTask, rider: Candidate) -> bool:
    return max(task.ready_seconds, 0) > rider.ends_seconds


def _works_there(task: WaitingTask, rider: Candidate) -> bool:
    return not rider.area or all(contains(rider.area, one) for one in (task.shop, task.dropoff))


def _turn(task: WaitingTask, rider: Candidate) -> tuple[int, bool]:
    asked = task.asked.get(rider.rider_id)
    return (asked.times if asked else 0), rider.quiet
