"""The published days of the MDRP: reading them, living them minute by minute, writing solutions."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Order:
    order_id: str
    place: Place
    placed_at: int
    shop_id: str
    ready_at: int


@dataclass(frozen=True, slots=True)
class Courier:
    courier_id: str
    place: Place
    on_at: int
    off_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    name: str
    orders: Sequence[Order]
    couriers: Sequence[Courier]
    shops: Mapping[str, Place]
    metres_per_minute: float
    pickup_half: float
    dropoff_half: float
    promise: float
    bearable: float
    pay_per_order: float
    pay_per_hour: float

    def minutes(self, a: Place, b: Place) -> int:
        return math.ceil(math.hypot(a[0] - b[0], a[1] - b[1]) / self.metres_per_minute)


def read_day(folder: Path) -> Day:
    speed, pickup, dropoff, promise, bearable, per_order, per_hour = map(
        float, (folder / "instance_parameters.txt").read_text().split("\n")[1].split("\t")
    )
    shops = {one: (float(x), float(y)) for one, x, y in _rows(folder / "restaurants.txt")}
    return Day(
        name=folder.name,
        orders=[
            Order(one, (float(x), float(y)), int(placed), shop, int(ready))
            for one, x, y, placed, shop, ready in _rows(folder / "orders.txt")
        ],
        couriers=[
            Courier(one, (float(x), float(y)), int(on), int(off))
            for one, x, y, on, off in _rows(folder / "couriers.txt")
        ],
        shops=shops,
        metres_per_minute=speed,
        pickup_half=pickup / 2,
        dropoff_half=dropoff / 2,
        promise=promise,
        bearable=bearable,
        pay_per_order=per_order,
        pay_per_hour=per_hour,
    )


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().split("\n")[1:] if line.strip()]


@dataclass(slots=True)
class Life:
    """A courier during the day."""

    courier: Courier
    place: Place
    at: str
    """The name of the place, as the solution writes it."""
    free_at: float
    bound_for: str = ""
    standby: bool = False
    done: int = 0


@dataclass(slots=True)
class Log:
    """What happened, in the solution's words."""

    moves: list[tuple[str, float, str, str]] = field(default_factory=list)
    pickups: list[tuple[float, float, str, tuple[str, ...]]] = field(default_factory=list)
    orders: dict[str, tuple[float, float]] = field(default_factory=dict)


def write(log: Log, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{at:g} {pickup:g} {who} {' '.join(orders)}" for at, pickup, who, orders in log.pickups]
    _write(folder / "solution_info_assignments.txt", "assignment_time pickup_time courier orders", lines)
    lines = [f"{who} {at:g} {a} {b}" for who, at, a, b in log.moves]
    _write(folder / "solution_info_couriers.txt", "courier departure_time from to", lines)
    lines = [f"{order} {pickup:g} {drop:g}" for order, (pickup, drop) in log.orders.items()]
    _write(folder / "solution_info_orders.txt", "order pickup_time dropoff_time", lines)


def _write(path: Path, head: str, lines: Sequence[str]) -> None:
    path.write_text("\n".join([head, *lines]) + "\n")


def go(day: Day, log: Log, life: Life, now: float, shop_id: str) -> None:
    """The courier leaves for a shop."""
    if life.at == shop_id:
        return
    log.moves.append((life.courier.courier_id, now, life.at, shop_id))
    life.free_at = now + day.minutes(life.place, day.shops[shop_id])
    life.place, life.at = day.shops[shop_id], shop_id


def deliver(day: Day, log: Log, life: Life, now: float, pickup_at: float, orders: Sequence[Order]) -> None:
    """The courier takes a bundle and hands it over, stop by stop."""
    who = life.courier.courier_id
    log.pickups.append((now, pickup_at, who, tuple(order.order_id for order in orders)))
    clock = pickup_at + day.pickup_half
    for order in orders:
        log.moves.append((who, clock, life.at, order.order_id))
        clock += day.minutes(life.place, order.place) + day.dropoff_half
        log.orders[order.order_id] = (pickup_at, clock)
        clock += day.dropoff_half
        life.place, life.at = order.place, order.order_id
    life.free_at = clock
    life.done += len(orders)
    life.bound_for = ""
    life.standby = False
