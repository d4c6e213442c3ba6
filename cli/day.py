"""A delivery day's numbers: from what people saw of each order to the table of `simulate`."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

ENDS = frozenset({"delivered", "completed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A simulated day; minutes are of the day's own life."""

    instance: str
    site_id: str
    speed: float
    orders: int
    delivered: int
    cancelled: dict[str, int]
    """By reason; `refused:<problem>` where an order was never placed."""
    without_end: int
    click_to_door_mean_minutes: float | None
    click_to_door_p90_minutes: float | None
    ready_to_pickup_mean_minutes: float | None
    ready_to_pickup_p90_minutes: float | None
    tap_to_placed_p50_seconds: float | None
    """Real seconds, not multiplied: they tell whether the machine kept up with the speed."""
    tap_to_placed_p90_seconds: float | None
    wall_seconds: float
    orders_per_second: float
    laws_checked: int = 0
    laws_broken: dict[str, list[str]] = field(default_factory=dict)
    reconciled: dict[str, str] = field(default_factory=dict)
    """By channel and day, what comparing its bills with the books has found."""
    trouble: dict[str, int] = field(default_factory=dict)
    """What people met on the way and got over: refused calls, answers of 429 and 5xx."""

    @property
    def good(self) -> bool:
        """Whether every order has an end and no law is broken."""
        return not self.without_end and not self.laws_broken and self.laws_checked > 0

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"good": self.good}

    def rows(self) -> list[tuple[str, str]]:
        """For people."""
        return [
            ("instance", f"{self.instance}, {self.speed:g} times faster than life"),
            ("orders", str(self.orders)),
            ("delivered", f"{self.delivered} ({100 * self.delivered / self.orders:.1f} %)"),
            *((f"cancelled: {why}", str(count)) for why, count in sorted(self.cancelled.items())),
            ("without an end", str(self.without_end)),
            (
                "click to door, minutes",
                _pair("mean", self.click_to_door_mean_minutes, self.click_to_door_p90_minutes),
            ),
            (
                "ready to pickup, minutes",
                _pair("mean", self.ready_to_pickup_mean_minutes, self.ready_to_pickup_p90_minutes),
            ),
            (
                "tap to placed, real seconds",
                _pair("p50", self.tap_to_placed_p50_seconds, self.tap_to_placed_p90_seconds),
            ),
            ("orders per second", f"{self.orders_per_second:.2f} over {self.wall_seconds:.0f} s"),
            ("laws", f"{self.laws_checked} checked, {len(self.laws_broken)} broken"),
            *((f"broken: {law}", "; ".join(lines)) for law, lines in self.laws_broken.items()),
            *((f"reconciled: {channel}", found) for channel, found in self.reconciled.items()),
        ]


def measured(
    log: Sequence[dict[str, Any]], ready_seconds: dict[str, float], speed: float
) -> dict[str, Any]:
    """The counts and minutes of `Result`, from the people's log of orders.

    `ready_seconds`: by key, when the food is ready after the tap, in seconds of life.
    """
    delivered = [order for order in log if order["status"] in ENDS and order["ended"]]
    to_door = [_minutes(order, "order.delivered", speed) for order in delivered]
    waits = [
        _minutes(order, "order.picked_up", speed) - ready_seconds[order["key"]] / 60
        for order in delivered
    ]
    taps = [_minutes(order, "order.placed", 60) for order in log if order["events"]]
    return {
        "delivered": len(delivered),
        "cancelled": dict(Counter(_why(order) for order in log if _ended_early(order))),
        "without_end": sum(not order["ended"] for order in log),
        "click_to_door_mean_minutes": _mean(to_door),
        "click_to_door_p90_minutes": percentile(to_door, 0.9),
        "ready_to_pickup_mean_minutes": _mean(waits),
        "ready_to_pickup_p90_minutes": percentile(waits, 0.9),
        "tap_to_placed_p50_seconds": percentile(taps, 0.5),
        "tap_to_placed_p90_seconds": percentile(taps, 0.9),
    }


def percentile(values: Sequence[float], share: float) -> float | None:
    """Linear interpolation between the two nearest ranks; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    rank = share * (len(ordered) - 1)
    low, high = math.floor(rank), math.ceil(rank)
    return ordered[low] + (rank - low) * (ordered[high] - ordered[low])


def _minutes(order: dict[str, Any], event: str, speed: float) -> float:
    """Minutes of life from the tap to an event; at speed 60, real seconds."""
    at = next(at for _, kind, at in order["events"] if kind == event)
    real = datetime.fromisoformat(at) - datetime.fromisoformat(order["clicked_at"])
    return real.total_seconds() * speed / 60


def _ended_early(order: dict[str, Any]) -> bool:
    return order["ended"] and order["status"] not in ENDS


def _why(order: dict[str, Any]) -> str:
    if order["refused"] is not None:
        return f"refused:{str(order['refused'].get('type', '')).rpartition('/')[2]}"
    return str(order["close_reason"])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _pair(name: str, value: float | None, p90: float | None) -> str:
    return "none" if value is None or p90 is None else f"{name} {value:.2f}, p90 {p90:.2f}"
