"""The plain formula's window, its words, and the estimate that lives on after the promise."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import eta
from domain.eta import Hint, Known, Moment, Progress, Traffic, Vehicle, Way, Weather
from domain.geo import Point

NOW = datetime(2026, 11, 13, 12, tzinfo=UTC)
CALM = Known(shop_id="shop", prep_minutes=12, meters=3_000, hour=12, weekday=5)


def known(**moment: object) -> Known:
    return Known(
        shop_id="shop",
        prep_minutes=12,
        meters=3_000,
        hour=12,
        weekday=5,
        moment=Moment(**moment),  # type: ignore[arg-type]
    )


def test_a_calm_moment_is_kitchen_wait_ride_and_hand_over() -> None:
    window = eta.formula(CALM)
    assert (window.middle, window.promise_minutes, window.hints) == (12 + 2 + 12 + 3, 34, ())
    assert window.low < window.middle < window.high


def test_rain_is_said_with_its_minutes() -> None:
    calm, wet = eta.formula(CALM), eta.formula(known(weather=Weather.RAIN))
    assert wet.told()["hints"] == ["rain: +4 min"]
    assert wet.middle == pytest.approx(calm.middle + 3.6)


@given(
    st.builds(
        Moment,
        cooking=st.integers(0, 200),
        waiting=st.integers(0, 200),
        riders=st.integers(0, 50),
        weather=st.none() | st.sampled_from(Weather),
        traffic=st.none() | st.sampled_from(Traffic),
    ),
    st.integers(0, 20_000),
)
def test_trouble_only_adds_and_the_window_holds_its_middle(moment: Moment, meters: int) -> None:
    there = Known(shop_id="s", prep_minutes=5, meters=meters, hour=1, weekday=1, moment=moment)
    calm = Known(shop_id="s", prep_minutes=5, meters=meters, hour=1, weekday=1)
    window = eta.formula(there)
    assert window.low <= window.middle <= window.high
    assert window.middle >= eta.formula(calm).middle
    assert len(window.hints) <= eta.HINTS_MAX


def test_the_window_begins_where_its_low_end_says() -> None:
    told = {"low_minutes": 20, "high_minutes": 40}
    assert eta.promised_from(told, NOW, 240.0) == NOW - timedelta(seconds=120)
    assert eta.promised_from(None, NOW, 240.0) is None


def progress(**differs: object) -> Progress:
    usual: dict[str, object] = {
        "searching": False,
        "ready": False,
        "arrived": False,
        "food_ready_at": NOW + timedelta(minutes=5),
        "picked_up_at": None,
        "meters": 2_500,
        "moment": Moment(),
    }
    return Progress(**usual | differs)  # type: ignore[arg-type]


def north(minutes: float) -> Point:
    """So far from the store on an e-bike."""
    return Point(minutes * 250 / 111_194.93, 121.0)


def way(**differs: object) -> Way:
    usual: dict[str, object] = {"store": north(0), "door": north(10)}
    return Way(**usual | differs)  # type: ignore[arg-type]


FIRST = Hint("other orders first", 2 * 3)
CARRIED = {"picked_up_at": NOW - timedelta(minutes=4)}


@pytest.mark.parametrize(
    ("where", "minutes", "hints"),
    [
        (progress(), 5 + 10 + 3, ()),
        (progress(ready=True), 10 + 3, ()),
        (
            progress(food_ready_at=NOW - timedelta(minutes=4)),
            10 + 3,
            (Hint("the kitchen takes longer", 4),),
        ),
        (
            progress(searching=True, ready=True, food_ready_at=NOW - timedelta(minutes=6)),
            2 + 10 + 3,
            (Hint("no rider yet", 6),),
        ),
        (progress(picked_up_at=NOW - timedelta(minutes=4)), 6 + 3, ()),
        (progress(picked_up_at=NOW - timedelta(minutes=40)), 3, ()),
        (progress(picked_up_at=NOW, arrived=True), 3, ()),
        (
            progress(picked_up_at=NOW, moment=Moment(weather=Weather.RAIN)),
            13 + 3,
            (Hint("rain", 3),),
        ),
        (progress(picked_up_at=NOW, meters=650, vehicle=Vehicle.ON_FOOT), 10 + 3, ()),
        # No riders: so many others wait for one.
        (
            progress(searching=True, ready=True, moment=Moment(waiting=3)),
            2 + 9 + 10 + 3,
            (Hint("few riders", 9),),
        ),
        (progress(searching=True, moment=Moment(waiting=1)), 5 + 10 + 3, ()),
        # The rider is near, far, or brings another order first.
        (progress(way=way(rider=north(4))), 5 + 10 + 3, ()),
        (
            progress(way=way(rider=north(-8))),
            8 + 10 + 3,
            (Hint("the rider is on the way", 3),),
        ),
        (
            progress(way=way(rider=north(-8)), moment=Moment(weather=Weather.RAIN)),
            1.3 * 8 + 13 + 3,
            (Hint("the rider is on the way", 1.3 * 8 - 5), Hint("rain", 3)),
        ),
        (
            progress(ready=True, way=way(rider=north(-4), first=[north(-8)])),
            4 + 3 + 8 + 10 + 3,
            (Hint("the rider is on the way", 15),),
        ),
        # The third door of a bundle, from the store and from where its rider has come to.
        (progress(way=way(before=[north(2), north(6)])), 5 + 10 + 6 + 3, (FIRST,)),
        (
            progress(ready=True, way=way(before=[north(-2), north(2)])),
            2 + 4 + 8 + 6 + 3,
            (Hint("other orders first", 4 + 6),),
        ),
        (progress(**CARRIED, way=way(before=[north(2), north(6)])), 6 + 6 + 3, (FIRST,)),
        (
            progress(**CARRIED, way=way(rider=north(1), before=[north(2), north(6)])),
            9 + 6 + 3,
            (FIRST,),
        ),
        # Whoever stands still comes no nearer.
        (progress(picked_up_at=NOW - timedelta(minutes=40), way=way(rider=north(2))), 8 + 3, ()),
    ],
)
def test_the_estimate_lives_with_the_order(
    where: Progress, minutes: int, hints: tuple[Hint, ...]
) -> None:
    estimate = eta.arrival(where, NOW, speed=1)
    assert (estimate.at - NOW) / eta.MINUTE == pytest.approx(minutes, abs=0.01)
    assert [hint.cause for hint in estimate.hints] == [hint.cause for hint in hints]
    told = [hint.minutes for hint in estimate.hints]
    assert told == pytest.approx([hint.minutes for hint in hints], abs=0.01)


def test_the_store_hears_of_rain_too() -> None:
    def there(moment: Moment) -> datetime:
        return eta.at_store(
            north(10), north(0), NOW, speed=1, vehicle=Vehicle.E_BIKE, moment=moment
        )

    assert there(Moment()) == NOW + timedelta(minutes=10)
    assert there(Moment(weather=Weather.RAIN)) == NOW + timedelta(minutes=13)


def test_a_fast_site_lives_its_minutes_faster() -> None:
    slow = eta.arrival(progress(picked_up_at=NOW), NOW, speed=1)
    fast = eta.arrival(progress(picked_up_at=NOW), NOW, speed=10)
    assert (fast.at - NOW) * 10 == slow.at - NOW


def test_a_pace_is_that_of_the_vehicle_in_this_weather_and_traffic() -> None:
    assert eta.pace(Vehicle.E_BIKE, Weather.SNOW, Traffic.JAM) == 1
    assert eta.pace(Vehicle.CAR) == pytest.approx(250 / 350)
    assert eta.pace(Vehicle.CAR, None, Traffic.JAM) == pytest.approx(250 / 350 * 1.5 / 1.25)
