"""What nobody's tap ends is ended; the place goes with the shift, whoever has ended it."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from domain.earnings import fairness
from services import dispatch, earnings, outbox, riders, shifts
from services.db import Database
from services.dispatch import TaskState
from services.positions import Ingest, of_riders
from services.shifts import SILENT_REAL_SECONDS, SILENT_SECONDS
from tests.zone import ZONE_ID, City
from workers.relay import STREAM, Publisher
from workers.shifts import Shifts

DAY = timedelta(days=1)
_SILENT = """UPDATE riders SET seen_at = seen_at - make_interval(secs => :seconds),
paused_at = paused_at - make_interval(secs => :seconds) WHERE site_id = :site AND rider_id = 'a'"""
_SOONER = """UPDATE shifts SET started_at = started_at - :span, ended_at = ended_at - :span
WHERE site_id = :site AND (rider_id = 'a' OR ended_at IS NULL)"""


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    return await begun(await City.build(database, site_id))


async def begun(city: City) -> City:
    """Both riders of the city have begun their shifts."""
    await city.add_riders("a", "b")
    for rider_id in ("a", "b"):
        await tap(city, rider_id, on=True)
    await change(city, _SOONER, span=DAY)
    return city


async def change(city: City, statement: str, **named: Any) -> None:
    async with city.database.write() as writer:
        await writer.run(text(statement), {"site": city.site_id, **named})


async def tap(city: City, rider_id: str, *, on: bool, ends_at: datetime | None = None) -> None:
    who = {"site_id": city.site_id, "rider_id": rider_id}
    async with city.database.write() as writer:
        await riders.set_shift(writer, **who, on=on, ends_at=ends_at)
        await dispatch.end_shift_if_done(writer, **who)


async def silent(city: City, seconds: float) -> None:
    """Rider `a` has shown no sign of life for so long."""
    await change(city, _SILENT, seconds=seconds)


async def look(city: City) -> dict[str, str]:
    """Each rider's shift after a round."""
    await Shifts(city.database).once()
    async with city.database.read() as reader:
        return {
            rider_id: (await shifts.of(reader, site_id=city.site_id, rider_id=rider_id)).state
            for rider_id in ("a", "b")
        }


async def carried(city: City) -> TaskState:
    """Rider `a` carries an order."""
    task = await city.add_task()
    await (await city.matcher()).offer(task, ["a"])
    await city.do(dispatch.claim, task, "a", 1)
    assert await city.order_does(dispatch.take, task, rider_id="a", token=1)
    return task


async def relayed(city: City, redis: Redis) -> list[str]:
    """Whose shift the riders' lines were told the end of, once all is relayed."""
    async with outbox.line(city.database) as writer:
        while await Publisher(writer, redis).once():
            pass
    entries: Any = await redis.xrange(STREAM)
    told: list[Mapping[str, Any]] = [json.loads(fields[b"m"]) for _, fields in entries]
    return [
        one["rider_id"]
        for one in told
        if (one["type"], one["site_id"]) == ("shift.ended", city.site_id)
    ]


@pytest.mark.parametrize("how", ["tap", "hand over", "reassign", "close", "silence"])
async def test_the_end_of_a_shift_deletes_the_place(
    city: City, redis: Redis, valkey_url: str, how: str
) -> None:
    ingest = Ingest(valkey_url, city.database)
    here = {"site_id": city.site_id, "rider_id": "a", "place": city.riders["a"]}
    await ingest.begin(**here)
    if how in {"tap", "silence"}:
        await (tap(city, "a", on=False) if how == "tap" else silent(city, SILENT_SECONDS))
    else:
        task = await carried(city)
        await tap(city, "a", on=False)
        assert await relayed(city, redis) == []
        assert set(await of_riders(redis, city.site_id, ["a"])) == {"a"}
        match how:
            case "hand over":
                await city.order_does(dispatch.hand_over, task, rider_id="a", token=1)
            case "reassign":
                await city.order_does(dispatch.reassign, task, rider_id="b")
            case "close":
                await city.order_does(dispatch.close_if_open, task, even_after_pickup=True)
    assert await look(city) == {"a": "off", "b": "on"}
    assert await relayed(city, redis) == ["a"]
    assert await of_riders(redis, city.site_id, ["a"]) == {}
    await ingest.close()


