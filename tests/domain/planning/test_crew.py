"""When and where riders are free, whatever they are doing. 320 metres are a minute."""

import math
from dataclasses import replace
from typing import Any

import pytest

from domain.planning.crew import Onboard, Shift, Work, owed, rider_of, usual_rate
from domain.planning.model import Place, Rider, Rules

NOW = 100.0
HERE, SHOP, DOOR, FAR = (0.0, 0.0), (3_200.0, 0.0), (3_200.0, 1_600.0), (3_200.0, 3_200.0)
WHO = Onboard(rider_id="a", place=HERE, free_since=90, off_at=500, owed=2, room=3)
WORK = Work(order_id="o", shop=SHOP, place=DOOR, ready_at=105, since=95)


def drive(origin: Place, goal: Place) -> float:
    return math.dist(origin, goal) / 320


def planned(*work: Work, **who: Any) -> Rider:
    return rider_of(replace(WHO, **who), work, now=NOW, drive=drive, rules=Rules())


def test_who_has_nothing_is_free_where_they_are() -> None:
    rider = planned()
    assert (rider.place, rider.free_at, rider.bound_for) == (HERE, 90, "")
    assert (rider.off_at, rider.owed, rider.room) == (500, 2, 3)


def test_who_is_bound_for_a_shop_is_planned_from_there() -> None:
    going, there = planned(WORK), planned(replace(WORK, at_store=True))
    assert (going.place, going.free_at, going.bound_for) == (SHOP, 110, "o")
    assert (there.place, there.free_at, there.bound_for) == (SHOP, 95, "o")
    assert planned(WORK, place=SHOP).free_at > NOW


@pytest.mark.parametrize(
    ("work", "free_at", "place"),
    [
        # There at 110, served at 112, off at 114, 5 minutes to the door, 4 there.
        ([replace(WORK, settled=True)], 123, DOOR),
        # Served at 97, food at 105.
        ([replace(WORK, settled=True, at_store=True)], 116, DOOR),
        # Taken at 95: on the way, from here to the door.
        ([replace(WORK, carried=True)], NOW + math.dist(HERE, DOOR) / 320 + 4, DOOR),
        # Taken just now: two minutes until they leave.
        ([replace(WORK, carried=True, since=NOW)], 102 + math.dist(HERE, DOOR) / 320 + 4, DOOR),
        # At the door since 99: handed over at 101, free at 103.
        ([replace(WORK, carried=True, at_door=True, since=99)], 103, DOOR),
        # The nearer one comes second by its stop.
        (
            [
                replace(WORK, settled=True, at_store=True, stop=1),
                replace(WORK, order_id="p", place=FAR, settled=True, at_store=True, stop=0),
            ],
            107 + 10 + 4 + 5 + 4,
            DOOR,
        ),
        # Another shop before the doors: left at 107, there after 5 minutes, its food at 120.
        (
            [
                replace(WORK, order_id="p", shop=FAR, settled=True, ready_at=120, stop=0),
                replace(WORK, settled=True, at_store=True, stop=1),
            ],
            122 + 5 + 4 + 4,
            DOOR,
        ),
    ],
)
def test_who_has_work_is_free_after_the_last_door(
    work: list[Work], free_at: float, place: Place
) -> None:
    rider = planned(*work)
    assert (rider.place, rider.bound_for) == (place, "")
    assert rider.free_at == pytest.approx(free_at)


def test_owed_is_what_is_guaranteed_or_what_the_others_have_had() -> None:
    fresh, busy, idle = (
        Shift(orders=orders, hours=hours, whole_hours=8)
        for orders, hours in ((0, 0.0), (6, 2.0), (2, 2.0))
    )
    usual = usual_rate([fresh, busy, idle])
    assert usual == 2
    assert [owed(one, guaranteed=0, usual=usual) for one in (fresh, busy, idle)] == [0.5, -1.5, 2.5]
    assert [owed(one, guaranteed=1, usual=usual) for one in (fresh, busy, idle)] == [8, 2, 6]
    assert usual_rate([fresh]) == 0
