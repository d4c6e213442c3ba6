"""Plans against every plan there is, on cases small enough, and what must hold of any plan."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product

import pytest

from domain.planning.arrays import Plan, Prices, World
from domain.planning.layout import bundles_of, make_plan, make_scratch, make_world
from domain.planning.model import Rules
from domain.planning.routes import FORBIDDEN, route_cost
from domain.planning.search import improve
from tests.domain.planning.days import NOW, drives, moment

RULES = Rules()
NEAR = Rules(near=14)
PRICES = Prices()


def planned(
    seed: int, *, jobs: int, riders: int, shops: int, rounds: int, rules: Rules = RULES
) -> tuple[World, Plan, float]:
    crew, waiting, where = moment(seed, jobs=jobs, riders=riders, shops=shops)
    world = make_world(NOW, crew, waiting, where, drives=drives, rules=rules, prices=PRICES)
    plan = make_plan(crew, waiting, {})
    improve(world, plan, make_scratch(world, seed), rounds)
    left = sum(rider < 0 for rider in plan.rider)
    return world, plan, sum(plan.cost) + PRICES.left * left


def minutes(world: World, rider: int, bundles: Sequence[Sequence[int]]) -> float:
    """The price list, told once more and as plainly as possible."""
    clock, place, cost = world.start[rider], world.orders + rider, 0.0
    for n, bundle in enumerate(bundles):
        fits = len(bundle) == 1 or sum(world.load[one] for one in bundle) <= world.room[rider]
        if not fits or any(world.barred[one * world.riders + rider] for one in bundle):
            return FORBIDDEN
        cost += PRICES.bundle
        for m, shop in enumerate(dict.fromkeys(world.shop[order] for order in bundle)):
            leg = world.pace[rider] * world.drive[place * world.places + shop]
            served = clock + leg + 2
            goods = [world.ready[order] for order in bundle if world.shop[order] == shop]
            pickup = max(served, *goods)
            if pickup > world.off[rider]:
                return FORBIDDEN
            cost += PRICES.drive * leg + PRICES.idle * (pickup - served) * (n + m > 0)
            clock, place = pickup + 2, shop
        for order in bundle:
            drop = clock + world.pace[rider] * world.drive[place * world.places + order] + 2
            cost += drop - world.earliest[order] + world.toll[rider]
            cost += PRICES.overdue * max(0, drop - world.due[order])
            cost += PRICES.far_overdue * max(0, drop - world.last[order])
            clock, place = drop + 2, order
    return cost


def routes(world: World, orders: Sequence[int]) -> Iterator[list[list[int]]]:
    """Every way in which one rider can serve these orders."""
    for sequence in permutations(orders):
        for joins in product((False, True), repeat=max(0, len(sequence) - 1)):
            bundles = [[order] for order in sequence[:1]]
            for order, join in zip(sequence[1:], joins, strict=True):
                if join and all(are_near(world, order, one) for one in bundles[-1]):
                    bundles[-1].append(order)
                elif join:
                    break
                else:
                    bundles.append([order])
            else:
                yield bundles


def are_near(world: World, a: int, b: int) -> bool:
    """Whether two orders may be fetched together."""
    way = world.drive[world.shop[a] * world.places + world.shop[b]]
    return world.shop[a] == world.shop[b] or way <= world.near


def least(world: World) -> float:
    """The best of all plans."""
    best = FORBIDDEN
    for owners in product(range(-1, world.riders), repeat=world.orders):
        cost = PRICES.left * owners.count(-1)
        for rider in range(world.riders):
            own = [order for order, owner in enumerate(owners) if owner == rider]
            cost += min(minutes(world, rider, route) for route in routes(world, own))
        best = min(best, cost)
    return best


@pytest.mark.parametrize("rules", [RULES, NEAR])
def test_finds_the_best_plan_of_all_where_all_can_be_tried(rules: Rules) -> None:
    for seed in range(12):
        world, _, cost = planned(seed, jobs=4, riders=2, shops=2, rounds=60, rules=rules)
        assert abs(cost - least(world)) < 1e-6, seed


@pytest.mark.parametrize("rules", [RULES, NEAR])
def test_every_order_is_in_one_plan_or_left_and_costs_are_what_they_say(rules: Rules) -> None:
    together = 0
    for seed in range(4):
        world, plan, _ = planned(seed, jobs=25, riders=6, shops=5, rounds=40, rules=rules)
        seen = []
        for rider in range(world.riders):
            bundles = bundles_of(plan, rider)
            assert abs(plan.cost[rider] - minutes(world, rider, bundles)) < 1e-6
            assert plan.cost[rider] < FORBIDDEN
            for bundle in bundles:
                assert all(are_near(world, a, b) for a in bundle for b in bundle)
                together += len({world.shop[order] for order in bundle}) > 1
                assert all(plan.rider[order] == rider for order in bundle)
                seen += bundle
        assert sorted(seen) == [n for n, rider in enumerate(plan.rider) if rider >= 0]
    assert (together > 0) == (rules is NEAR)


def test_ruin_and_recreate_pays_and_the_same_seed_gives_the_same_plan() -> None:
    shape = {"jobs": 25, "riders": 6, "shops": 5}
    before = [planned(seed, **shape, rounds=0)[2] for seed in range(4)]
    after = [planned(seed, **shape, rounds=60)[2] for seed in range(4)]
    assert all(b <= a for a, b in zip(before, after, strict=True))
    assert sum(after) < 0.95 * sum(before)
    assert planned(3, **shape, rounds=60)[1] == planned(3, **shape, rounds=60)[1]


def test_an_order_that_nobody_reaches_in_his_shift_is_left() -> None:
    crew, waiting, where = moment(1, jobs=3, riders=2, shops=1)
    world = make_world(NOW, crew, waiting, where, drives=drives, rules=RULES, prices=PRICES)
    late = world._replace(ready=[world.ready[0], 2 * NOW, world.ready[2]])
    plan = make_plan(crew, waiting, {})
    improve(late, plan, make_scratch(late, 1), 20)
    assert plan.rider[1] == -1
    assert min(plan.rider[0], plan.rider[2]) >= 0


def test_a_route_costs_at_least_the_limit_once_it_reaches_it() -> None:
    world, plan, _ = planned(2, jobs=12, riders=3, shops=3, rounds=20)
    rider = max(range(3), key=lambda one: plan.size[one])
    stops, joins = plan.stops, plan.joins
    first = rider * (len(stops) // 3)
    last = first + plan.size[rider]
    whole = (world, rider, stops, joins, first, last, world.start[rider], world.orders + rider, 0.0)
    assert abs(route_cost(*whole, FORBIDDEN) - plan.cost[rider]) < 1e-6
    assert route_cost(*whole, plan.cost[rider] / 2) >= plan.cost[rider] / 2
