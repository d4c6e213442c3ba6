"""Positions go to Redis and to viewers, a sign of life to the row; either part may be away."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from domain.errors import NotFound, Unavailable
from domain.positions import Fix
from services import dispatch, metrics, positions, riders
from services.db import Database
from services.positions import STREAM, Ingest, Places, Taken, of_riders
from services.positions.store import KEPT_SECONDS, STREAM_SECONDS
from tests.valkey import Valkey
from tests.zone import City


def now_ms() -> int:
    return round(time.time() * 1_000)


def fix(seconds_ago: float = 0.0, *, north: float = 0.0) -> Fix:
    return Fix(31.23 + north, 121.47, now_ms() - round(seconds_ago * 1_000))


@pytest.fixture
async def ingest(database: Database, valkey_url: str) -> AsyncIterator[Ingest]:
    made = Ingest(valkey_url, database)
    yield made
    await made.close()


@pytest.fixture
async def city(database: Database, site_id: str) -> City:
    made = await City.build(database, site_id)
    await made.add_riders("a", "b")
    return made


async def moves(redis: Redis, city: City) -> list[list[Any]]:
    """What viewers were told of the city's riders, by entry."""
    entries: Any = await redis.xrange(STREAM)
    told = [orjson.loads(fields[b"m"]) for _, fields in entries]
    mine = [[move[1:] for move in moves if move[0] == city.site_id] for moves in told]
    return [moves for moves in mine if moves]


async def seconds_since_seen(city: City, rider_id: str) -> float:
    [row] = await city.all(
        "SELECT extract(epoch FROM now() - seen_at) AS ago FROM riders"
        " WHERE site_id = :site AND rider_id = :rider",
        site=city.site_id,
        rider=rider_id,
    )
    return float(row.ago)


async def test_a_window_of_batches_is_one_write_and_one_message(ingest: Ingest, city: City) -> None:
    older, newer, other = fix(20), fix(10, north=0.001), fix(5)
    await city.pass_time(await city.add_task(), 100)
    taken = await asyncio.gather(
        ingest.take(city.site_id, "a", [newer, older, fix(2, north=1.0)], way="http"),
        ingest.take(city.site_id, "b", [other], way="mqtt"),
        ingest.take(city.site_id, "a", [newer, fix(900)], way="http"),
    )
    assert taken == [
        Taken(accepted=2, dropped={"jump": 1}),
        Taken(accepted=1, dropped={}),
        Taken(accepted=0, dropped={"duplicate": 1, "stale": 1}),
    ]
    told = await moves(ingest.redis, city)
    assert sorted(move[:3] for move in told[0]) == [["a", *newer[:2]], ["b", *other[:2]]]
    assert len(told) == 1
    held = await of_riders(ingest.redis, city.site_id, ["a", "b", "c"])
    assert sorted(told[0]) == [[name, *held[name][:3]] for name in sorted(held)]
    [expires] = await ingest.redis.httl(f"{STREAM}:{city.site_id}", "a")
    assert 0 < expires <= KEPT_SECONDS
    assert 0 < await ingest.redis.ttl(STREAM) <= STREAM_SECONDS
    assert await seconds_since_seen(city, "a") < 60


async def test_a_rider_comes_as_far_as_the_vehicle_does(ingest: Ingest, city: City) -> None:
    async with city.database.write() as writer:
        await writer.run(
            text("UPDATE riders SET vehicle = 'on_foot' WHERE site_id = :s AND rider_id = 'a'"),
            {"s": city.site_id},
        )
    a_kilometer_on = [fix(60), fix(0, north=0.009)]
    walks = await ingest.take(city.site_id, "a", a_kilometer_on, way="http")
    rides = await ingest.take(city.site_id, "b", a_kilometer_on, way="http")
    assert (walks.dropped, rides.dropped) == ({"jump": 1}, {})


async def test_what_the_version_before_wrote_is_read(ingest: Ingest, city: City) -> None:
    here = fix(5)
    await ingest.redis.hset(f"{STREAM}:{city.site_id}", "a", orjson.dumps([tuple(here)]).decode())
    assert await of_riders(ingest.redis, city.site_id, ["a"]) == {"a": here}
    assert (await ingest.take(city.site_id, "a", [fix(4)], way="http")).accepted == 1


async def test_doubt_outlives_the_process(
    ingest: Ingest, city: City, database: Database, valkey_url: str
) -> None:
    await ingest.take(city.site_id, "a", [fix(60)], way="http")
    other = Ingest(valkey_url, database)
    dropped = [
        (await each.take(city.site_id, "a", [fix(ago, north=0.5)], way="http")).dropped
        for each, ago in ((ingest, 40), (other, 30), (ingest, 20))
    ]
    await other.close()
    assert dropped == [{"jump": 1}, {"jump": 1}, {}]
    assert len(await moves(ingest.redis, city)) == 2


async def test_a_row_is_told_of_life_now_and_then(ingest: Ingest, city: City) -> None:
    await ingest.take(city.site_id, "a", [fix(9)], way="http")
    await city.pass_time(await city.add_task(), 100)
    await ingest.take(city.site_id, "a", [fix(8)], way="http")
    assert await seconds_since_seen(city, "a") > 99


