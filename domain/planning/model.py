"""What a planner is told and what it answers: riders, jobs, decisions. Times in minutes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Place = tuple[float, float]
"""On any plane or sphere: only `Drives` and the split into cells look into it."""
Drives = Callable[[Sequence[Place]], Sequence[float]]
"""Minutes from each place to each, row by row."""
Routes = Mapping[str, tuple[tuple[str, ...], ...]]
"""Per rider the bundles to be picked up, each with its orders as they are handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An order that is not picked up yet."""

    order_id: str
    shop_id: str
    place: Place
    """Where it goes."""
    placed_at: float
    ready_at: float
    load: int = 1
    """Room it takes in a rider's box."""
    not_by: frozenset[str] = frozenset()
    """Riders who may not have it, or not now."""
    held_by: str = ""
    """The rider who has it already: nobody else may."""

    def is_for(self, rider_id: str) -> bool:
        """Whether this rider may have it."""
        return rider_id == self.held_by if self.held_by else rider_id not in self.not_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Rider:
    """Somebody who is on shift or soon will be."""

    rider_id: str
    place: Place
    """Where the rider is, or will be when free."""
    free_at: float
    """On shift, there, and with nothing left to hand over."""
    off_at: float
    """No pick-up after it."""
    bound_for: str = ""
    """The order whose shop the rider is on the way to or stands at; `place` is that shop."""
    owed: float = 0.0
    """Orders still missing for the guaranteed earnings of the shift."""
    room: int = 5
    """Of the box; an order with a greater load goes alone."""
    pace: float = 1.0
    """How many times as long as the zone's riders usually take for a ride."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for a whole zone, in minutes."""

    pickup_half: float = 2.0
    """At the shop before the goods are taken, and again until the rider leaves."""
    dropoff_half: float = 2.0
    """The same at the customer's door."""
    promise: float = 40.0
    """From the order to its hand-over."""
    bearable: float = 90.0
    """The same, at the very last."""
    near: float = 0.0
    """Between two shops of one bundle, riding; 0: a bundle is of one shop."""
    tick: float = 1.0
    """Until the next decision."""
    horizon: float = 45.0
    """Riders whose shift begins, or who are free, within it are planned for."""
    standby_left: float = 20.0
    """Nobody is sent to wait with less of the shift left."""
    standby_busy: float = 12.0
    """What each planned order adds to the time until a rider is free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """The rider takes these orders and hands them over as listed; nothing changes that any more."""

    rider_id: str
    order_ids: tuple[str, ...]
    pickup_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a tick has decided."""

    routes: Routes
    """What is still open, for the next tick to begin with."""
    leave: Mapping[str, str]
    """Riders who set off now, each for the shop of this order, which stays theirs."""
    collect: Sequence[Collect]
    standby: Mapping[str, str]
    """Riders who go to this shop to wait there."""