async def test_a_shift_begun_anew_keeps_its_place(
    city: City, redis: Redis, valkey_url: str
) -> None:
    ingest = Ingest(valkey_url, city.database)
    for on in (False, True):
        await tap(city, "a", on=on)
    await ingest.begin(city.site_id, "a", city.riders["a"])
    assert await relayed(city, redis) == ["a"]
    assert (await of_riders(redis, city.site_id, ["a"]))["a"].place == city.riders["a"]
    await ingest.close()


async def test_a_shift_ends_by_its_plan(city: City) -> None:
    now = datetime.now(UTC)
    await tap(city, "a", on=True, ends_at=now + timedelta(hours=1))
    assert await look(city) == {"a": "on", "b": "on"}
    await tap(city, "a", on=True, ends_at=now)
    assert await look(city) == {"a": "off", "b": "on"}


async def test_with_goods_in_hand_it_only_stops_offers_and_who_goes_on_does(city: City) -> None:
    task = await carried(city)
    await tap(city, "a", on=True, ends_at=datetime.now(UTC))
    assert await look(city) == {"a": "ending", "b": "on"}
    assert await look(city) == {"a": "ending", "b": "on"}
    await tap(city, "a", on=True)
    assert await look(city) == {"a": "on", "b": "on"}
    await tap(city, "a", on=True, ends_at=datetime.now(UTC))
    await look(city)
    assert await city.order_does(dispatch.hand_over, task, rider_id="a", token=1)
    assert await look(city) == {"a": "off", "b": "on"}


@pytest.mark.parametrize(
    ("speed", "bound"), [(1, SILENT_SECONDS), (2, SILENT_SECONDS / 2), (60, SILENT_REAL_SECONDS)]
)
async def test_who_is_silent_for_long_has_gone_home(
    database: Database, site_id: str, speed: float, bound: float
) -> None:
    city = await begun(await City.build(database, site_id, speed=speed))
    await silent(city, bound - 30)
    assert await look(city) == {"a": "on", "b": "on"}
    await silent(city, 31)
    assert await look(city) == {"a": "off", "b": "on"}


async def test_who_pauses_may_be_silent_for_as_long_as_the_reason_lets(city: City) -> None:
    async with city.database.write() as writer:
        await shifts.pause(writer, site_id=city.site_id, rider_id="a", code="meal")
    await silent(city, SILENT_SECONDS + 60)
    assert await look(city) == {"a": "paused", "b": "on"}
    await silent(city, 45 * 60)
    assert await look(city) == {"a": "off", "b": "on"}


async def test_a_sign_of_life_that_comes_first_keeps_the_shift(city: City) -> None:
    await silent(city, SILENT_SECONDS)
    who = {"site_id": city.site_id, "rider_id": "a"}

    async def stop() -> str:
        async with city.database.write() as writer:
            return await shifts.stop(writer, **who)

    async with city.database.write() as writer:
        await riders.set_shift(writer, **who, on=True)
        stopping = asyncio.create_task(stop())
        await asyncio.sleep(0.2)  # as far as it can get before the tap is committed
    assert await stopping == ""
    assert await look(city) == {"a": "on", "b": "on"}


async def test_who_has_gone_home_counts_no_more_in_the_fair_share(city: City) -> None:
    """A shift that nobody ends is 24 hours a day without pay, and everybody else looks rich."""
    await silent(city, SILENT_SECONDS)
    await look(city)
    await change(city, _SOONER, span=DAY)  # a day after it ended
    now = datetime.now(UTC)
    async with city.database.read() as reader:
        shares = await earnings.of_zone(
            reader,
            site_id=city.site_id,
            zone_id=ZONE_ID,
            since=now - timedelta(hours=2),
            until=now + timedelta(hours=1),
        )
    assert [one.rider_id for one in shares] == ["b"]
    assert fairness(shares).gini == 0
