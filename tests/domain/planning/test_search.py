"""Plans against every plan there is, on cases small enough, and what must hold of any plan."""

from collections.abc import Iterator, Sequence
from itertools import permutations, product

from domain.planning.arrays import Plan, Prices, World
from domain.planning.layout import bundles_of, make_plan, make_scratch, make_world
from domain.planning.model import Rules
from domain.planning.routes import FORBIDDEN, route_cost
from domain.planning.search import improve
from tests.domain.planning.days import NOW, drives, moment

RULES = Rules()
PRICES = Prices()


def planned(
    seed: int, *, jobs: int, riders: int, shops: int, rounds: int
) -> tuple[World, Plan, float]:
    crew, waiting, where = moment(seed, jobs=jobs, riders=riders, shops=shops)
    world = make_world(NOW, crew, waiting, where, drives=drives, rules=RULES, prices=PRICES)
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
        shop = world.shop[bundle[0]]
        leg = world.pace[rider] * world.drive[place * world.places + shop]
        served = clock + leg + 2
        pickup = max(served, *(world.ready[order] for order in bundle))
        if pickup > world.off[rider]:
            return FORBIDDEN
        cost += PRICES.drive * leg + PRICES.bundle + PRICES.idle * (pickup - served) * (n > 0)
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
                if join and world.shop[order] == world.shop[bundles[-1][0]]:
                    bundles[-1].append(order)
                elif join:
                    break
                else:
                    bundles.append([order])
            else:
                yield bundles


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


def test_finds_the_best_plan_of_all_where_all_can_be_tried() -> None:
    for seed in range(12):
        world, _, cost = planned(seed, jobs=4, riders=2, shops=2, rounds=60)
        assert abs(cost - least(world)) < 1e-6, seed


def test_every_order_is_in_one_plan_or_left_and_costs_are_what_they_say() -> None:
    for seed in range(4):
        world, plan, _ = planned(seed, jobs=25, riders=6, shops=5, rounds=40)
        seen = []
        for rider in range(world.riders):
            bundles = bundles_of(plan, rider)
            assert abs(plan.cost[rider] - minutes(world, rider, bundles)) < 1e-6
            assert plan.cost[rider] < FORBIDDEN
            for bundle in bundles:
                assert len({world.shop[order] for order in bundle}) == 1
                assert all(plan.rider[order] == rider for order in bundle)
                seen += bundle
        assert sorted(seen) == [n for n, rider in enumerate(plan.rider) if rider >= 0]


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
