"""Plans of least cost: cheapest insertion, then ruin and recreate. The kernel compiles this text.

Only numbers, flat arrays and each other's functions here. The same seed gives the same plan. The
search is Schrimpf et al.'s (Record breaking optimization results, 2000) on the routes of riders.
"""

from domain.planning.arrays import BUNDLE_MAX, NEAR_MAX, STOPS_MAX, Plan, Scratch, World
from domain.planning.routes import note_route, route_cost, serve, trim

SAME = 1e-9
"""Costs that differ by less are equal."""
DICE = 2147483647
APART, BEHIND, BEFORE, KINDS = 0, 1, 2, 3
"""How an order enters a plan: a bundle of its own, behind a stop of its shop, before one."""
RUIN_LEAST, RUIN_SPREAD = 2, 8
"""Orders taken out in a round."""


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
    for _ in range(rounds):
        taken = draw(world, plan, scratch, RUIN_LEAST + roll(scratch, RUIN_SPREAD))
        left = 0
        for k in range(taken):
            if plan.rider[scratch.pool[k]] < 0:
                left += 1
            else:
                remove(world, plan, scratch, scratch.pool[k])
        sort_pool(world, scratch, taken, roll(scratch, 3))
        for k in range(taken):
            insert(world, plan, scratch, scratch.pool[k])
        if change(world, plan, scratch, taken, left) > SAME:
            go_back(world, plan, scratch, taken)
        else:
            forget(scratch)


# Where an order enters.


def rank_riders(world: World, scratch: Scratch) -> None:
    """For each order the riders who could serve it, by what that costs at least."""
    for order in range(world.orders):
        base = order * NEAR_MAX
        found = 0
        for rider in range(world.riders):
            if len(world.barred) > 0 and world.barred[order * world.riders + rider] == 1:
                continue
            place = world.orders + rider
            leg = world.pace[rider] * world.drive[place * world.places + world.shop[order]]
            served = world.start[rider] + leg + world.pickup_half
            if max(served, world.ready[order]) > world.off[rider]:
                continue
            bound = max(0.0, served - world.ready[order]) + world.toll[rider]
            rank = bound + 0.01 * served
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


def insert(world: World, plan: Plan, scratch: Scratch, order: int) -> None:
    """Give the order to whom it costs least; to nobody if that costs less."""
    best = world.prices.left
    scratch.spot[0] = -1
    base = order * NEAR_MAX
    for k in range(base, base + NEAR_MAX):
        rider = scratch.near[k]
        if rider < 0 or scratch.bound[k] >= best:
            break
        if plan.size[rider] < STOPS_MAX - 1:
            best = best_with(world, plan, scratch, rider, order, best)
    rider = scratch.spot[0]
    if rider >= 0:
        keep_old(plan, scratch, rider)
        draft(plan, scratch, rider, order, scratch.spot[1], scratch.spot[2])
        take_draft(world, plan, scratch, rider, plan.size[rider] + 1)
        plan.rider[order] = rider


def best_with(
    world: World, plan: Plan, scratch: Scratch, rider: int, order: int, best: float
) -> float:
    """The least extra cost of giving the order to this rider, if below `best`; else `best`."""
    for at in range(plan.size[rider] + 1):
        for kind in range(KINDS):
            if not may_enter(world, plan, rider, order, at, kind):
                continue
            if kind == APART:
                extra = alone_cost(world, plan, scratch, rider, order, at, best)
            else:
                extra = joined_cost(world, plan, scratch, rider, order, at, kind, best)
            if extra < best:
                best = extra
                scratch.spot[0], scratch.spot[1], scratch.spot[2] = rider, at, kind
    return best


def may_enter(world: World, plan: Plan, rider: int, order: int, at: int, kind: int) -> bool:
    """Whether the rider's plan has room of this kind before stop `at`."""
    here = rider * STOPS_MAX + at
    count = plan.size[rider]
    if kind == BEHIND:
        return at > 0 and may_join(world, plan, rider, order, at, at - 1)
    if at < count and plan.joins[here] == 1:
        return False
    if kind == APART:
        return at > 0 or world.anchor[rider] < 0
    return at < count and may_join(world, plan, rider, order, at, at)


