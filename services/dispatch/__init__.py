"""Delivery tasks: what riders, the order's own acts and the matcher may do to the task row.

Every act takes the order's stream lock first, then changes the row by one conditional statement
under its fencing token. Who is offered what is decided in `domain.matching`.
"""

from services.dispatch.door import (
    bring_back,
    check_photo,
    keep_photo,
    log_call,
    photo,
    unreachable,
    wish,
)
from services.dispatch.matcher import ZONES_MAX, Matcher, Superseded, zones
from services.dispatch.riders import (
    arrive_customer,
    arrive_store,
    check_proof,
    claim,
    decline,
    fail,
    kitchen_late,
    take_over,
)
from services.dispatch.rows import TaskState, end_shift_if_done
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
    release,
    returner,
    take,
)
from services.dispatch.work import RiderOffer, RiderTask, RiderWork, Shop, answers, offers

__all__ = [
    "ZONES_MAX",
    "Matcher",
    "RiderOffer",
    "RiderTask",
    "RiderWork",
    "Shop",
    "Superseded",
    "TaskState",
    "answers",
    "arrive_customer",
    "arrive_store",
    "bonus_fen",
    "bring_back",
    "check_photo",
    "check_proof",
    "claim",
    "close_if_open",
    "decline",
    "end_shift_if_done",
    "expect_food",
    "extend",
    "fail",
    "food_is_ready",
    "hand_over",
    "has_given_up",
    "hold",
    "keep_photo",
    "kitchen_late",
    "log_call",
    "offers",
    "open_task",
    "photo",
    "reassign",
    "release",
    "returner",
    "take",
    "take_over",
    "unreachable",
    "wish",
    "zones",
]
