"""The flat arrays that plans are searched on; lists here, numpy arrays in the compiled kernel.

Orders, riders and places are small integers. Place `o` is where order `o` goes, the riders' places
and the shops' follow. Times are minutes of one clock. What is in `World` never changes in a search.
"""

from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

STOPS_MAX = 12
"""Orders in one rider's plan."""
BUNDLE_MAX = 5
"""Orders picked up together."""
NEAR_MAX = 40
"""Riders asked for one order: those who could be at its shop first."""


class Prices(NamedTuple):
    """What a plan costs, in minutes of a customer's waiting."""

    overdue: float = 0.5
    """Per minute beyond the promise, on top of the minute itself."""
    far_overdue: float = 2.0
    """Per minute beyond the last bearable moment, on top again."""
    drive: float = 0.15
    """Per minute of driving to a shop."""
    bundle: float = 2.0
    """Per pick-up: the hand-over binds the rider."""
    idle: float = 0.3
    """Per minute of waiting at a shop between two bundles."""
    left: float = 300.0
    """For an order that is in nobody's plan."""
    earned: float = 0.3
    """For an order to a rider who has the guaranteed earnings already."""


class World(NamedTuple):
    """What is known at a tick."""

    orders: int
    riders: int
    places: int
    prices: Prices
    pickup_half: float
    """Minutes at the shop before the goods are taken, and again until the rider leaves."""
    dropoff_half: float
    drive: Sequence[float]
    """Minutes from place to place, row by row."""
    near: float
    """Minutes between two shops of one bundle at most; 0: a bundle is of one shop."""
    shop: Sequence[int]
    """Per order, the place of its shop."""
    ready: Sequence[float]
    earliest: Sequence[float]
    """When the order could be handed over if the fastest had stood at the shop all the time."""
    due: Sequence[float]
    last: Sequence[float]
    start: Sequence[float]
    """Per rider, when the plan begins; its place is `orders + rider`."""
    off: Sequence[float]
    """No pick-up after it."""
    pace: Sequence[float]
    """Per rider, how many times as long as `drive` says every ride takes."""
    anchor: Sequence[int]
    """Per rider, the order whose shop he is bound for and which stays his; -1: none."""
    toll: Sequence[float]
    """Per rider, for each order given to him."""
    load: Sequence[int]
    """Per order, of a rider's room."""
    room: Sequence[int]
    """Per rider, for what is carried together."""
    barred: Sequence[int]
    """Per order and rider, 1: not this one; empty: nobody is barred from anything."""


class Plan(NamedTuple):
    """Each rider's stops: `stops[rider * STOPS_MAX + k]`, and what they cost."""

    stops: MutableSequence[int]
    joins: MutableSequence[int]
    """1: picked up together with the stop before."""
    way: MutableSequence[float]
    """At a bundle's first stop: what driving to its shop and waiting there cost."""
    clock: MutableSequence[float]
    """At a bundle's last stop: when the rider is free again."""
    spent: MutableSequence[float]
    """At a bundle's last stop: what the route costs up to it."""
    size: MutableSequence[int]
    """Per rider, how many."""
    cost: MutableSequence[float]
    rider: MutableSequence[int]
    """Per order, whose it is; -1: nobody's."""


class Scratch(NamedTuple):
    """Room to work in; holds nothing from one call to the next but the dice."""

    near: MutableSequence[int]
    """Per order, `NEAR_MAX` riders, the soonest first; -1: no more."""
    bound: MutableSequence[float]
    """What giving the order to that rider costs at least."""
    stops: MutableSequence[int]
    joins: MutableSequence[int]
    old_stops: MutableSequence[int]
    old_joins: MutableSequence[int]
    old_size: MutableSequence[int]
    old_cost: MutableSequence[float]
    touched: MutableSequence[int]
    is_touched: MutableSequence[int]
    pool: MutableSequence[int]
    key: MutableSequence[float]
    spot: MutableSequence[int]
    """Rider, position and kind of the best insertion found."""
    dice: MutableSequence[int]