def may_join(world: World, plan: Plan, rider: int, order: int, at: int, beside: int) -> bool:
    """Whether the order may go before stop `at` with the bundle around the stop `beside` it.

    It must fit into the box, and its shop be one of the bundle's or near all of them. Who is bound
    for a shop goes there first: an order of another shop comes behind the one he is bound for.
    """
    base = rider * STOPS_MAX
    first = beside
    while first > 0 and plan.joins[base + first] == 1:
        first -= 1
    load = world.load[order]
    shop = world.shop[order]
    apart = 0.0
    known = False
    bound = -1
    end = first
    while end < plan.size[rider] and (end == first or plan.joins[base + end] == 1):
        stop = plan.stops[base + end]
        load += world.load[stop]
        if world.shop[stop] == shop:
            known = True
        else:
            apart = max(apart, world.drive[world.shop[stop] * world.places + shop])
        if stop == world.anchor[rider]:
            bound = end
        end += 1
    if end - first >= BUNDLE_MAX or load > world.room[rider]:
        return False
    if apart == 0.0 and known:
        return True
    if apart > world.near or world.near == 0.0:
        return False
    return bound < 0 or at > bound or shop == world.shop[world.anchor[rider]]


def alone_cost(
    world: World, plan: Plan, scratch: Scratch, rider: int, order: int, at: int, best: float
) -> float:
    """What a bundle of its own before stop `at` adds to the rider's cost; not exact above `best`.

    It can save no more than the way to the next shop and the wait there, so most need no look at
    the rest of the route.
    """
    here = rider * STOPS_MAX + at
    last = rider * STOPS_MAX + plan.size[rider]
    clock, place, spent = world.start[rider], world.orders + rider, 0.0
    if at > 0:
        clock, place, spent = plan.clock[here - 1], plan.stops[here - 1], plan.spent[here - 1]
    scratch.stops[0] = order
    _, own, _, clock = serve(world, rider, scratch.stops, scratch.joins, 0, 1, clock, place)
    if here == last or own - plan.way[here] >= best:
        return own
    cost, limit = spent + own, best + plan.cost[rider]
    stops, joins = plan.stops, plan.joins
    cost = route_cost(world, rider, stops, joins, here, last, clock, order, cost, limit)
    return cost - plan.cost[rider]


def joined_cost(
    world: World,
    plan: Plan,
    scratch: Scratch,
    rider: int,
    order: int,
    at: int,
    kind: int,
    best: float,
) -> float:
    """What joining a bundle of the shop at stop `at` adds; not exact above `best`."""
    draft(plan, scratch, rider, order, at, kind)
    count, limit = plan.size[rider] + 1, best + plan.cost[rider]
    clock, place = world.start[rider], world.orders + rider
    stops, joins = scratch.stops, scratch.joins
    cost = route_cost(world, rider, stops, joins, 0, count, clock, place, 0.0, limit)
    return cost - plan.cost[rider]


def draft(plan: Plan, scratch: Scratch, rider: int, order: int, at: int, kind: int) -> None:
    """Write down the rider's route with the order before stop `at`."""
    base = rider * STOPS_MAX
    for k in range(at):
        scratch.stops[k] = plan.stops[base + k]
        scratch.joins[k] = plan.joins[base + k]
    scratch.stops[at] = order
    scratch.joins[at] = 1 if kind == BEHIND else 0
    for k in range(at, plan.size[rider]):
        scratch.stops[k + 1] = plan.stops[base + k]
        scratch.joins[k + 1] = plan.joins[base + k]
    if kind == BEFORE:
        scratch.joins[at + 1] = 1


def take_draft(world: World, plan: Plan, scratch: Scratch, rider: int, count: int) -> None:
    """The drafted route becomes the rider's."""
    base = rider * STOPS_MAX
    for k in range(count):
        plan.stops[base + k] = scratch.stops[k]
        plan.joins[base + k] = scratch.joins[k]
    plan.size[rider] = count
    note_route(world, plan, rider)


# A round: what is taken out, and how it ends.


