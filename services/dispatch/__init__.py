"""Delivery tasks: what riders, the order's own acts and the matcher may do to the task row.

Every act takes the order's stream lock first, then changes the row by one conditional statement
under its fencing token. Who is offered what is decided in `domain.matching`.
"""

from services.dispatch.kernel import warm_up
from services.dispatch.matcher import ZONES_MAX, Matcher, Superseded, zones
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
    bonus_fen,
    close_if_open,
    expect_food,
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
    "RiderOffer",
    "RiderTask",
    "RiderWork",
    "Shop",
    "Superseded",
    "TaskState",
    "arrive_customer",
    "arrive_store",
    "bonus_fen",
    "check_proof",
    "claim",
    "close_if_open",
    "decline",
    "expect_food",
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
    "warm_up",
    "zones",
]
