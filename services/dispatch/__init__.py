"""Delivery tasks: what riders, the order's own acts and the matcher may do to the task row.

Every act takes the order's stream lock first, then changes the row by one conditional statement
under its fencing token. Who is offered what is decided in `domain.matching`.
"""

from services.dispatch.matcher import ZONES_MAX, Matcher, PlacesOf, Superseded, zones
from services.dispatch.riders import (
    arrive_customer,
    arrive_store,
    check_proof,
    claim,
    decline,
    fail,
)
from services.dispatch.rows import TaskState
from services.dispatch.tasks import (
    close_if_open,
    extend,
    food_is_ready,
    hand_over,
    has_given_up,
    hold,
    open_task,
    reassign,
    take,
)
from services.dispatch.work import RiderOffer, RiderTask, RiderWork, Shop, offers

__all__ = [
    "ZONES_MAX",
    "Matcher",
    "PlacesOf",
    "RiderOffer",
    "RiderTask",
    "RiderWork",
    "Shop",
    "Superseded",
    "TaskState",
    "arrive_customer",
    "arrive_store",
    "check_proof",
    "claim",
    "close_if_open",
    "decline",
    "extend",
    "fail",
    "food_is_ready",
    "hand_over",
    "has_given_up",
    "hold",
    "offers",
    "open_task",
    "reassign",
    "take",
    "zones",
]
