"""When a shop takes orders, and how far it delivers."""

from datetime import datetime, time

import pytest

from domain.errors import OutOfDeliveryArea, ShopClosed
from domain.geo import Point
from domain.shops import Hours, Shop, delivery_meters, ensure_open, is_open

AREA = (Point(0, 0), Point(0, 1), Point(1, 1), Point(1, 0))


def shop(*hours: Hours, open_: bool = True, paused: bool = False) -> Shop:
    return Shop(
        shop_id="s",
        site_id="site",
        merchant_id="m",
        name="Noodles",
        place=Point(0.5, 0.5),
        delivery_area=AREA,
        hours=hours,
        prep_minutes=10,
        open=open_,
        paused=paused,
        auto_accept=False,
    )


DAY = Hours(opens=time(10), closes=time(22))
NIGHT = Hours(opens=time(18), closes=time(2), weekdays=(5,))
ALWAYS = Hours(opens=time(0), closes=time(0))
FRIDAY, SATURDAY, SUNDAY = 13, 14, 15
"""Days of November 2026."""


@pytest.mark.parametrize(
    ("hours", "day", "hour", "minute", "expected"),
    [
        (DAY, FRIDAY, 9, 59, False),
        (DAY, FRIDAY, 10, 0, True),
        (DAY, FRIDAY, 21, 59, True),
        (DAY, FRIDAY, 22, 0, False),
        (NIGHT, FRIDAY, 1, 0, False),
        (NIGHT, FRIDAY, 23, 0, True),
        (NIGHT, SATURDAY, 1, 59, True),
        (NIGHT, SATURDAY, 2, 0, False),
        (NIGHT, SATURDAY, 18, 0, False),
        (NIGHT, SUNDAY, 1, 0, False),
        (ALWAYS, SUNDAY, 0, 0, True),
        (ALWAYS, SUNDAY, 23, 59, True),
    ],
)
def test_hours(hours: Hours, day: int, hour: int, minute: int, *, expected: bool) -> None:
    local = datetime(2026, 11, day, hour, minute)  # noqa: DTZ001 - the site's own clock
    assert is_open(shop(hours), local) == expected
    assert is_open(shop(hours), local, always_open=True)


def test_switches_go_before_everything() -> None:
    local = datetime(2026, 11, FRIDAY, 12)  # noqa: DTZ001 - the site's own clock
    assert is_open(shop(), local)
    for closed in (shop(open_=False), shop(paused=True)):
        assert not is_open(closed, local, always_open=True)
        with pytest.raises(ShopClosed):
            ensure_open(closed, local, always_open=True)


def test_the_way_inside_the_area_only() -> None:
    assert delivery_meters(shop(), Point(0.5, 0.5)) == 0
    with pytest.raises(OutOfDeliveryArea):
        delivery_meters(shop(), Point(1.5, 0.5))