async def test_only_the_sites_own_riders(ingest: Ingest, city: City) -> None:
    with pytest.raises(NotFound):
        await ingest.take(city.site_id, "nobody", [fix()], way="http")
    with pytest.raises(NotFound):
        await ingest.take("elsewhere", "a", [fix()], way="http")
    assert await of_riders(ingest.redis, city.site_id, ["nobody"]) == {}


async def test_a_shift_begins_anywhere_and_ends_nowhere(ingest: Ingest, city: City) -> None:
    await ingest.take(city.site_id, "a", [fix(5)], way="http")
    await ingest.begin(city.site_id, "a", fix(north=1.0).place)
    held = await of_riders(ingest.redis, city.site_id, ["a"])
    assert held["a"].place == fix(north=1.0).place
    await positions.end(ingest.redis, [(city.site_id, "a")])
    assert await of_riders(ingest.redis, city.site_id, ["a"]) == {}


@pytest.mark.parametrize("ahead_seconds", [-300, 300])
async def test_a_wrong_clock_is_no_reason_to_wait(
    ingest: Ingest, city: City, ahead_seconds: float
) -> None:
    before_ms = now_ms()
    await ingest.begin(city.site_id, "a", fix().place)
    for ago in (2, 1):
        taken = await ingest.take(city.site_id, "a", [fix(ago - ahead_seconds)], way="http")
        assert taken == Taken(accepted=1, dropped={})
    held = await of_riders(ingest.redis, city.site_id, ["a"])
    assert before_ms <= held["a"].at_ms <= now_ms()
    for ago, reason in ((-700, "future"), (700, "stale")):
        taken = await ingest.take(city.site_id, "a", [fix(ago)], way="http")
        assert taken.dropped == {reason: 1}


async def set_shift(city: City, rider_id: str, *, on: bool) -> None:
    """A tap, as the edge runs it."""
    who = {"site_id": city.site_id, "rider_id": rider_id}
    async with city.database.write() as writer:
        await riders.set_shift(writer, **who, on=on)
        await dispatch.end_shift_if_done(writer, **who)


async def test_who_is_off_shift_with_empty_hands_is_nobodys_business(
    ingest: Ingest, city: City
) -> None:
    task = await city.add_task()
    await (await city.matcher()).offer(task, ["a"])
    await city.do(dispatch.claim, task, "a", 1)
    counted: Any = metrics.POSITIONS.labels("http", "off_shift")
    before = counted._value.get()
    for rider_id in ("a", "b"):
        await ingest.take(city.site_id, rider_id, [fix(9)], way="http")
        await set_shift(city, rider_id, on=False)
        await positions.end(ingest.redis, [(city.site_id, rider_id)])
    carries = await ingest.take(city.site_id, "a", [fix(8)], way="http")
    goes_home = await ingest.take(city.site_id, "b", [fix(8), fix(7)], way="http")
    assert carries == Taken(accepted=1, dropped={})
    assert goes_home == Taken(accepted=0, dropped={"off_shift": 2})
    assert counted._value.get() == before + 2
    assert set(await of_riders(ingest.redis, city.site_id, ["a", "b"])) == {"a"}

    await set_shift(city, "b", on=True)
    assert (await ingest.take(city.site_id, "b", [fix(6)], way="http")).accepted == 1


async def test_a_place_that_outlived_its_shift_goes_with_the_next_report(
    ingest: Ingest, city: City, database: Database, valkey_url: str
) -> None:
    await ingest.take(city.site_id, "a", [fix(9)], way="http")
    await set_shift(city, "a", on=False)
    other = Ingest(valkey_url, database)
    assert (await other.take(city.site_id, "a", [fix(8)], way="http")).dropped == {"off_shift": 1}
    assert await of_riders(ingest.redis, city.site_id, ["a"]) == {}
    assert (await ingest.take(city.site_id, "a", [fix(7)], way="http")).dropped == {"off_shift": 1}
    await other.close()


async def test_without_redis_life_is_seen_and_places_are_remembered(
    ingest: Ingest, city: City, valkey: Valkey
) -> None:
    here, places = fix(5), Places(valkey.url)
    await ingest.take(city.site_id, "a", [here], way="http")
    assert await places.of(city.site_id, ["a", "b"]) == {"a": here.place}
    valkey.stop()
    try:
        with pytest.raises(Unavailable):
            await ingest.take(city.site_id, "b", [fix()], way="http")
        assert await seconds_since_seen(city, "b") < 60
        await ingest.begin(city.site_id, "b", here.place)
        assert await places.of(city.site_id, ["a", "b"]) == {"a": here.place}
    finally:
        valkey.start()
    assert await places.of(city.site_id, ["a", "b"]) == {"a": here.place}
    assert (await ingest.take(city.site_id, "b", [fix()], way="http")).accepted == 1
    await places.close()


async def test_without_rows_only_known_riders_are_taken(
    ingest: Ingest, database: Database, site_id: str
) -> None:
    city = await City.build(database, site_id, speed=1_000)
    await city.add_riders("a", "b")
    await ingest.take(city.site_id, "a", [fix(5)], way="http")
    ingest._database = Database("postgresql://127.0.0.1:1/nowhere")
    assert (await ingest.take(city.site_id, "a", [fix()], way="http")).accepted == 1
    with pytest.raises(Unavailable):
        await ingest.take(city.site_id, "b", [fix()], way="http")
    await ingest._database.close()
