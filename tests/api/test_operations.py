"""What operations settle: a zone's rules, and the terms of a rider."""

from typing import Any

import httpx
import pytest

from domain.contracts.dispatch import Zone
from domain.geo import Point
from services.dispatch import seen
from tests.api.town import AREA, NEAR, Town

TERMS = {
    "zone_id": "z",
    "vehicle": "car",
    "skills": ["cold_box"],
    "room": 9,
    "area": AREA,
    "probation": True,
    "not_with": ["customer:ann", "shop:noodles"],
}
PLAIN = {
    "zone_id": "z",
    "vehicle": "e_bike",
    "skills": [],
    "room": 5,
    "area": [],
    "probation": False,
    "not_with": [],
}


async def test_a_zones_rules(town: Town, http: httpx.AsyncClient) -> None:
    who, url = town.headers("operations", "olga"), "/v1/operations/zones/z/rules"
    assert (await http.get(url, headers=who)).json()["late"] is False
    wanted = {"way": "both", "steps": [{"after_seconds": 60, "radius_meters": 900}]}
    answer = await http.put(url, headers=who, json=wanted)
    settled = answer.json()
    assert (settled["way"], settled["late"], settled["steps"][0]["bonus_fen"]) == ("both", True, 0)
    assert (await http.get(url, headers=who)).json() == settled
    for wrong in (
        {"way": "shout"},
        {"colour": "red"},
        {"steps": [{"radius_meters": 0}]},
        {"neighbours": ["beyond"]},
    ):
        answer = await http.put(url, headers=who, json=wrong)
        assert answer.status_code == 422, wrong
    assert (await http.get(url, headers=who)).json() == settled
    nowhere = await http.put("/v1/operations/zones/beyond/rules", headers=who, json={})
    assert nowhere.status_code == 404


async def test_a_riders_terms_are_what_the_matcher_goes_by(
    town: Town, http: httpx.AsyncClient
) -> None:
    who, url = town.headers("operations", "olga"), "/v1/operations/riders/rod/terms"
    assert (await http.get(url, headers=who)).json() == PLAIN
    answer = await http.put(url, headers=who, json=TERMS)
    assert answer.json() == TERMS
    assert (await http.get(url, headers=who)).json() == TERMS
    shift = {"on": True, "lat": 30.26, "lng": 120.14}
    rider = town.headers("rider", "rod")
    assert (await http.post("/v1/rider/shift", headers=rider, json=shift)).status_code == 200
    async with town.database.read() as reader:
        [row] = await seen.riders(reader, Zone(site_id=town.site_id, zone_id="z"), ())
    candidate = seen.candidate(row, Point(**NEAR), free=True)
    assert candidate.skills == {"cold_box", "car"}
    assert (candidate.probation, len(candidate.area), row.room) == (True, len(AREA), 9)
    assert (await http.put(url, headers=who, json={"zone_id": "z"})).json() == PLAIN


async def test_a_rider_who_is_new_is_taken_on(town: Town, http: httpx.AsyncClient) -> None:
    who, url = town.headers("operations", "olga"), "/v1/operations/riders/nina/terms"
    assert (await http.get(url, headers=who)).status_code == 404
    assert (await http.put(url, headers=who, json={"zone_id": "z"})).json() == PLAIN
    assert (await http.get(url, headers=who)).json() == PLAIN


@pytest.mark.parametrize(
    "wrong",
    [
        {"zone_id": "beyond"},
        {"vehicle": "horse"},
        {"room": 0},
        {"area": AREA[:2]},
        {"not_with": ["ann"]},
    ],
)
async def test_terms_that_nobody_can_have(
    town: Town, http: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    who, url = town.headers("operations", "olga"), "/v1/operations/riders/rod/terms"
    assert (await http.put(url, headers=who, json=TERMS | wrong)).status_code == 422
    mine = await http.put(url, headers=town.headers("rider", "rod"), json=TERMS)
    assert mine.status_code == 403
