"""What a rider's route costs, stop by stop. The kernel compiles this text, as `search`'s."""

from collections.abc import Sequence

from domain.planning.arrays import STOPS_MAX, Plan, World

FORBIDDEN = 1e9
"""The cost of what can't be done."""


def delay_cost(world: World, order: int, handed_over: float) -> float:
    """What an order handed over then costs, above what nobody could have avoided."""
    cost = handed_over - world.earliest[order]
    if handed_over > world.due[order]:
        cost += world.prices.overdue * (handed_over - world.due[order])
    if handed_over > world.last[order]:
        cost += world.prices.far_overdue * (handed_over - world.last[order])
    return cost


def serve(
    world: World,
    rider: int,
    stops: Sequence[int],
    joins: Sequence[int],
    first: int,
    last: int,
    clock: float,
    place: int,
) -> tuple[int, float, float, float]:
    """The bundle that begins at stop `first`, by a rider who is free at `clock` at `place`.

    Its shops are visited in the order of their first stops, then its doors. Returns where the next
    bundle begins, the cost of this one (FORBIDDEN: after the shift), what of it the way to its
    first shop and idle waits are, and when the rider is free again.
    """
    end = first + 1
    while end < last and joins[end] == 1:
        end += 1
    pace = world.pace[rider]
    way = further = 0.0
    idle = world.prices.idle if place < world.orders else 0.0
    for k in range(first, end):
        shop = world.shop[stops[k]]
        if visited(world, stops, first, k):
            continue
        ready = world.ready[stops[k]]
        for j in range(k + 1, end):
            if world.shop[stops[j]] == shop:
                ready = max(ready, world.ready[stops[j]])
        leg = pace * world.drive[place * world.places + shop]
        served = clock + leg + world.pickup_half
        pickup = max(served, ready)
        if pickup > world.off[rider]:
            return end, FORBIDDEN, 0.0, clock
        if k == first:
            way = world.prices.drive * leg + idle * (pickup - served)
        else:
            further += world.prices.drive * leg
            way += world.prices.idle * (pickup - served)
        clock = pickup + world.pickup_half
        place = shop
    cost = way + world.prices.bundle + world.toll[rider] * (end - first) + further
    for k in range(first, end):
        clock += pace * world.drive[place * world.places + stops[k]] + world.dropoff_half
        cost += delay_cost(world, stops[k], clock)
        clock += world.dropoff_half
        place = stops[k]
    return end, cost, way, clock


def visited(world: World, stops: Sequence[int], first: int, at: int) -> bool:
    """Whether a stop from `first` to before `at` is of the same shop as stop `at`."""
    for k in range(first, at):  # noqa: SIM110 - a generator can't be compiled
        if world.shop[stops[k]] == world.shop[stops[at]]:
            return True
    return False


def route_cost(
    world: World,
    rider: int,
    stops: Sequence[int],
    joins: Sequence[int],
    first: int,
    last: int,
    clock: float,
    place: int,
    cost: float,
    limit: float,
) -> float:
    """The stops from `first` to before `last` on top of `cost`; at `limit` it stops counting."""
    k = first
    while k < last and cost < limit:
        k, more, _, clock = serve(world, rider, stops, joins, k, last, clock, place)
        cost += more
        place = stops[k - 1]
    return cost


def note_route(world: World, plan: Plan, rider: int) -> None:
    """Cost a rider's plan, bundle by bundle."""
    k = rider * STOPS_MAX
    last = k + plan.size[rider]
    clock, place, cost = world.start[rider], world.orders + rider, 0.0
    while k < last:
        first = k
        k, more, way, clock = serve(world, rider, plan.stops, plan.joins, k, last, clock, place)
        cost += more
        place = plan.stops[k - 1]
        plan.way[first] = way
        plan.clock[k - 1] = clock
        plan.spent[k - 1] = cost
    plan.cost[rider] = cost


def trim(world: World, plan: Plan, rider: int) -> None:
    """Cost a plan that was made before; what can no longer be done leaves it, from its end."""
    base = rider * STOPS_MAX
    note_route(world, plan, rider)
    while plan.cost[rider] >= FORBIDDEN:
        plan.size[rider] -= 1
        plan.rider[plan.stops[base + plan.size[rider]]] = -1
        note_route(world, plan, rider)
