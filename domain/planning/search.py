"""Plans of least cost: cheapest insertion, then ruin and recreate. Compiled by the kernel as it is.

Only numbers, flat arrays and each other's functions here. The same seed gives the same plan.
"""

from domain.planning.arrays import BUNDLE_MAX, NEAR_MAX, STOPS_MAX, Plan, Scratch, World

FORBIDDEN = 1e9
DICE = 2147483647
APART, BEHIND, BEFORE = 0, 1, 2
"""How an order enters a plan: a bundle of its own, behind a stop of its shop, before one."""


def delay_cost(world: World, order: int, handed_over: float) -> float:
    """What an order handed over then costs, above what nobody could have avoided."""
    cost = handed_over - world.earliest[order]
    if handed_over > world.due[order]:
        cost += world.prices.overdue * (handed_over - world.due[order])
    if handed_over > world.last[order]:
        cost += world.prices.far_overdue * (handed_over - world.last[order])
    return cost


def serve(world: World, rider: int, stops, joins, first: int, last: int, clock: float, place: int, later: bool):
    """One bundle from `first` on by a rider free at `clock` at `place`.

    Returns where the next bundle begins, the cost of this one (FORBIDDEN: too late for the shift),
    what of it the way to the shop and the wait there are, and when the rider is free again.
    """
    shop = world.shop[stops[first]]
    ready = world.ready[stops[first]]
    end = first + 1
    while end < last and joins[end] == 1:
        ready = max(ready, world.ready[stops[end]])
        end += 1
    leg = world.drive[place * world.places + shop]
    served = clock + leg + world.pickup_half
    pickup = max(served, ready)
    if pickup > world.off[rider]:
        return end, FORBIDDEN, 0.0, clock
    way = world.prices.drive * leg
    if later:
        way += world.prices.idle * (pickup - served)
    cost = way + world.prices.bundle + world.toll[rider] * (end - first)
    clock = pickup + world.pickup_half
    place = shop
    for k in range(first, end):
        clock += world.drive[place * world.places + stops[k]] + world.dropoff_half
        cost += delay_cost(world, stops[k], clock)
        clock += world.dropoff_half
        place = stops[k]
    return end, cost, way, clock


def route_cost(world: World, rider: int, stops, joins, first: int, last: int, clock: float, place: int, cost: float, limit: float) -> float:
    """The stops from `first` to `last` on top of `cost`; beyond `limit` any number above it."""
    k = first
    while k < last and cost < limit:
        k, more, _, clock = serve(world, rider, stops, joins, k, last, clock, place, place < world.orders)
        cost += more
        place = stops[k - 1]
    return cost


def note_route(world: World, plan: Plan, rider: int) -> None:
    """Cost a rider's plan, bundle by bundle."""
    base = rider * STOPS_MAX
    k, last = base, base + plan.count[rider]
    clock, place, cost = world.start[rider], world.orders + rider, 0.0
    while k < last:
        first = k
        k, more, way, clock = serve(world, rider, plan.stops, plan.joins, k, last, clock, place, k > base)
        cost += more
        place = plan.stops[k - 1]
        plan.way[first] = way
        plan.clock[k - 1] = clock
        plan.spent[k - 1] = cost
    plan.cost[rider] = cost


def roll(scratch: Scratch, sides: int) -> int:
    """A number below `sides` (Park and Miller's minimal standard generator)."""
    scratch.dice[0] = scratch.dice[0] * 48271 % DICE
    return scratch.dice[0] * sides // DICE


def rank_riders(world: World, scratch: Scratch) -> None:
    """For each order the riders who could serve it, by what that costs at least."""
    for order in range(world.orders):
        base = order * NEAR_MAX
        found = 0
        for rider in range(world.riders):
            leg = world.drive[(world.orders + rider) * world.places + world.shop[order]]
            served = world.start[rider] + leg + world.pickup_half
            if max(served, world.ready[order]) > world.off[rider]:
                continue
            bound = max(0.0, served - world.ready[order]) + world.toll[rider]
            rank = bound + 0.01 * (world.start[rider] + leg)
            if found == NEAR_MAX and rank >= scratch.key[found - 1]:
                continue
            k = min(found, NEAR_MAX - 1)
            while k > 0 and scratch.key[k - 1] > rank:
                scratch.key[k] = scratch.key[k - 1]
                scratch.near[base + k] = scratch.near[base + k - 1]
                scratch.bound[base + k] = scratch.bound[base + k - 1]
                k -= 1
            scratch.key[k] = rank
            scratch.near[base + k] = rider
            scratch.bound[base + k] = bound
            found = min(found + 1, NEAR_MAX)
        for k in range(found, NEAR_MAX):
            scratch.near[base + k] = -1


