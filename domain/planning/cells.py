"""A zone too large for one plan is planned cell by cell, so that deciding stays quick.

How a cell is planned is `tick`'s; here is only who belongs to which cell, and how what no cell
could serve is tried once more. A zone that fits one cell is decided by `tick` as it is.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from domain.planning import tick
from domain.planning.model import Decision, Job, Place, Rider, Routes

CELL_MAX = 200
"""Riders of a cell, and jobs: some 25 ms in the compiled kernel."""
ROUNDS_MAX = 4_000
"""Of ruin and recreate in all cells of a tick together."""
STANDBY_SHOPS = 300
"""Where a cell's idle riders may be sent: the shops that expect most."""
AMPLE = 2
"""Riders per job, above which who is near matters more than how many there are."""
AGAIN_MAX = 50
"""Jobs left by all cells that are tried once more in a tick."""
AGAIN_RIDERS = 6
"""Asked for each of them: the idle ones first, then the nearest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A part of a zone that is planned by itself."""

    riders: Sequence[Rider]
    jobs: Sequence[Job]
    shops: Mapping[str, Place]
    """Those of its jobs, and those that lie in it."""


class _Unit(NamedTuple):
    """What must not be parted: a rider and the jobs in his plan, or a job that is in nobody's."""

    spot: Place
    riders: tuple[Rider, ...]
    jobs: tuple[Job, ...]


