"""One tick: plans are improved, then what can't wait for the next tick is decided."""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from domain.planning import search, standby
from domain.planning.arrays import Plan, Prices, Scratch, World
from domain.planning.layout import (
    bundles_of,
    make_cover,
    make_ground,
    make_plan,
    make_scratch,
    make_world,
)
from domain.planning.model import Collect, Decision, Drives, Job, Place, Rider, Routes, Rules
from domain.planning.standby import Cover, Ground


class Engine(NamedTuple):
    """The two searches on flat arrays: as they are written, or compiled."""

    improve: Callable[[World, Plan, Scratch, int], None]
    send: Callable[[Ground, Cover], None]


PLAIN = Engine(search.improve, standby.send)


class Zone(NamedTuple):
    """What stays the same from tick to tick."""

    shops: Mapping[str, Place]
    drives: Drives
    rules: Rules = Rules()
    prices: Prices = Prices()
    rounds: int = 250
    """Of ruin and recreate at each tick."""
    engine: Engine = PLAIN


def decide(
    now: float,
    riders: Sequence[Rider],
    jobs: Sequence[Job],
    routes: Routes,
    *,
    zone: Zone,
    seed: int,
    demand: Mapping[str, float] | None = None,
) -> Decision:
    """Plan anew from the routes of the last tick, and let go of what can't wait for the next.

    `demand` is what each shop may expect, in any unit; without it nobody is sent to wait. The same
    arguments give the same decision.
    """
    known = [rider for rider in riders if rider.free_at <= now + zone.rules.horizon]
    world = make_world(
        now,
        known,
        jobs,
        zone.shops,
        drives=zone.drives,
        rules=zone.rules,
        prices=zone.prices,
    )
    plan = make_plan(known, jobs, routes)
    zone.engine.improve(world, plan, make_scratch(world, seed), zone.rounds)
    leave, collect = {}, []
    ahead = {}
    for r, rider in enumerate(known):
        bundles = bundles_of(plan, r)
        if not bundles:
            continue
        if rider.free_at <= now:
            first = tuple(jobs[order].order_id for order in bundles[0])
            pickup_at, last_moment = _timing(world, r, bundles[0], zone.rules)
            if last_moment and rider.bound_for:
                collect.append(
                    Collect(rider_id=rider.rider_id, order_ids=first, pickup_at=pickup_at)
                )
                bundles = bundles[1:]
            elif last_moment:
                soonest = min(_at_once(world, bundles[0]), key=lambda order: world.ready[order])
                leave[rider.rider_id] = jobs[soonest].order_id
        ahead[rider.rider_id] = tuple(
            tuple(jobs[order].order_id for order in bundle) for bundle in bundles
        )
    sent = _stand_by(now, known, ahead, demand, zone) if demand is not None else {}
    return Decision(routes=ahead, leave=leave, collect=collect, standby=sent)


def _at_once(world: World, bundle: Sequence[int]) -> list[int]:
    """Those of its first shop that come before any other's: one of them may be left for."""
    first = world.shop[bundle[0]]
    return [*takewhile(lambda order: world.shop[order] == first, bundle)]


def _timing(world: World, rider: int, bundle: Sequence[int], rules: Rules) -> tuple[float, bool]:
    """When the first shop's can be taken, and whether beginning a tick later would delay that."""
    ready = max(
        world.ready[order] for order in bundle if world.shop[order] == world.shop[bundle[0]]
    )
    way = world.drive[(world.orders + rider) * world.places + world.shop[bundle[0]]]
    leg = world.pace[rider] * way
    served = float(world.start[rider] + leg + rules.pickup_half)
    return max(served, ready), served + rules.tick > ready


def _stand_by(
    now: float, riders: Sequence[Rider], routes: Routes, demand: Mapping[str, float], zone: Zone
) -> dict[str, str]:
    """Who goes where to wait."""
    near = [
        rider
        for rider in riders
        if rider.free_at <= now + standby.FAR_MINUTES
        and rider.off_at > now + zone.rules.standby_left
    ]
    idle = [
        rider
        for rider in near
        if rider.rider_id not in routes and rider.free_at <= now and not rider.bound_for
    ]
    if not idle:
        return {}
    chosen = {rider.rider_id for rider in idle}
    others = [rider for rider in near if rider.rider_id not in chosen]
    ground = make_ground(
        now,
        idle,
        others,
        routes=routes,
        shops=zone.shops,
        demand=demand,
        drives=zone.drives,
        rules=zone.rules,
    )
    cover = make_cover(ground)
    zone.engine.send(ground, cover)
    names = [*zone.shops]
    return {
        rider.rider_id: names[shop]
        for rider, shop in zip(idle, cover.sent, strict=True)
        if shop >= 0
    }
