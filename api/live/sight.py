"""Who sees how much of a rider, by the order's own state; pure, no clock and no connection."""

import math
from enum import StrEnum

from domain.orders import CARRYING, FINAL, Delivery, Status
from services.identity import Role

CELL_DEGREES = 0.005
"""A cell's edge: about 500 meters."""
APPROACHING = frozenset({Delivery.ASSIGNED, Delivery.AT_STORE})
OVER = FINAL | {Status.DELIVERED}


class Sight(StrEnum):
    """How exactly a rider is shown."""

    NOTHING = "nothing"
    """Before assignment, after the end."""
    COARSE = "coarse"
    """A cell, on the way to the shop."""
    EXACT = "exact"
    """The position, while the order is carried."""


def sight(role: Role, *, status: str, delivery: str) -> Sight:
    """What one of the order's people may see of its rider; a shop, nothing after the pick-up."""
    if status in OVER:
        return Sight.NOTHING
    if delivery in APPROACHING:
        return Sight.COARSE
    if delivery in CARRYING and role is not Role.MERCHANT:
        return Sight.EXACT
    return Sight.NOTHING


def cell(lat: float, lng: float) -> tuple[float, float]:
    """The centre of the cell that holds a place, degrees."""
    return _centre(lat), _centre(lng)


def _centre(degrees: float) -> float:
    return round((math.floor(degrees / CELL_DEGREES) + 0.5) * CELL_DEGREES, 4)
