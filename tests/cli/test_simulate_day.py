"""A delivery day read, laid on the globe, and measured: a made-up instance in every form."""

import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.city import city_of, plane_of
from cli.day import Result, measured, percentile
from cli.mdrp import NoInstance, read
from cli.seeded_city import CLOSES, OPENS, day_of
from domain.contracts.life import Timers
from domain.geo import Point, contains, distance_meters
from services.seeds import SECTIONS

NAME = "9x1"
FILES = {
    "orders.txt": """order x y placement_time restaurant ready_time
o2 1200 300 65 r1 80
o1 -900 4000 60 r2 75
o3 50 60 70 r1 81
""",
    "restaurants.txt": "restaurant x y\nr1 0 0\nr2 3000 4000\nr3 9 9\n",
    "couriers.txt": "courier x y on_time off_time\nc1 100 100 0 90\nc2 0 3000 60 120\n",
    "instance_parameters.txt": (
        "meters_per_minute|pickup service minutes|dropoff service minutes|target click-to-door|"
        "maximum click-to-door|pay per order|guaranteed pay per hour\n320|4|6|40|90|10|15\n"
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one instance, tab separated as published."""
    day = tmp_path / "days" / NAME
    day.mkdir(parents=True)
    for name, text in FILES.items():
        separator = "|" if "|" in text else " "
        (day / name).write_text(text.replace(separator, "\t"))
    return day.parent


@pytest.fixture
def archive(folder: Path, tmp_path: Path) -> Path:
    """The same as an archive."""
    path = tmp_path / "packed" / "instances.tar.xz"
    path.parent.mkdir()
    with tarfile.open(path, "w:xz") as packed:
        packed.add(folder / NAME, arcname=f"deep/{NAME}")
    return path


def test_every_form_reads_alike(folder: Path, archive: Path) -> None:
    days = [read(source, NAME) for source in (folder, folder / NAME, archive, archive.parent)]
    assert all(day == days[0] for day in days)
    day = days[0]
    assert [order.name for order in day.orders] == ["o1", "o2", "o3"]
    assert day.restaurants == {"r1": (0, 0), "r2": (3000, 4000)}
    assert (day.meters_per_minute, day.pickup_service_minutes, day.dropoff_service_minutes) == (
        320,
        4,
        6,
    )
    assert [(c.name, c.place, c.on_minute, c.off_minute) for c in day.couriers] == [
        ("c1", (100, 100), 0, 90),
        ("c2", (0, 3000), 60, 120),
    ]


def test_a_limit_takes_the_first_orders_and_their_restaurants(folder: Path) -> None:
    day = read(folder, NAME, limit=1)
    assert [order.name for order in day.orders] == ["o1"]
    assert set(day.restaurants) == {"r2"}


def test_what_there_is_not_is_said_with_what_there_is(folder: Path, archive: Path) -> None:
    for source in (folder, archive):
        with pytest.raises(NoInstance, match=NAME):
            read(source, "other")
    (folder / NAME / "orders.txt").write_text("not\tthe\tform\n1\t2\t3\n")
    with pytest.raises(NoInstance, match="no MDRP instance"):
        read(folder, NAME)
    (folder / "broken.tar.xz").write_bytes(b"no archive")
    with pytest.raises(NoInstance, match="no archive"):
        read(folder / "broken.tar.xz", NAME)


def test_the_globe_keeps_the_planes_distances(folder: Path) -> None:
    day = read(folder, NAME)
    plane = plane_of(day)
    places = [order.place for order in day.orders] + list(day.restaurants.values())
    for a in places:
        for b in places:
            meters = distance_meters(Point(**plane.place(a)), Point(**plane.place(b)))
            straight = ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) ** 0.5
            assert meters == pytest.approx(straight, rel=1e-3, abs=1)


def test_a_day_is_a_city_that_can_be_seeded(folder: Path) -> None:
    day = read(folder, NAME)
    city = city_of(day, "sim-9x1-abc", 60)
    assert set(city) == {"site", *SECTIONS}
    assert city["site"]["speed"] == 60
    assert city["site"]["always_open"]
    assert set(city["site"]["timers"]) <= set(Timers.__slots__)
    of_shops = [
        one for one in city["channel_accounts"] if one["merchant_id"].endswith(("r1", "r2"))
    ]
    assert len({account["mchid"] for account in of_shops}) == 2
    assert all(len(account["mchid"]) == 10 for account in of_shops)
    preps = {shop["name"]: shop["prep_minutes"] for shop in city["shops"]}
    assert preps == {"r1": 13, "r2": 15}
    plane = plane_of(day)
    for shop in city["shops"]:
        area = [Point(*corner) for corner in shop["delivery_area"]]
        for order in day.orders:
            assert contains(area, Point(**plane.place(order.place)))
    for section, table in SECTIONS.items():
        names = set(table.columns.keys()) | {"openid", "payers", "fund_fen"}
        assert all(set(row) <= names for row in city[section])


def seen(key: str, status: str, minutes: dict[str, float], **more: Any) -> dict[str, Any]:
    """An order as people logged it, on a site twenty times faster than life."""
    clicked_at = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        (seq, kind, (clicked_at + timedelta(minutes=at / 20)).isoformat())
        for seq, (kind, at) in enumerate(minutes.items(), 1)
    ]
    order = {"key": key, "status": status, "clicked_at": clicked_at.isoformat()}
    return order | {"events": events, "ended": True, "refused": None, "close_reason": ""} | more


def test_times_are_multiplied_back_and_ends_counted() -> None:
    log = [
        seen("o1", "delivered", {"order.placed": 1, "order.picked_up": 20, "order.delivered": 30}),
        seen("o2", "delivered", {"order.placed": 1, "order.picked_up": 18, "order.delivered": 40}),
        seen("o3", "cancelled", {"order.placed": 2}, close_reason="no_rider"),
        seen("o4", "refused", {}, refused={"type": "/problems/shop_closed"}),
        seen("o5", "preparing", {}, ended=False),
    ]
    day = measured(log, {"o1": 15 * 60, "o2": 15 * 60}, 20)
    assert day["delivered"] == 2
    assert day["cancelled"] == {"no_rider": 1, "refused:shop_closed": 1}
    assert day["without_end"] == 1
    assert day["click_to_door_mean_minutes"] == pytest.approx(35)
    assert day["click_to_door_p90_minutes"] == pytest.approx(39)
    assert day["tap_to_placed_p50_seconds"] == pytest.approx(3)
    assert day["ready_to_pickup_mean_minutes"] == pytest.approx(4)
    result = Result(
        instance=NAME,
        site_id="s",
        speed=20,
        orders=5,
        wall_seconds=10,
        orders_per_second=0.5,
        laws_checked=12,
        **day,
    )
    assert not result.good
    assert dict(result.rows())["delivered"] == "2 (40.0 %)"
    assert result.as_json()["without_end"] == 1


def test_a_broken_law_or_none_checked_is_not_good() -> None:
    empty = measured([], {}, 1)
    common: dict[str, Any] = {"instance": NAME, "site_id": "s", "speed": 1, "orders": 1}
    common |= {"wall_seconds": 1, "orders_per_second": 1, **empty}
    assert Result(**common, laws_checked=12).good
    assert not Result(**common).good
    assert not Result(**common, laws_checked=12, laws_broken={"1": ["x"]}).good
    assert dict(Result(**common, laws_checked=12).rows())["click to door, minutes"] == "none"


def test_percentiles_are_interpolated() -> None:
    assert percentile([], 0.9) is None
    assert percentile([3], 0.9) == 3
    assert percentile([1, 2, 3, 4, 5], 0.5) == 3
    assert percentile([0, 10], 0.9) == pytest.approx(9)


def test_a_seed_makes_one_day_with_peaks_rain_and_people_who_fail() -> None:
    day = day_of(7, 1_000)
    assert day == day_of(7, 1_000) != day_of(8, 1_000)
    minutes = [order.placement_minute for order in day.orders]
    assert minutes == sorted(minutes)
    assert OPENS <= minutes[0] < minutes[-1] < CLOSES + 1
    lunch = sum(690 <= minute < 750 for minute in minutes)
    quiet = sum(900 <= minute < 960 for minute in minutes)
    assert lunch > 2 * quiet
    assert all(order.ready_minute >= order.placement_minute + 3 for order in day.orders)
    assert {order.restaurant for order in day.orders} == set(day.restaurants)
    [rain] = day.rain
    assert OPENS <= rain.from_minute < rain.until_minute <= CLOSES
    assert any(courier.goes_silent == "after_claim" for courier in day.couriers)
    assert 0 < sum(order.habits is not None for order in day.orders) < 150


def test_a_day_has_a_payee_of_each_merchant_at_each_channel(folder: Path) -> None:
    day = read(folder, NAME)
    city = city_of(day, "site", 60, channels=("wechat", "card"), timers={"after_sale_seconds": 9})
    accounts = [one for one in city["channel_accounts"] if one["merchant_id"].startswith("site")]
    assert len({one["account_id"] for one in accounts}) == len(accounts) == 4
    assert {one["merchant_id"] for one in city["channel_accounts"]} - {"site-r1", "site-r2"} == {
        "",
        "platform",
    }
    assert {one["mchid"][:7] for one in accounts if one["channel"] == "card"} == {"acct_17"}
    assert city["site"]["timers"] == {"after_sale_seconds": 9}
