"""A store hears when its rider comes: once, again when it has changed, and of the next rider."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from domain.geo import Point
from services import events
from services.db import Database
from services.eta.outside import NOWHERE
from tests.zone import SHOP_LAT, SHOP_LNG, City
from workers.estimates import Estimates


async def test_its_people_know_when_the_rider_comes(database: Database, site_id: str) -> None:
    city = await City.build(database, site_id)
    task = await city.assigned(await city.matcher())
    where = {"a": Point(SHOP_LAT + 0.02, SHOP_LNG)}

    async def places(site: str, rider_ids: Sequence[str]) -> Mapping[str, Point]:
        return {one: where[one] for one in rider_ids if site == site_id and one in where}

    async def told() -> tuple[int, dict[str, str]]:
        """How often, and what the view says."""
        await estimates.once()
        async with database.read() as reader:
            stream = await events.stream(reader, task.order_id)
        assert stream is not None
        types = await city.event_types(task)
        return types.count("delivery.approaching"), stream.view.get("rider_at_store", {})

    estimates = Estimates(database, NOWHERE, places)
    times, coming = await told()
    assert (times, coming["rider_id"]) == (1, "a")
    # 2.2 km at 250 meters a minute.
    left = datetime.fromisoformat(coming["at"]) - datetime.now(UTC)
    assert 7 * 60 < left.total_seconds() < 9 * 60
    assert (await told())[0] == 1
    where["a"] = Point(SHOP_LAT + 0.05, SHOP_LNG)
    assert (await told())[0] == 2
    where.clear()
    assert (await told())[0] == 2
