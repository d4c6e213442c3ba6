"""Who decides on a published day: the platform's planner, or a plain rule to compare it with."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.mdrp_days import Acts, Courier, Day, Order, Policy
from domain.planning.model import Drives, Job, Place, Rider, Routes, Rules
from domain.planning.tick import Zone, decide
from services.dispatch import kernel

DEMAND_HALF_LIFE = 200.0
STANDBY_EVERY = 2
"""Minutes."""
PAIR_MINUTES = 5.0
"""The plain assignment takes two orders of a shop together if neither ready time nor detour differ
by more."""
AHEAD_MINUTES = 20.0
"""It matches what is ready within this time, and what has waited longest before all else."""
IMPOSSIBLE = 1e6


def planner(day: Day) -> Policy:
    """`domain.planning` with the compiled kernel, as in production."""
    kernel.warm_up()
    rules = Rules(
        pickup_half=day.pickup_half,
        dropoff_half=day.dropoff_half,
        promise=day.promise,
        bearable=day.bearable,
    )
    zone = Zone(day.shops, _drives(day), rules, engine=kernel.ENGINE)
    routes: Routes = {}
    demand: dict[str, float] = {}
    counted: set[str] = set()

    def act(now: int, couriers: Sequence[Courier], waiting: Mapping[str, Order]) -> Acts:
        nonlocal routes
        for order_id in waiting.keys() - counted:
            counted.add(order_id)
            shop_id = waiting[order_id].shop_id
            seen_at = waiting[order_id].placed_at
            demand[shop_id] = demand.get(shop_id, 0.0) + 2.0 ** (seen_at / DEMAND_HALF_LIFE)
        faded = 2.0 ** (-now / DEMAND_HALF_LIFE)
        decision = decide(
            now,
            [_rider(courier) for courier in couriers],
            [_job(order) for order in waiting.values()],
            routes,
            zone=zone,
            seed=now,
            demand={shop_id: seen * faded for shop_id, seen in demand.items()}
            if now % STANDBY_EVERY == 0
            else None,
        )
        routes = decision.routes
        take = {one.rider_id: one.order_ids for one in decision.collect}
        return Acts(decision.leave, take, decision.standby)

    return act


def _drives(day: Day) -> Drives:
    def drives(places: Sequence[Place]) -> Sequence[float]:
        flat: Sequence[float] = _minutes(day, places, places).ravel()  # type: ignore[assignment]
        return flat

    return drives


def _minutes(day: Day, origins: Sequence[Place], goals: Sequence[Place]) -> NDArray[np.float64]:
    """Travel times from each to each, as the day's rules round them."""
    a = np.array(origins).reshape(-1, 1, 2)
    b = np.array(goals).reshape(1, -1, 2)
    apart: NDArray[np.float64] = np.hypot(a[..., 0] - b[..., 0], a[..., 1] - b[..., 1])
    return np.ceil(apart / day.metres_per_minute)


def _job(order: Order) -> Job:
    return Job(
        order_id=order.order_id,
        shop_id=order.shop_id,
        place=order.place,
        placed_at=order.placed_at,
        ready_at=order.ready_at,
    )


def _rider(courier: Courier) -> Rider:
    return Rider(
        rider_id=courier.courier_id,
        place=courier.place,
        free_at=courier.free_at,
        off_at=courier.off_at,
        bound_for=courier.bound_for,
        owed=courier.guaranteed - courier.done,
    )


def nearest(day: Day) -> Policy:
    """Each order, as it comes, to the nearest courier without one, who leaves at once."""

    def act(now: int, couriers: Sequence[Courier], waiting: Mapping[str, Order]) -> Acts:
        free = {one.courier_id: one for one in couriers if one.free_at <= now}
        take = {}
        for order in sorted(waiting.values(), key=lambda order: order.placed_at):
            reach = [
                (pickup_at, courier_id)
                for courier_id, courier in free.items()
                if (pickup_at := _pickup(day, now, courier, order)) <= courier.off_at
            ]
            if reach:
                _, courier_id = min(reach)
                del free[courier_id]
                take[courier_id] = (order.order_id,)
        return Acts(take=take)

    return act


def _pickup(day: Day, now: float, courier: Courier, order: Order) -> float:
    served = now + day.minutes(courier.place, day.shops[order.shop_id]) + day.pickup_half
    return max(served, order.ready_at)


def hungarian(day: Day) -> Policy:
    """Each minute the least sum of lateness and driving; pairs bundled, leaving as late as safe."""

    def act(now: int, couriers: Sequence[Courier], waiting: Mapping[str, Order]) -> Acts:
        free = [one for one in couriers if one.free_at <= now]
        bundles = _pairs(day, waiting)
        if not free or not bundles:
            return Acts()
        shops = [day.shops[bundle[0].shop_id] for bundle in bundles]
        ready = np.array([max(order.ready_at for order in bundle) for bundle in bundles])
        leg = _minutes(day, [one.place for one in free], shops)
        served = now + leg + day.pickup_half
        too_late = np.maximum(served, ready) > np.array([[one.off_at] for one in free])
        waited = np.maximum(now + AHEAD_MINUTES - ready, 0.0)
        cost = np.maximum(served - ready, 0.0) + 0.1 * leg - waited + IMPOSSIBLE * too_late
        take = {}
        for courier, bundle in zip(*linear_sum_assignment(cost), strict=True):
            if not too_late[courier, bundle] and served[courier, bundle] + 1 > ready[bundle]:
                names = tuple(order.order_id for order in bundles[bundle])
                take[free[courier].courier_id] = names
        return Acts(take=take)

    return act


def _pairs(day: Day, waiting: Mapping[str, Order]) -> list[list[Order]]:
    """The waiting orders, two of one shop together where that costs little."""
    bundles: list[list[Order]] = []
    for order in sorted(waiting.values(), key=lambda order: (order.shop_id, order.ready_at)):
        if bundles and len(bundles[-1]) == 1 and _fit(day, bundles[-1][0], order):
            bundles[-1].append(order)
        else:
            bundles.append([order])
    return bundles


def _fit(day: Day, first: Order, second: Order) -> bool:
    if first.shop_id != second.shop_id or second.ready_at - first.ready_at > PAIR_MINUTES:
        return False
    shop = day.shops[first.shop_id]
    detour = day.minutes(shop, first.place) + day.minutes(first.place, second.place)
    return detour - day.minutes(shop, second.place) <= PAIR_MINUTES


POLICIES: Mapping[str, Callable[[Day], Policy]] = {
    "planner": planner,
    "hungarian": hungarian,
    "nearest": nearest,
}
