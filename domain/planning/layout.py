"""From riders and jobs to the flat arrays of a search, and back."""

from collections.abc import Mapping, Sequence

from domain.planning.arrays import NEAR_MAX, STOPS_MAX, Plan, Prices, Scratch, World
from domain.planning.model import Drives, Job, Place, Rider, Routes, Rules
from domain.planning.search import DICE
from domain.planning.standby import Cover, Ground

FAINT_DEMAND = 0.02
"""What a shop without any order yet counts for."""


def make_world(
    now: float,
    riders: Sequence[Rider],
    jobs: Sequence[Job],
    shops: Mapping[str, Place],
    *,
    drives: Drives,
    rules: Rules,
    prices: Prices,
) -> World:
    """What is known at a tick."""
    asked = sorted({job.shop_id for job in jobs})
    at = {shop_id: len(jobs) + len(riders) + n for n, shop_id in enumerate(asked)}
    places = [job.place for job in jobs] + [rider.place for rider in riders]
    places += [shops[shop_id] for shop_id in asked]
    drive = drives(places)
    index = {job.order_id: n for n, job in enumerate(jobs)}
    shop = [at[job.shop_id] for job in jobs]
    ready = [float(max(job.ready_at, job.placed_at)) for job in jobs]
    handling = rules.pickup_half + rules.dropoff_half
    fastest = min((rider.pace for rider in riders), default=1.0)
    earliest = [
        float(ready[n] + handling + fastest * drive[shop[n] * len(places) + n])
        for n in range(len(jobs))
    ]
    return World(
        orders=len(jobs),
        riders=len(riders),
        places=len(places),
        prices=prices,
        pickup_half=rules.pickup_half,
        dropoff_half=rules.dropoff_half,
        drive=drive,
        near=float(rules.near),
        shop=shop,
        ready=ready,
        earliest=earliest,
        due=_not_before(earliest, jobs, rules.promise),
        last=_not_before(earliest, jobs, rules.bearable),
        start=[float(max(rider.free_at, now)) for rider in riders],
        off=[float(rider.off_at) for rider in riders],
        pace=[float(rider.pace) for rider in riders],
        anchor=[index.get(rider.bound_for, -1) for rider in riders],
        toll=[0.0 if rider.owed > 0 else float(prices.earned) for rider in riders],
        load=[job.load for job in jobs],
        room=[rider.room for rider in riders],
        barred=_barred(jobs, riders),
    )


def _barred(jobs: Sequence[Job], riders: Sequence[Rider]) -> list[int]:
    if not any(job.not_by or job.held_by for job in jobs):
        return []
    return [int(not job.is_for(rider.rider_id)) for job in jobs for rider in riders]


def _not_before(earliest: Sequence[float], jobs: Sequence[Job], limit: float) -> list[float]:
    """When each order is `limit` old, or could be handed over at all if that is later.

    An order whose goods take longer than the limit is late by nobody's fault: a price on that would
    only make it one to be left.
    """
    return [
        float(max(job.placed_at + limit, soonest))
        for job, soonest in zip(jobs, earliest, strict=True)
    ]