def decide(
    now: float,
    riders: Sequence[Rider],
    jobs: Sequence[Job],
    routes: Routes,
    *,
    zone: tick.Zone,
    seed: int,
    demand: Mapping[str, float] | None = None,
    size: int = CELL_MAX,
) -> Decision:
    """As `tick.decide`, for a zone of any size, in cells of `size`."""
    near = [rider for rider in riders if rider.free_at <= now + zone.rules.horizon]
    cells = split(near, jobs, routes, zone.shops, size)
    rounds = min(zone.rounds, ROUNDS_MAX // len(cells))
    whole = Decision(routes={}, leave={}, collect=(), standby={})
    for cell in cells:
        part = zone._replace(shops=_worth(cell, demand), rounds=rounds)
        decision = tick.decide(
            now, cell.riders, cell.jobs, routes, zone=part, seed=seed, demand=demand
        )
        whole = _both(whole, decision)
    again = _again(whole, near, jobs, zone=zone, seed=seed) if len(cells) > 1 else None
    if again is None:
        return whole
    part = zone._replace(rounds=rounds)
    decision = tick.decide(now, again.riders, again.jobs, _plans(whole), zone=part, seed=seed)
    return _both(_without(whole, again, decision), decision)


def split(
    riders: Sequence[Rider],
    jobs: Sequence[Job],
    routes: Routes,
    shops: Mapping[str, Place],
    size: int = CELL_MAX,
) -> list[Cell]:
    """Cells with at most `size` riders and jobs; each rider and job is in exactly one.

    The jobs that a rider is bound for, has, or had in the last tick's routes go with him: what is
    planned already is lost at no border.
    """
    if len(riders) <= size and len(jobs) <= size:
        return [Cell(riders=riders, jobs=jobs, shops=shops)]
    whose = _owners(riders, jobs, routes)
    own: dict[str, list[Job]] = {rider.rider_id: [] for rider in riders}
    units = []
    for job in jobs:
        if job.order_id in whose:
            own[whose[job.order_id]].append(job)
        else:
            units.append(_Unit(shops[job.shop_id], (), (job,)))
    for rider in riders:
        has = tuple(own[rider.rider_id])
        units.append(_Unit(shops[has[0].shop_id] if has else rider.place, (rider,), has))
    return _split(units, [*shops.items()], shops, size)


def _owners(riders: Sequence[Rider], jobs: Sequence[Job], routes: Routes) -> dict[str, str]:
    """Per job, who has it in his plan."""
    by_id = {job.order_id: job for job in jobs}
    names = {rider.rider_id for rider in riders}
    whose = {
        order_id: name
        for name in names & routes.keys()
        for bundle in routes[name]
        for order_id in bundle
        if order_id in by_id and by_id[order_id].is_for(name)
    }
    whose |= {job.order_id: job.held_by for job in jobs if job.held_by in names}
    return whose | {one.bound_for: one.rider_id for one in riders if one.bound_for in by_id}


def _split(
    units: list[_Unit],
    around: Sequence[tuple[str, Place]],
    shops: Mapping[str, Place],
    size: int,
) -> list[Cell]:
    """Halve along the longer side until it fits."""
    riders = [rider for unit in units for rider in unit.riders]
    jobs = [job for unit in units for job in unit.jobs]
    if len(units) == 1 or (len(riders) <= size and len(jobs) <= size):
        theirs = {job.shop_id: shops[job.shop_id] for job in jobs}
        return [Cell(riders=riders, jobs=jobs, shops=dict(around) | theirs)]
    sides = [[unit.spot[axis] for unit in units] for axis in (0, 1)]
    axis = max((0, 1), key=lambda one: max(sides[one]) - min(sides[one]))
    units = sorted(units, key=lambda unit: (unit.spot[axis], unit.spot[1 - axis]))
    work = [unit for unit in units if unit.jobs]
    if len(riders) > AMPLE * len(jobs) or len(work) == 1:
        cut = _half([len(unit.riders) for unit in units])
        first, second, line = units[:cut], units[cut:], units[cut].spot[axis]
    else:
        cut = _half([len(unit.jobs) for unit in work])
        first, second, line = work[:cut], work[cut:], work[cut].spot[axis]
        share = sum(len(unit.jobs) for unit in first) / len(jobs)
        wanted = round(len(riders) * share) - sum(len(unit.riders) for unit in first)
        free = [unit for unit in units if not unit.jobs]
        with_first = min(max(wanted, 0), len(free))
        first, second = first + free[:with_first], second + free[with_first:]
    below = [shop for shop in around if shop[1][axis] < line]
    above = [shop for shop in around if shop[1][axis] >= line]
    return _split(first, below, shops, size) + _split(second, above, shops, size)


def _half(weights: Sequence[int]) -> int:
    """How many from the front weigh half of all; neither none nor all."""
    total, so_far = sum(weights), 0
    for n, weight in enumerate(weights[:-1]):
        so_far += weight
        if 2 * so_far >= total:
            return n + 1
    return len(weights) - 1


def _worth(cell: Cell, demand: Mapping[str, float] | None) -> Mapping[str, Place]:
    """The cell's shops, fewer if there are too many to weigh where the idle should wait."""
    if demand is None or len(cell.shops) <= STANDBY_SHOPS:
        return cell.shops
    most = heapq.nlargest(STANDBY_SHOPS, cell.shops, key=lambda shop: demand.get(shop, 0.0))
    kept = {*most, *(job.shop_id for job in cell.jobs)}
    return {shop_id: place for shop_id, place in cell.shops.items() if shop_id in kept}


def _again(
    whole: Decision,
    near: Sequence[Rider],
    jobs: Sequence[Job],
    *,
    zone: tick.Zone,
    seed: int,
) -> Cell | None:
    """Jobs that are in nobody's plan, and riders of any cell who may have them, with their plans.

    Which are tried goes round by `seed`, so that those nobody can help don't stop the others.
    """
    plans = _plans(whole)
    planned = {one for bundles in plans.values() for bundle in bundles for one in bundle}
    left = [job for job in jobs if not job.held_by and job.order_id not in planned]
    if not left:
        return None
    start = seed % len(left)
    by_id = {job.order_id: job for job in jobs}
    held: dict[str, list[str]] = {}
    for job in jobs:
        held.setdefault(job.held_by, []).append(job.order_id)
    chosen: dict[str, Rider] = {}
    work: dict[str, Job] = {}
    for job in (left[start:] + left[:start])[:AGAIN_MAX]:
        shop = zone.shops[job.shop_id]
        ranked = [
            (rider.rider_id in plans or bool(rider.bound_for), math.dist(shop, rider.place), n)
            for n, rider in enumerate(near)
            if job.is_for(rider.rider_id)
        ]
        for _, _, n in heapq.nsmallest(AGAIN_RIDERS, ranked):
            rider = near[n]
            his = {one for bundle in plans.get(rider.rider_id, ()) for one in bundle}
            his |= {*held.get(rider.rider_id, ()), rider.bound_for} & by_id.keys()
            if len(chosen) < CELL_MAX and len(work) + len(his) < CELL_MAX:
                chosen[rider.rider_id] = rider
                work |= {order_id: by_id[order_id] for order_id in sorted(his)}
        if ranked:
            work[job.order_id] = job
    if not chosen:
        return None
    return Cell(riders=[*chosen.values()], jobs=[*work.values()], shops=zone.shops)


def _plans(whole: Decision) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Each rider's bundles, those to be collected now included."""
    plans = dict(whole.routes)
    for one in whole.collect:
        plans[one.rider_id] = (one.order_ids, *plans.get(one.rider_id, ()))
    return plans


def _without(whole: Decision, again: Cell, decided: Decision) -> Decision:
    """What stands beside a second decision about some riders."""
    names = {rider.rider_id for rider in again.riders}
    return replace(
        whole,
        routes={who: plan for who, plan in whole.routes.items() if who not in names},
        leave={who: order_id for who, order_id in whole.leave.items() if who not in names},
        collect=[one for one in whole.collect if one.rider_id not in names],
        standby={who: shop for who, shop in whole.standby.items() if who not in decided.routes},
    )


def _both(one: Decision, other: Decision) -> Decision:
    """Two decisions about different riders."""
    return Decision(
        routes={**one.routes, **other.routes},
        leave={**one.leave, **other.leave},
        collect=[*one.collect, *other.collect],
        standby={**one.standby, **other.standby},
    )