def roll(scratch: Scratch, sides: int) -> int:
    """A number below `sides` (Park and Miller's minimal standard generator)."""
    scratch.dice[0] = scratch.dice[0] * 48271 % DICE
    return scratch.dice[0] * sides // DICE


def draw(world: World, plan: Plan, scratch: Scratch, wanted: int) -> int:
    """Bring up to `wanted` related orders that may move to the front of the pool; how many."""
    free = 0
    for order in range(world.orders):
        rider = plan.rider[order]
        if rider < 0 or world.anchor[rider] != order:
            scratch.pool[free] = order
            free += 1
    taken = min(wanted, free)
    seed = roll(scratch, max(free, 1))
    way = roll(scratch, 3)
    for k in range(free):
        noise = 0.7 + 0.6 * roll(scratch, 1000) / 1000
        far = relatedness(world, scratch.pool[seed], scratch.pool[k], way)
        scratch.key[k] = -1.0 if k == seed else far * noise
    for k in range(taken):
        least = k
        for j in range(k + 1, free):
            if scratch.key[j] < scratch.key[least]:
                least = j
        swap(scratch, k, least)
    return taken


def relatedness(world: World, seed: int, other: int, way: int) -> float:
    """How far two orders are from exchanging riders: by shops, by the way on, or all alike."""
    apart = abs(world.ready[seed] - world.ready[other])
    if way == 0:
        return 0.1 + world.drive[world.shop[seed] * world.places + world.shop[other]] + 0.5 * apart
    if way == 1:
        return 0.1 + world.drive[seed * world.places + world.shop[other]] + 0.3 * apart
    return 1.0


def sort_pool(world: World, scratch: Scratch, taken: int, way: int) -> None:
    """The order of reinsertion: by chance, the ready first, or the farthest first."""
    for k in range(taken):
        order = scratch.pool[k]
        if way == 0:
            scratch.key[k] = roll(scratch, 1000) + 0.0
        elif way == 1:
            scratch.key[k] = world.ready[order]
        else:
            scratch.key[k] = -world.drive[world.shop[order] * world.places + order]
    for k in range(1, taken):
        j = k
        while j > 0 and scratch.key[j] < scratch.key[j - 1]:
            swap(scratch, j, j - 1)
            j -= 1


def swap(scratch: Scratch, a: int, b: int) -> None:
    """Exchange two entries of the pool."""
    scratch.pool[a], scratch.pool[b] = scratch.pool[b], scratch.pool[a]
    scratch.key[a], scratch.key[b] = scratch.key[b], scratch.key[a]


def remove(world: World, plan: Plan, scratch: Scratch, order: int) -> None:
    """Take the order out of its plan; a stop that joined it begins the bundle then."""
    rider = plan.rider[order]
    keep_old(plan, scratch, rider)
    base = rider * STOPS_MAX
    left = 0
    begins = False
    for k in range(base, base + plan.size[rider]):
        if plan.stops[k] == order:
            begins = plan.joins[k] == 0
            continue
        scratch.stops[left] = plan.stops[k]
        scratch.joins[left] = 0 if begins else plan.joins[k]
        begins = False
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
    for k in range(base, base + plan.size[rider]):
        scratch.old_stops[k] = plan.stops[k]
        scratch.old_joins[k] = plan.joins[k]
    scratch.old_size[rider] = plan.size[rider]
    scratch.old_cost[rider] = plan.cost[rider]


def change(world: World, plan: Plan, scratch: Scratch, taken: int, left: int) -> float:
    """What this round has added to the cost of everything; `left` orders were nobody's before."""
    cost = -world.prices.left * left
    for n in range(1, scratch.touched[0] + 1):
        rider = scratch.touched[n]
        cost += plan.cost[rider] - scratch.old_cost[rider]
    for k in range(taken):
        if plan.rider[scratch.pool[k]] < 0:
            cost += world.prices.left
    return cost


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
        plan.size[rider] = scratch.old_size[rider]
        for k in range(base, base + plan.size[rider]):
            plan.stops[k] = scratch.old_stops[k]
            plan.joins[k] = scratch.old_joins[k]
            plan.rider[plan.stops[k]] = rider
        note_route(world, plan, rider)
    forget(scratch)
