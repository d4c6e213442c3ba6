"""What a merchant says of carrying an item decides who is asked to bring it."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from domain.contracts.dispatch import Zone
from domain.geo import Point
from services import dispatch
from services.dispatch import Matcher, rider_terms
from services.dispatch.rider_terms import RiderTerms
from tests.api.town import PLACE, Json, Town
from tests.zone import no_beat

PATH = "/v1/merchant/items/tea/carriage"


async def test_only_who_can_carry_it_is_asked(town: Town, http: httpx.AsyncClient) -> None:
    who = town.headers("merchant", town.merchant_id)
    wanted: Json = {"shop_id": town.shop_id, "load": 7, "needs": ["cold_box"]}
    item = (await http.post(PATH, headers=who, json=wanted)).json()
    assert (item["load"], item["needs"], item["name"]) == (7, ["cold_box"], "tea")
    menu = (await http.get(f"/v1/shops/{town.shop_id}/menu")).json()
    assert [one["load"] for one in menu["items"]] == [0, 7]

    crew = {
        "warm": RiderTerms(zone_id="z", room=20),
        "small": RiderTerms(zone_id="z", room=5, skills=["cold_box"]),
        "large": RiderTerms(zone_id="z", room=7, skills=["cold_box"]),
    }
    order, now = await town.order(), datetime.now(UTC)
    later = now + timedelta(minutes=30)
    async with town.database.write() as writer:
        for rider_id, terms in crew.items():
            await rider_terms.set_terms(writer, terms, site_id=town.site_id, rider_id=rider_id)
        await writer.connection.exec_driver_sql(
            "UPDATE riders SET on_shift = true WHERE site_id = %s", (town.site_id,)
        )
        await dispatch.open_task(
            writer,
            order_id=order.order_id,
            site_id=town.site_id,
            zone_id="z",
            shop_id=town.shop_id,
            promised_at=later,
            food_ready_at=now,
            search_from=now,
            support_at=later,
            give_up_at=later,
            offer_seconds=30,
            rider_silence_seconds=180,
            unreachable_seconds=600,
        )

    async def places(site_id: str, rider_ids: list[str]) -> dict[str, Point]:
        assert site_id == town.site_id
        return dict.fromkeys(rider_ids, Point(**PLACE))

    matcher = await Matcher.take(town.database, Zone(site_id=town.site_id, zone_id="z"), places)
    assert matcher is not None
    assert await matcher.tick(no_beat) == 1
    for rider_id in crew:
        screen = (
            await http.get("/v1/rider/offers", headers=town.headers("rider", rider_id))
        ).json()
        asked = [offer["order_id"] for offer in screen["offers"]]
        assert asked == ([order.order_id] if rider_id == "large" else [])


@pytest.mark.parametrize(
    "wrong",
    [{"load": -1}, {"load": 101}, {"needs": ["cold_box"] * 11}, {"needs": ["Cold Box"]}],
)
async def test_bounds_of_what_can_be_said(town: Town, http: httpx.AsyncClient, wrong: Json) -> None:
    who = town.headers("merchant", town.merchant_id)
    wanted: Json = {"shop_id": town.shop_id, "load": 1, "needs": []}
    answer = await http.post(PATH, headers=who, json=wanted | wrong)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation_failed")
    other = town.headers("merchant", "other")
    assert (await http.post(PATH, headers=other, json=wanted)).status_code == 404
