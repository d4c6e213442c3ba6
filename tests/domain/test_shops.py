"""When a shop is open, and how far it delivers."""

from dataclasses import replace
from datetime import UTC, datetime, time

import pytest

from domain.errors import OutOfDeliveryArea, ShopClosed
from domain.geo import Point
from domain.shops import Hours, Shop, delivery_meters, ensure_open, is_open

LUNCH = Hours(opens=time(11), closes=time(14))
FRIDAY_NIGHT = Hours(opens=time(20), closes=time(2), weekdays=(5,))
SHOP = Shop(
    shop_id="s",
    site_id="site",
    merchant_id="m",
    name="Noodles",
    place=Point(31.2, 121.4),
    delivery_area=(Point(31, 121), Point(31, 122), Point(32, 122), Point(32, 121)),
    hours=(LUNCH, FRIDAY_NIGHT),
    prep_minutes=15,
    open=True,
    paused=False,
    auto_accept=False,
)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A local time; 5 June 2026 is a Friday."""
    return datetime(2026, 6, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "opened"),
    [
        (at(1, 10, 59), False),
        (at(1, 11), True),
        (at(1, 13, 59), True),
        (at(1, 14), False),
        (at(5, 20), True),
        (at(6, 1, 59), True),
        (at(6, 2), False),
        (at(5, 1), False),
        (at(6, 20), False),
        (at(7, 1), False),
    ],
)
def test_hours_are_spans_that_may_end_next_morning(local: datetime, opened: bool) -> None:  # noqa: FBT001
    assert is_open(SHOP, local) is opened


def test_a_sunday_night_ends_on_monday() -> None:
    sunday = replace(SHOP, hours=(replace(FRIDAY_NIGHT, weekdays=(7,)),))
    assert is_open(sunday, at(8, 1))
    assert not is_open(sunday, at(7, 1))


def test_no_hours_and_equal_hours_are_around_the_clock() -> None:
    day_and_night = (Hours(opens=time(8), closes=time(8)),)
    for hour in range(24):
        assert is_open(replace(SHOP, hours=()), at(2, hour))
        assert is_open(replace(SHOP, hours=day_and_night), at(2, hour))


def test_its_own_switches_go_before_everything() -> None:
    for closed in (replace(SHOP, open=False), replace(SHOP, paused=True)):
        assert not is_open(closed, at(1, 12), always_open=True)
        with pytest.raises(ShopClosed) as refused:
            ensure_open(closed, at(1, 12))
        assert refused.value.data == {"shop_id": "s"}
    ensure_open(SHOP, at(1, 3), always_open=True)


def test_it_delivers_inside_its_area() -> None:
    assert delivery_meters(SHOP, Point(31.3, 121.4)) == pytest.approx(11_120, abs=5)
    with pytest.raises(OutOfDeliveryArea):
        delivery_meters(SHOP, Point(32.5, 121.4))