def alone_cost(world: World, plan: Plan, scratch: Scratch, rider: int, order: int, at: int, best: float) -> float:
    """What a bundle of its own before stop `at` adds to the rider's cost; not exact above `best`."""
    base = rider * STOPS_MAX
    count = plan.count[rider]
    clock, place, spent = world.start[rider], world.orders + rider, 0.0
    if at > 0:
        clock = plan.clock[base + at - 1]
        place = plan.stops[base + at - 1]
        spent = plan.spent[base + at - 1]
    scratch.stops[0] = order
    _, own, _, clock = serve(world, rider, scratch.stops, scratch.joins, 0, 1, clock, place, at > 0)
    if at == count or own - plan.way[base + at] >= best:
        return own
    limit = best + plan.cost[rider]
    return route_cost(world, rider, plan.stops, plan.joins, base + at, base + count, clock, order, spent + own, limit) - plan.cost[rider]


def joined_cost(world: World, plan: Plan, scratch: Scratch, rider: int, order: int, at: int, kind: int, best: float) -> float:
    """What joining a bundle of the shop at stop `at` adds; not exact above `best`."""
    draft(plan, scratch, rider, order, at, kind)
    limit = best + plan.cost[rider]
    cost = route_cost(world, rider, scratch.stops, scratch.joins, 0, plan.count[rider] + 1, world.start[rider], world.orders + rider, 0.0, limit)
    scratch.joins[0] = 0
    return cost - plan.cost[rider]


def draft(plan: Plan, scratch: Scratch, rider: int, order: int, at: int, kind: int) -> None:
    """Write the rider's route with the order before stop `at`."""
    base = rider * STOPS_MAX
    for k in range(at):
        scratch.stops[k] = plan.stops[base + k]
        scratch.joins[k] = plan.joins[base + k]
    scratch.stops[at] = order
    scratch.joins[at] = 1 if kind == BEHIND else 0
    for k in range(at, plan.count[rider]):
        scratch.stops[k + 1] = plan.stops[base + k]
        scratch.joins[k + 1] = plan.joins[base + k]
    if kind == BEFORE:
        scratch.joins[at + 1] = 1


def bundle_size(plan: Plan, rider: int, at: int) -> int:
    """How many stops the bundle around a rider's stop `at` has."""
    base = rider * STOPS_MAX
    first = at
    while first > 0 and plan.joins[base + first] == 1:
        first -= 1
    end = at + 1
    while end < plan.count[rider] and plan.joins[base + end] == 1:
        end += 1
    return end - first


def best_with(world: World, plan: Plan, scratch: Scratch, rider: int, order: int, best: float) -> float:
    """The least extra cost of giving the order to this rider, if below `best`; else `best`."""
    base = rider * STOPS_MAX
    count = plan.count[rider]
    shop = world.shop[order]
    for at in range(count + 1):
        boundary = at == count or plan.joins[base + at] == 0
        if boundary and not (at == 0 and world.anchor[rider] >= 0):
            extra = alone_cost(world, plan, scratch, rider, order, at, best)
            if extra < best:
                best = extra
                scratch.spot[0], scratch.spot[1], scratch.spot[2] = rider, at, APART
        if at > 0 and world.shop[plan.stops[base + at - 1]] == shop and bundle_size(plan, rider, at - 1) < BUNDLE_MAX:
            extra = joined_cost(world, plan, scratch, rider, order, at, BEHIND, best)
            if extra < best:
                best = extra
                scratch.spot[0], scratch.spot[1], scratch.spot[2] = rider, at, BEHIND
        if at < count and boundary and world.shop[plan.stops[base + at]] == shop and bundle_size(plan, rider, at) < BUNDLE_MAX:
            extra = joined_cost(world, plan, scratch, rider, order, at, BEFORE, best)
            if extra < best:
                best = extra
                scratch.spot[0], scratch.spot[1], scratch.spot[2] = rider, at, BEFORE
    return best


