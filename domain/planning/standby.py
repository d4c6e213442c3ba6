"""Where riders without work wait: near shops that expect orders and have nobody close.

On flat arrays as `search`, and compiled as it is. A rider's *reach* of a shop is the minutes until
he could be there, `REACH_MAX` at most.
"""

from collections.abc import MutableSequence, Sequence
from typing import NamedTuple

REACH_MAX = 20.0
FAR_MINUTES = 15.0
"""Nobody is sent farther."""
DRIVE_PRICE = 0.3
"""Minutes of reach, weighted by demand, that must be saved per minute of driving."""
GAIN_LEAST = 0.5


class Ground(NamedTuple):
    """Riders who may be sent come first; then those who only count, then the shops."""

    idle: int
    riders: int
    shops: int
    places: int
    drive: Sequence[float]
    """Minutes from place to place, row by row."""
    busy: Sequence[float]
    """Per rider, minutes until he is free."""
    pace: Sequence[float]
    """Per rider, how many times as long as `drive` says every ride takes."""
    weight: Sequence[float]
    """Per shop, orders to be expected from it."""


class Cover(NamedTuple):
    """How soon each shop is reached, and by whom."""

    reach: MutableSequence[float]
    """Per rider and shop."""
    best: MutableSequence[float]
    by: MutableSequence[int]
    second: MutableSequence[float]
    """By anybody else."""
    sent: MutableSequence[int]
    """Per idle rider, the shop to wait at; -1: stays."""


def send(ground: Ground, cover: Cover) -> None:
    """Send the idle, one after another, to where most is gained."""
    for rider in range(ground.riders):
        for shop in range(ground.shops):
            leg = ground.drive[rider * ground.places + ground.riders + shop]
            way = ground.pace[rider] * leg
            cover.reach[rider * ground.shops + shop] = min(ground.busy[rider] + way, REACH_MAX)
    for shop in range(ground.shops):
        rank(ground, cover, shop)
    for rider in range(ground.idle):
        cover.sent[rider] = target(ground, cover, rider)
        if cover.sent[rider] >= 0:
            move(ground, cover, rider, cover.sent[rider])


def rank(ground: Ground, cover: Cover, shop: int) -> None:
    """Who reaches the shop first, and how soon he and the next one do."""
    best, by, second = REACH_MAX, -1, REACH_MAX
    for rider in range(ground.riders):
        reach = cover.reach[rider * ground.shops + shop]
        if reach < best:
            best, by, second = reach, rider, best
        elif reach < second:
            second = reach
    cover.best[shop], cover.by[shop], cover.second[shop] = best, by, second


def target(ground: Ground, cover: Cover, rider: int) -> int:
    """The shop where this rider would save most; -1 if that isn't worth the way."""
    most, chosen = GAIN_LEAST, -1
    pace = ground.pace[rider]
    row = rider * ground.places + ground.riders
    for goal in range(ground.shops):
        way = pace * ground.drive[row + goal]
        if way <= 0.0 or way > FAR_MINUTES:
            continue
        gain = -DRIVE_PRICE * way
        there = (ground.riders + goal) * ground.places + ground.riders
        for shop in range(ground.shops):
            others = cover.second[shop] if cover.by[shop] == rider else cover.best[shop]
            here = min(others, cover.reach[rider * ground.shops + shop])
            gain += ground.weight[shop] * (here - min(others, pace * ground.drive[there + shop]))
        if gain > most:
            most, chosen = gain, goal
    return chosen


def move(ground: Ground, cover: Cover, rider: int, goal: int) -> None:
    """Count the rider where he is going, for those who choose after him."""
    there = (ground.riders + goal) * ground.places + ground.riders
    for shop in range(ground.shops):
        way = ground.pace[rider] * ground.drive[there + shop]
        cover.reach[rider * ground.shops + shop] = min(way, REACH_MAX)
        rank(ground, cover, shop)