def make_plan(riders: Sequence[Rider], jobs: Sequence[Job], routes: Routes) -> Plan:
    """The last tick's routes, as far as their orders still wait, uncosted.

    Who is bound for a shop has his order there first, whatever the routes say.
    """
    index = {job.order_id: n for n, job in enumerate(jobs)}
    stops = [0] * (STOPS_MAX * len(riders))
    joins = [0] * (STOPS_MAX * len(riders))
    size = [0] * len(riders)
    owner = [-1] * len(jobs)
    bound = {rider.bound_for: rider.rider_id for rider in riders}
    for r, rider in enumerate(riders):
        bundles = routes.get(rider.rider_id, ())
        if rider.bound_for in index and rider.bound_for not in {
            one for b in bundles[:1] for one in b
        }:
            bundles = ((rider.bound_for,), *bundles)
        for bundle in bundles:
            known = [
                index[order_id]
                for order_id in bundle
                if order_id in index
                and owner[index[order_id]] < 0
                and bound.get(order_id, rider.rider_id) == rider.rider_id
                and (order_id == rider.bound_for or jobs[index[order_id]].is_for(rider.rider_id))
            ]
            known = _bound_first(known, jobs, index.get(rider.bound_for, -1))
            for k, order in enumerate(known[: STOPS_MAX - 1 - size[r]]):
                spot = r * STOPS_MAX + size[r]
                stops[spot], joins[spot] = order, int(k > 0)
                size[r] += 1
                owner[order] = r
    return Plan(
        stops=stops,
        joins=joins,
        way=[0.0] * len(stops),
        clock=[0.0] * len(stops),
        spent=[0.0] * len(stops),
        size=size,
        cost=[0.0] * len(riders),
        rider=owner,
    )


def _bound_first(bundle: list[int], jobs: Sequence[Job], bound: int) -> list[int]:
    """A bundle that begins at the shop which its rider is bound for, wherever the plan was to."""
    before = bundle[: bundle.index(bound)] if bound in bundle else ()
    if all(jobs[order].shop_id == jobs[bound].shop_id for order in before):
        return bundle
    return [bound, *(order for order in bundle if order != bound)]


def make_scratch(world: World, seed: int) -> Scratch:
    """Room for a search."""
    return Scratch(
        near=[0] * (NEAR_MAX * world.orders),
        bound=[0.0] * (NEAR_MAX * world.orders),
        stops=[0] * STOPS_MAX,
        joins=[0] * STOPS_MAX,
        old_stops=[0] * (STOPS_MAX * world.riders),
        old_joins=[0] * (STOPS_MAX * world.riders),
        old_size=[0] * world.riders,
        old_cost=[0.0] * world.riders,
        touched=[0] * (world.riders + 1),
        is_touched=[0] * world.riders,
        pool=[0] * world.orders,
        key=[0.0] * max(world.orders, NEAR_MAX),
        spot=[0, 0, 0],
        dice=[1 + seed % (DICE - 1)],
    )


def bundles_of(plan: Plan, rider: int) -> list[list[int]]:
    """A rider's plan, cut into bundles."""
    base = rider * STOPS_MAX
    bundles: list[list[int]] = []
    for k in range(base, base + plan.size[rider]):
        if plan.joins[k] == 1:
            bundles[-1].append(plan.stops[k])
        else:
            bundles.append([plan.stops[k]])
    return bundles


def make_ground(
    now: float,
    idle: Sequence[Rider],
    others: Sequence[Rider],
    *,
    routes: Routes,
    shops: Mapping[str, Place],
    demand: Mapping[str, float],
    drives: Drives,
    rules: Rules,
) -> Ground:
    """Who may be sent, who only counts, and what each shop expects."""
    riders = [*idle, *others]
    places = [rider.place for rider in riders] + [*shops.values()]
    return Ground(
        idle=len(idle),
        riders=len(riders),
        shops=len(shops),
        places=len(places),
        drive=drives(places),
        busy=[
            float(max(0.0, rider.free_at - now) + rules.standby_busy * _planned(routes, rider))
            for rider in riders
        ],
        pace=[float(rider.pace) for rider in riders],
        weight=[float(demand.get(shop_id, 0.0) + FAINT_DEMAND) for shop_id in shops],
    )


def _planned(routes: Routes, rider: Rider) -> int:
    return sum(len(bundle) for bundle in routes.get(rider.rider_id, ()))


def make_cover(ground: Ground) -> Cover:
    """Room for sending the idle."""
    return Cover(
        reach=[0.0] * (ground.riders * ground.shops),
        best=[0.0] * ground.shops,
        by=[0] * ground.shops,
        second=[0.0] * ground.shops,
        sent=[-1] * ground.idle,
    )