def insert(world: World, plan: Plan, scratch: Scratch, order: int) -> None:
    """Give the order to whom it costs least; to nobody if that costs less."""
    best = world.prices.left
    scratch.spot[0] = -1
    for k in range(NEAR_MAX):
        rider = scratch.near[order * NEAR_MAX + k]
        if rider < 0 or scratch.bound[order * NEAR_MAX + k] >= best:
            break
        if world.prices.blink > 0.0 and roll(scratch, 1000) < world.prices.blink:
            continue
        if plan.count[rider] < STOPS_MAX - 1:
            best = best_with(world, plan, scratch, rider, order, best)
    rider = scratch.spot[0]
    if rider >= 0:
        keep_old(plan, scratch, rider)
        draft(plan, scratch, rider, order, scratch.spot[1], scratch.spot[2])
        take_draft(world, plan, scratch, rider, plan.count[rider] + 1)
        plan.rider[order] = rider


def take_draft(world: World, plan: Plan, scratch: Scratch, rider: int, count: int) -> None:
    """The drafted route becomes the rider's."""
    base = rider * STOPS_MAX
    for k in range(count):
        plan.stops[base + k] = scratch.stops[k]
        plan.joins[base + k] = scratch.joins[k]
    plan.count[rider] = count
    note_route(world, plan, rider)


def remove(world: World, plan: Plan, scratch: Scratch, order: int) -> None:
    """Take the order out of its plan."""
    rider = plan.rider[order]
    keep_old(plan, scratch, rider)
    base = rider * STOPS_MAX
    left = 0
    heir = False
    for k in range(plan.count[rider]):
        if plan.stops[base + k] == order:
            heir = plan.joins[base + k] == 0
            continue
        scratch.stops[left] = plan.stops[base + k]
        scratch.joins[left] = 0 if heir else plan.joins[base + k]
        heir = False
        left += 1
    take_draft(world, plan, scratch, rider, left)
    plan.rider[order] = -1


def keep_old(plan: Plan, scratch: Scratch, rider: int) -> None:
    """Remember a rider's plan before its first change in this round."""
    if scratch.is_touched[rider] == 1:
        return
    scratch.is_touched[rider] = 1
    scratch.touched[0] += 1
    scratch.touched[scratch.touched[0]] = rider
    base = rider * STOPS_MAX
    for k in range(plan.count[rider]):
        scratch.old_stops[base + k] = plan.stops[base + k]
        scratch.old_joins[base + k] = plan.joins[base + k]
    scratch.old_count[rider] = plan.count[rider]
    scratch.old_cost[rider] = plan.cost[rider]


def forget(scratch: Scratch) -> None:
    """End a round that is kept."""
    for n in range(1, scratch.touched[0] + 1):
        scratch.is_touched[scratch.touched[n]] = 0
    scratch.touched[0] = 0


def go_back(world: World, plan: Plan, scratch: Scratch, taken: int) -> None:
    """End a round that is not: every plan as it was before."""
    for k in range(taken):
        plan.rider[scratch.pool[k]] = -1
    for n in range(1, scratch.touched[0] + 1):
        rider = scratch.touched[n]
        base = rider * STOPS_MAX
        plan.count[rider] = scratch.old_count[rider]
        for k in range(plan.count[rider]):
            plan.stops[base + k] = scratch.old_stops[base + k]
            plan.joins[base + k] = scratch.old_joins[base + k]
            plan.rider[plan.stops[base + k]] = rider
        note_route(world, plan, rider)
    forget(scratch)


def relatedness(world: World, seed: int, other: int, way: int) -> float:
    """How far two orders are from exchanging riders, in minutes."""
    apart = abs(world.ready[seed] - world.ready[other])
    if way == 0:
        return world.drive[world.shop[seed] * world.places + world.shop[other]] + 0.5 * apart
    return world.drive[seed * world.places + world.shop[other]] + 0.3 * apart


