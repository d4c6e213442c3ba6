"""What is decided in a minute, and what is left open."""

from dataclasses import replace

from domain.planning.model import Decision, Job, Rider, Rules
from domain.planning.tick import Zone, decide
from tests.domain.planning.days import drives

SHOPS = {"near": (3200.0, 0.0), "far": (9600.0, 0.0)}
"""10 and 30 minutes east."""
ZONE = Zone(SHOPS, drives, rounds=20)
RIDER = Rider(rider_id="a", place=(0.0, 0.0), free_at=0, off_at=500)


def job(order_id: str, *, ready_at: float, shop_id: str = "near", east: float = 3200) -> Job:
    return Job(
        order_id=order_id, shop_id=shop_id, place=(east, 640.0), placed_at=0, ready_at=ready_at
    )


def at(now: float, riders: list[Rider], jobs: list[Job], last: Decision | None = None) -> Decision:
    return decide(now, riders, jobs, last.routes if last else {}, zone=ZONE, seed=1)


def test_a_rider_leaves_in_the_last_minute_that_costs_nothing() -> None:
    jobs = [job("x", ready_at=30)]
    assert at(17, [RIDER], jobs).leave == {}
    assert at(18, [RIDER], jobs).leave == {"a": "x"}


def test_at_the_shop_orders_may_still_join_until_the_hand_over_begins() -> None:
    here = replace(RIDER, place=SHOPS["near"], free_at=28, bound_for="x")
    first = at(27, [here], [job("x", ready_at=30)])
    assert not first.collect
    second = at(28, [here], [job("x", ready_at=30), job("y", ready_at=29)], first)
    assert [(one.rider_id, sorted(one.order_ids), one.pickup_at) for one in second.collect] == [
        ("a", ["x", "y"], 30)
    ]
    assert second.routes["a"] == ()


def test_who_is_bound_for_a_shop_keeps_that_order_whoever_comes_closer() -> None:
    bound = replace(RIDER, place=SHOPS["near"], free_at=30, bound_for="x")
    closer = Rider(rider_id="b", place=SHOPS["near"], free_at=0, off_at=500)
    jobs = [job("x", ready_at=20)]
    assert at(21, [bound, closer], jobs).routes == {"a": (("x",),)}


def test_a_rider_who_comes_on_shift_later_is_planned_but_sent_nowhere() -> None:
    later = replace(RIDER, free_at=40)
    decision = at(20, [later], [job("x", ready_at=20)])
    assert decision.routes == {"a": (("x",),)}
    assert decision.leave == {}
    assert at(20, [replace(RIDER, free_at=90)], [job("x", ready_at=20)]).routes == {}


def test_what_is_late_anyway_does_not_make_the_rest_late() -> None:
    late = job("late", ready_at=0, shop_id="far", east=9600)
    soon = [job("x", ready_at=38), job("y", ready_at=40)]
    decision = at(36, [replace(RIDER, place=SHOPS["near"])], [late, *soon])
    assert decision.routes["a"][0] in {("x", "y"), ("y", "x")}


def test_idle_riders_wait_where_orders_are_expected_but_not_where_somebody_is() -> None:
    crew = [RIDER, replace(RIDER, rider_id="b")]
    demand = {"near": 5.0, "far": 0.0}
    sent = decide(0, crew, [], {}, zone=ZONE, seed=1, demand=demand).standby
    assert [*sent.values()] == ["near"]
    there = replace(RIDER, rider_id="c", place=SHOPS["near"])
    assert decide(0, [RIDER, there], [], {}, zone=ZONE, seed=1, demand=demand).standby == {}


def test_nobody_is_sent_to_wait_at_the_end_of_a_shift() -> None:
    leaving = replace(RIDER, off_at=Rules().standby_left)
    assert decide(0, [leaving], [], {}, zone=ZONE, seed=1, demand={"near": 5.0}).standby == {}
