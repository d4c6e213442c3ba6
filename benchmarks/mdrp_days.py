"""Published days of the meal delivery routing problem (MDRP): read, lived and written.

Rules: MDRPInstances.pdf §1 of grubhub/mdrplib and Reyes et al. 2018 §2.1, with both variants of
theirs: couriers may wait at a shop without an order, and what a courier takes is settled there.
Times are minutes, places metres.
"""

import contextlib
import math
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from domain.planning.model import Place

ON_LOCATION = "0"
"""Where a courier's day begins, in the solution's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order; nobody knows it before `placed_at`."""

    order_id: str
    place: Place
    placed_at: int
    shop_id: str
    ready_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One instance."""

    name: str
    orders: Mapping[str, Order]
    couriers: Mapping[str, tuple[Place, int, int]]
    """Where each begins, when, and the end of the shift."""
    shops: Mapping[str, Place]
    metres_per_minute: float
    pickup_half: float
    dropoff_half: float
    promise: float
    bearable: float
    pay_per_order: float
    pay_per_hour: float

    def minutes(self, origin: Place, goal: Place) -> int:
        """Travel time, rounded up as the rules want."""
        return math.ceil(math.dist(origin, goal) / self.metres_per_minute)


@dataclass(slots=True, kw_only=True)
class Courier:
    """A courier as the day goes on."""

    courier_id: str
    place: Place
    at: str
    """The same place, as the solution names it."""
    free_at: float
    off_at: float
    guaranteed: float
    """Orders that earn what the shift is guaranteed."""
    bound_for: str = ""
    done: int = 0


@dataclass(slots=True)
class Acts:
    """What a policy does in one minute, by courier."""

    leave: Mapping[str, str] = field(default_factory=dict)
    """For the shop of an order, which the courier will take with whatever else."""
    take: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """These orders as soon as they can be had, wherever the courier is."""
    standby: Mapping[str, str] = field(default_factory=dict)
    """To a shop, without any order."""


class Policy(Protocol):
    """Decides once a minute, from what is known then."""

    def __call__(self, now: int, couriers: Sequence[Courier], waiting: Mapping[str, Order]) -> Acts:
        """What is done now."""


@dataclass(slots=True)
class Lived:
    """What has happened, as the solution's files tell it, and how long deciding took."""

    assignments: list[str] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    decided: list[tuple[float, float]] = field(default_factory=list)
    """Processor and wall seconds per decision."""


@contextlib.contextmanager
def days_in(path: Path) -> Iterator[list[Path]]:
    """The instances of a folder; its archives are unpacked to a temporary place meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        for archive in sorted(path.glob("*.tar.xz")):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        found = [*path.glob("*/orders.txt"), *Path(folder).glob("*/orders.txt")]
        yield sorted(orders.parent for orders in found)


def read_day(folder: Path) -> Day:
    """One instance from its four files."""
    ((speed, pickup, dropoff, promise, bearable, per_order, per_hour),) = (
        map(float, row) for row in _rows(folder / "instance_parameters.txt")
    )
    return Day(
        name=folder.name,
        orders={
            one: Order(
                order_id=one,
                place=(float(x), float(y)),
                placed_at=int(placed),
                shop_id=shop,
                ready_at=int(ready),
            )
            for one, x, y, placed, shop, ready in _rows(folder / "orders.txt")
        },
        couriers={
            one: ((float(x), float(y)), int(on), int(off))
            for one, x, y, on, off in _rows(folder / "couriers.txt")
        },
        shops={one: (float(x), float(y)) for one, x, y in _rows(folder / "restaurants.txt")},
        metres_per_minute=speed,
        pickup_half=pickup / 2,
        dropoff_half=dropoff / 2,
        promise=promise,
        bearable=bearable,
        pay_per_order=per_order,
        pay_per_hour=per_hour,
    )


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()[1:] if line.strip()]


def live(day: Day, policy: Policy) -> Lived:
    """The whole day under a policy, which sees an order only from its placement on."""
    lived = Lived()
    couriers = {one: _begin(day, one) for one in day.couriers}
    coming = sorted(day.orders.values(), key=lambda order: order.placed_at, reverse=True)
    waiting: dict[str, Order] = {}
    end = max(courier.off_at for courier in couriers.values())
    for now in range(coming[-1].placed_at, int(end) + 1):
        while coming and coming[-1].placed_at <= now:
            order = coming.pop()
            waiting[order.order_id] = order
        here = [one for one in couriers.values() if one.off_at >= now or one.bound_for]
        processor, wall = time.thread_time(), time.perf_counter()
        acts = policy(now, here, waiting)
        lived.decided.append((time.thread_time() - processor, time.perf_counter() - wall))
        for courier_id, order_id in acts.leave.items():
            _go(day, lived, couriers[courier_id], now, waiting[order_id].shop_id)
            couriers[courier_id].bound_for = order_id
        for courier_id, order_ids in acts.take.items():
            taken = [waiting.pop(order_id) for order_id in order_ids]
            _take(day, lived, couriers[courier_id], now, taken)
        for courier_id, shop_id in acts.standby.items():
            _go(day, lived, couriers[courier_id], now, shop_id)
    return lived


def _begin(day: Day, courier_id: str) -> Courier:
    place, on_at, off_at = day.couriers[courier_id]
    return Courier(
        courier_id=courier_id,
        place=place,
        at=ON_LOCATION,
        free_at=on_at,
        off_at=off_at,
        guaranteed=day.pay_per_hour * (off_at - on_at) / 60 / day.pay_per_order,
    )


def _go(day: Day, lived: Lived, courier: Courier, now: float, shop_id: str) -> None:
    """The courier leaves for a shop; one who is there stays."""
    if courier.at != shop_id:
        lived.moves.append(f"{courier.courier_id} {now:g} {courier.at} {shop_id}")
        courier.free_at = now + day.minutes(courier.place, day.shops[shop_id])
        courier.place, courier.at = day.shops[shop_id], shop_id


def _take(day: Day, lived: Lived, courier: Courier, now: float, orders: Sequence[Order]) -> None:
    """The courier takes a bundle and hands it over, stop by stop."""
    _go(day, lived, courier, now, orders[0].shop_id)
    served = max(courier.free_at, now) + day.pickup_half
    pickup_at = max(served, *(order.ready_at for order in orders))
    names = " ".join(order.order_id for order in orders)
    lived.assignments.append(f"{now:g} {pickup_at:g} {courier.courier_id} {names}")
    clock = pickup_at + day.pickup_half
    for order in orders:
        lived.moves.append(f"{courier.courier_id} {clock:g} {courier.at} {order.order_id}")
        clock += day.minutes(courier.place, order.place) + day.dropoff_half
        lived.orders.append(f"{order.order_id} {pickup_at:g} {clock:g}")
        clock += day.dropoff_half
        courier.place, courier.at = order.place, order.order_id
    courier.free_at = clock
    courier.done += len(orders)
    courier.bound_for = ""


def write(lived: Lived, folder: Path) -> None:
    """The solution, in the three files of the published evaluator."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, head, lines in (
        ("assignments", "assignment_time pickup_time courier orders", lived.assignments),
        ("couriers", "courier departure_time origin destination", lived.moves),
        ("orders", "order pickup_time dropoff_time", lived.orders),
    ):
        text = "\n".join([head, *lines]) + "\n"
        (folder / f"solution_info_{name}.txt").write_text(text, encoding="utf-8")