def draw(world: World, plan: Plan, scratch: Scratch, wanted: int) -> int:
    """Bring up to `wanted` related orders that may move to the front of the pool; how many."""
    free = 0
    for order in range(world.orders):
        rider = plan.rider[order]
        if rider < 0 or world.anchor[rider] != order:
            scratch.pool[free] = order
            free += 1
    if free == 0:
        return 0
    seed = scratch.pool[roll(scratch, free)]
    way = roll(scratch, 3)
    for k in range(free):
        noise = 0.7 + 0.6 * roll(scratch, 1000) / 1000
        far = 1.0 if way == 2 else relatedness(world, seed, scratch.pool[k], way) + 0.1
        scratch.key[k] = -1.0 if scratch.pool[k] == seed else far * noise
    taken = min(wanted, free)
    for k in range(taken):
        least = k
        for j in range(k + 1, free):
            if scratch.key[j] < scratch.key[least]:
                least = j
        swap(scratch, k, least)
    return taken


def swap(scratch: Scratch, a: int, b: int) -> None:
    """Exchange two entries of the pool."""
    scratch.pool[a], scratch.pool[b] = scratch.pool[b], scratch.pool[a]
    scratch.key[a], scratch.key[b] = scratch.key[b], scratch.key[a]


def sort_pool(world: World, scratch: Scratch, taken: int, way: int) -> None:
    """The order of reinsertion: by chance, ready first, or the farthest first."""
    for k in range(taken):
        order = scratch.pool[k]
        if way == 0:
            scratch.key[k] = float(roll(scratch, 1000))
        elif way == 1:
            scratch.key[k] = world.ready[order]
        else:
            scratch.key[k] = -world.drive[world.shop[order] * world.places + order]
    for k in range(1, taken):
        j = k
        while j > 0 and scratch.key[j] < scratch.key[j - 1]:
            swap(scratch, j, j - 1)
            j -= 1


def total(world: World, plan: Plan) -> float:
    """What all plans cost, with what is left."""
    cost = 0.0
    for rider in range(world.riders):
        cost += plan.cost[rider]
    for order in range(world.orders):
        if plan.rider[order] < 0:
            cost += world.prices.left
    return cost


def change(world: World, plan: Plan, scratch: Scratch, taken: int, left: int) -> float:
    """What this round has added to the total."""
    cost = 0.0
    for n in range(1, scratch.touched[0] + 1):
        rider = scratch.touched[n]
        cost += plan.cost[rider] - scratch.old_cost[rider]
    for k in range(taken):
        if plan.rider[scratch.pool[k]] < 0:
            cost += world.prices.left
    return cost - world.prices.left * left


def trim(world: World, plan: Plan, rider: int) -> None:
    """Cost a plan that was made before; what can no longer be done leaves it from the end."""
    base = rider * STOPS_MAX
    while True:
        note_route(world, plan, rider)
        if plan.cost[rider] < FORBIDDEN:
            return
        plan.count[rider] -= 1
        plan.rider[plan.stops[base + plan.count[rider]]] = -1


def improve(world: World, plan: Plan, scratch: Scratch, rounds: int) -> None:
    """Complete the plan, then ruin and recreate parts of it; a round never makes it worse."""
    rank_riders(world, scratch)
    for rider in range(world.riders):
        trim(world, plan, rider)
    free = 0
    for order in range(world.orders):
        if plan.rider[order] < 0:
            scratch.pool[free] = order
            free += 1
    sort_pool(world, scratch, free, 1)
    for k in range(free):
        insert(world, plan, scratch, scratch.pool[k])
    forget(scratch)
    for n in range(rounds):
        heat = world.prices.heat * (1.0 - (n + 1) / rounds)
        taken = draw(world, plan, scratch, 2 + roll(scratch, 8))
        if taken == 0:
            return
        left = 0
        for k in range(taken):
            if plan.rider[scratch.pool[k]] < 0:
                left += 1
            else:
                remove(world, plan, scratch, scratch.pool[k])
        sort_pool(world, scratch, taken, roll(scratch, 3))
        for k in range(taken):
            insert(world, plan, scratch, scratch.pool[k])
        if change(world, plan, scratch, taken, left) > 1e-9 + heat * roll(scratch, 1000) / 1000:
            go_back(world, plan, scratch, taken)
        else:
            forget(scratch)
