"""Where a rider is: in Redis for a while, before the order's own people, and nowhere else."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import gmqtt
import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from temporalio.client import Client

from domain.geo import Point
from domain.ids import dispatch_workflow, order_workflow
from domain.positions import cell
from services.positions import STREAM, of_riders
from services.settings import Settings
from tests.e2e.conftest import MakeWorld
from tests.e2e.test_histories import all_metrics, logs
from tests.e2e.world import World, poll
from tests.replay.recording import decrypted
from workflows.kit.connect import connect

pytestmark = pytest.mark.stack

LAT, LNG = 30.2600893, 120.1400926
"""A few steps from where the shift begins."""
OFF_EARTH = "91.6718931"
CANARIES = (str(LAT), str(LNG), OFF_EARTH)
LIFE = {"after_sale_seconds": 1, "rider_ahead_seconds": 900}
_TABLES = text("""
SELECT quote_ident(table_name) AS name FROM information_schema.tables
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY 1
""")


@pytest.fixture
async def redis(stack: Settings) -> AsyncIterator[Redis]:
    opened: Redis = Redis.from_url(stack.redis_url)
    yield opened
    await opened.aclose()


def batch() -> dict[str, Any]:
    """A position that is taken, one that is not, and words that are none."""
    at = datetime.now(UTC).isoformat()
    here = {"lat": LAT, "lng": LNG, "at": at}
    return {"positions": [here, here | {"lat": float(OFF_EARTH)}]}


async def by_http(world: World) -> None:
    who = world.token("rider", "r0")
    answer = await world.api.post("/v1/rider/positions", headers=who, json=batch())
    assert answer.json() == {"accepted": 1, "dropped": {"impossible": 1}}
    broken = {"positions": [{"lat": OFF_EARTH + "x", "lng": LNG, "at": LAT}]}
    answer = await world.api.post("/v1/rider/positions", headers=who, json=broken)
    assert answer.status_code == 422


async def by_mqtt(world: World, redis: Redis, stack: Settings) -> None:
    before = (await of_riders(redis, world.site_id, ["r0"]))["r0"]
    name = f"{world.site_id}/riders/r0"
    phone = gmqtt.Client(name)
    token = world.token("rider", "r0")["Authorization"].removeprefix("Bearer ")
    phone.set_auth_credentials(name, token)
    url = urlsplit(stack.mqtt_url)
    await phone.connect(url.hostname, url.port)
    for payload in (orjson.dumps(batch()), f'{{"positions": [{LAT}'):
        phone.publish(f"paotui/{name}/positions", payload, qos=1)

    async def newer() -> bool | None:
        return (await of_riders(redis, world.site_id, ["r0"]))["r0"].at_ms > before.at_ms or None

    await poll(newer)
    await phone.disconnect()


async def everything_in_tables(world: World) -> AsyncIterator[tuple[str, str]]:
    """Each table by name, and all of it as text."""
    async with world.database.read() as reader:
        for table in await reader.all(_TABLES):
            rows = await reader.all(text(f"SELECT t::text AS row FROM {table.name} t"))  # noqa: S608
            yield table.name, "\n".join(row.row for row in rows)


async def everything_in_redis(redis: Redis) -> AsyncIterator[tuple[str, str]]:
    """Each key by name, and all of it as text."""
    how = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"stream": redis.xrange,
        b"set": redis.smembers,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    async for key in redis.scan_iter(count=1_000):
        kind = await redis.type(key)
        if kind != b"none":
            yield key.decode(), str(await how[kind](key))


async def test_a_canary_is_nowhere_but_in_the_named_store(
    make_world: MakeWorld, stack: Settings, redis: Redis
) -> None:
    world = await make_world(riders=1, timers=LIFE)
    order_id = (await world.paid())["order_id"]
    task = await carried(world, order_id)
    await by_http(world)
    if stack.mqtt_socket:
        await asyncio.sleep(0.01)
        await by_mqtt(world, redis, stack)

    async def traced() -> Any:
        support = world.token("support", "s0")
        path = f"/v1/support/orders/{order_id}/trace"
        rows = (await world.api.get(path, headers=support)).json()["trace"]
        return cell(Point(LAT, LNG)) in [Point(row["lat"], row["lng"]) for row in rows] or None

    await poll(traced)
    held = {"token": task["token"], "code": (await world.view(order_id))["handover_code"]}
    await world.rider("r0", f"tasks/{task['task_id']}/deliver", held)
    await world.until(order_id, lambda view: view["status"] == "completed")

    temporal: Client = await connect(stack)
    zone = dispatch_workflow(world.site_id, "z")
    histories = [await decrypted(temporal, one) for one in (order_workflow(order_id), zone)]
    told = "".join([one.to_json() for one in histories] + [*await all_metrics(world), logs(stack)])
    found = {canary for canary in CANARIES if canary in told}
    async for name, content in everything_in_tables(world):
        found |= {f"table {name}" for canary in CANARIES if canary in content}
    async for key, content in everything_in_redis(redis):
        found |= {f"key {key}" for canary in CANARIES if canary in content}
    assert found == {f"key {STREAM}", f"key {STREAM}:{world.site_id}"}


async def carried(world: World, order_id: str) -> dict[str, Any]:
    """The rider's task once the food is picked up."""
    await world.merchant(order_id, "accept")
    task = await world.claim(order_id, "r0")
    await world.merchant(order_id, "ready")
    await world.rider("r0", f"tasks/{task['task_id']}/pickup", {"token": task["token"]})
    return task
