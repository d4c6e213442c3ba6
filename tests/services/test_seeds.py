"""Planting a city on a real PostgreSQL: rows, personal rows, keys; twice is once."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from domain.contracts.dispatch import Zone
from domain.eta import Vehicle
from domain.matching import Way
from services import personal, seeds, shops, tables
from services.db import Database
from services.dispatch import Matcher, rider_terms, zone_rules
from services.dispatch.rider_terms import RiderTerms
from services.positions import Places
from services.shops import Switches
from workers.demo_city import PAYEES, SPLITTING, demo_city


def city_of(site_id: str) -> dict[str, Any]:
    """The demo city under another name, so that tests keep apart."""
    city = demo_city()
    city["site"]["site_id"] = site_id
    for section, names in {
        "merchants": ("merchant_id",),
        "channel_accounts": ("account_id", "merchant_id"),
        "shops": ("shop_id", "merchant_id"),
        "items": ("shop_id",),
    }.items():
        for row in city[section]:
            row.update({name: f"{site_id}-{row[name]}" for name in names})
    for account in city["channel_accounts"]:
        account["appid"] = "wx0123456789abcdef"
    return city


async def plant(database: Database, city: dict[str, Any]) -> dict[str, int]:
    async with database.write() as writer:
        return await seeds.plant(writer, city)


@pytest.mark.usefixtures("personal_key")
async def test_a_city_becomes_rows_and_again_changes_nothing_that_people_changed(
    database: Database, site_id: str
) -> None:
    city = city_of(site_id)
    first = await plant(database, city)
    assert first == {
        "zones": 1,
        "merchants": 4,
        "contracts": 1,
        "channel_accounts": 16,
        "shops": 3,
        "items": 7,
        "customers": 2,
        "riders": 6,
    }
    items, shops = tables.items, tables.shops
    async with database.write() as writer:
        mine = shops.c.site_id == site_id
        await writer.run(shops.update().where(mine).values(paused=True))
        await writer.run(items.update().where(items.c.site_id == site_id).values(stock=7))
    city["items"][0]["price_fen"] = 1
    assert await plant(database, city) == first
    async with database.read() as reader:
        assert all(row.paused for row in await reader.all(select(shops).where(mine)))
        rows = await reader.all(select(items).where(items.c.site_id == site_id))
        assert {row.stock for row in rows} == {7}
        assert 1 in {row.price_fen for row in rows}
        accounts = await reader.all(
            select(tables.channel_accounts).where(tables.channel_accounts.c.site_id == site_id)
        )
    assert {row.keys_ref for row in accounts} == {
        f"keys/{channel}/{numbers}{n}" for channel, numbers in PAYEES.items() for n in (1, 2, 3)
    } | {f"keys/{channel}/{PAYEES[channel]}0" for channel in SPLITTING} | {
        f"keys/bank/{PAYEES['bank']}9"
    }


@pytest.mark.usefixtures("personal_key")
async def test_what_people_settled_is_not_undone_by_the_next_start(
    database: Database, site_id: str
) -> None:
    city = city_of(site_id)
    city["zones"].append({"zone_id": "lakeside", "rules": {"neighbours": ["westlake"]}})
    await plant(database, city)
    shop_id = city["shops"][0]["shop_id"]
    who = {"site_id": site_id, "rider_id": "rider-1"}
    whose = {"site_id": site_id, "merchant_id": shop_id, "shop_id": shop_id}
    wanted = RiderTerms(
        zone_id="lakeside",
        vehicle=Vehicle.CAR,
        skills=["cold_box"],
        room=9,
        area=[[30.2, 120.1], [30.3, 120.1], [30.3, 120.2]],
        probation=True,
        not_with=["customer:customer-2"],
    )
    switches = Switches(paused=True, self_pickup=True, prep_minutes=44, auto_accept=True)
    rules = {"way": "grab", "neighbours": ["lakeside"]}
    async with database.write() as writer:
        await rider_terms.set_terms(writer, wanted, **who)
        await zone_rules.set_rules(writer, rules, site_id=site_id, zone_id="westlake")
        shop = await shops.switch(writer, switches, **whose)
    places = Places("redis://127.0.0.1:1").of
    assert await Matcher.take(database, Zone(site_id=site_id, zone_id="westlake"), places)

    for row in city["riders"]:
        row |= {"vehicle": "e_bike", "room": 3, "skills": [], "area": [], "probation": False}
    city["shops"][0] |= {"self_pickup": False, "prep_minutes": 8}
    await plant(database, city)
    async with database.read() as reader:
        assert await rider_terms.terms(reader, **who) == wanted
        zone = await zone_rules.rules(reader, site_id=site_id, zone_id="westlake")
        assert await shops.shop(reader, site_id, shop_id) == shop
        zones = await reader.all(
            select(tables.zones.c.epoch).where(tables.zones.c.site_id == site_id)
        )
    assert (zone.way, zone.neighbours) == (Way.GRAB, ("lakeside",))
    assert sorted(row.epoch for row in zones) == [0, 1]


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({"wey": "grab"}, "wey"),
        ({"way": "shout"}, "shout"),
        ({"steps": [{"radius_meters": 9}]}, "after_seconds"),
        ([], "westlake"),
        ({"neighbours": ["beyond"]}, "beyond"),
    ],
)
@pytest.mark.usefixtures("personal_key")
async def test_rules_that_no_matcher_can_read_are_refused(
    database: Database, site_id: str, rules: Any, named: str
) -> None:
    city = city_of(site_id) | {"zones": [{"zone_id": "westlake", "rules": rules}]}
    with pytest.raises(seeds.SeedWrong, match=named):
        await plant(database, city)
    async with database.read() as reader:
        assert not await reader.all(select(tables.zones).where(tables.zones.c.site_id == site_id))


@pytest.mark.usefixtures("personal_key")
async def test_an_openid_is_a_personal_row_and_links_the_payer(
    database: Database, site_id: str
) -> None:
    await plant(database, city_of(site_id))
    customers = tables.customers
    async with database.read() as reader:
        rows = await reader.all(select(customers).where(customers.c.site_id == site_id))
        assert {row.customer_id for row in rows} == {"customer-1", "customer-2"}
        known = {"site_id": site_id, "kind": "openid", "ref": "wechat"}
        linked = await personal.get(reader, subject="customer:customer-1", **known)
        assert linked == {"openid": "oDemo0000000000000000000001"}
        assert await personal.get(reader, subject="customer:customer-2", **known) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"shop": []}, "shops"),
        ({"riders": [{"rider_id": "r", "zone_id": "z", "mood": "good"}]}, "mood"),
        ({"riders": [{"zone_id": "z"}]}, "rider_id"),
    ],
)
async def test_what_there_is_not_is_named_and_nothing_is_planted(
    database: Database, site_id: str, change: dict[str, Any], named: str
) -> None:
    city = city_of(site_id) | {"customers": []} | change
    with pytest.raises(seeds.SeedWrong, match=named):
        await plant(database, city)
    async with database.read() as reader:
        assert not await reader.all(select(tables.sites).where(tables.sites.c.site_id == site_id))


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    account = {
        "mchid": "1600000001",
        "keys": {
            "appid": "wx0123456789abcdef",
            "serial_no": "5A",
            "apiv3_key": "k" * 32,
            "public_key_id": "PUB_KEY_ID_1",
            "private_key_pem": "private",
            "public_key_pem": "public",
        },
    }
    seeds.keep_keys(tmp_path, account)
    seeds.keep_keys(tmp_path, account)
    folder = tmp_path / "keys" / "wechat" / "1600000001"
    assert sorted(file.name for file in folder.iterdir()) == [
        "account.json",
        "private_key.pem",
        "public_key.pem",
    ]
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    with pytest.raises(seeds.SeedWrong):
        seeds.keep_keys(tmp_path, account | {"mchid": "../up"})
