"""A rider's line tells of each offer and task once, and of the end of what is taken away."""

import json
from typing import Any

import pytest
from sqlalchemy import update
from websockets.asyncio.client import ClientConnection

from api.parts import Parts
from services import dispatch, tables
from services.dispatch import TaskState
from services.identity import issue
from tests.api.live.line import following, hear, publish, until_listening
from tests.zone import City

PATH = "/v1/rider/live"
LOOKS = 3
OFTEN = pytest.mark.usefixtures("often")


@pytest.fixture
async def city(parts: Parts, site_id: str) -> City:
    await until_listening(parts)
    return await City.build(parts.database, site_id)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet lines look at the rows so often that a test can wait for it."""
    monkeypatch.setattr("api.live.feed.HEARTBEAT_SECONDS", 0.2)


def who(city: City, rider: str = "r") -> dict[str, str]:
    token = issue(site=city.site_id, role="rider", subject=rider, ttl_seconds=600)
    return {"Authorization": f"Bearer {token}"}


async def offered(city: City) -> TaskState:
    """A task that rider `r` is asked about under token 1."""
    await city.add_riders("r", "other")
    task = await city.add_task()
    await (await city.matcher()).offer(task, ["r"])
    return task


async def nothing_more(socket_: ClientConnection) -> None:
    """The next looks find nothing."""
    for _ in range(LOOKS):
        assert json.loads(await socket_.recv())["type"] == "heartbeat"


def named(message: dict[str, Any]) -> tuple[str, str, int]:
    return message["type"], message["task_id"], message["token"]


@OFTEN
async def test_a_claimed_offer_is_not_withdrawn(city: City, parts: Parts, port: int) -> None:
    task = await offered(city)
    async with following(port, PATH, who(city)) as socket_:
        first = await hear(socket_)
        assert [offer["task_id"] for offer in first["offers"]] == [task.task_id]
        assert first["tasks"] == []
        await city.do(dispatch.claim, task, "r", 1)
        mine = await hear(socket_)
        assert named(mine) == ("task.assigned", task.task_id, 1)
        assert (mine["order_id"], mine["state"]) == (task.order_id, "assigned")
        await publish(parts, task.order_id)
        await nothing_more(socket_)
        await city.order_does(dispatch.take, task, rider_id="r", token=1)
        await city.order_does(dispatch.hand_over, task, rider_id="r", token=1)
        await nothing_more(socket_)
    async with following(port, PATH, who(city)) as socket_:
        assert await hear(socket_) == {"type": "snapshot", "offers": [], "tasks": []}


@OFTEN
async def test_what_is_heard_is_told_once(city: City, parts: Parts, port: int) -> None:
    async with following(port, PATH, who(city)) as socket_:
        assert await hear(socket_) == {"type": "snapshot", "offers": [], "tasks": []}
        task = await offered(city)
        assert named(await hear(socket_)) == ("offer.made", task.task_id, 1)
        await publish(parts, task.order_id)
        await nothing_more(socket_)
        await city.do(dispatch.decline, task, "r", 1, reason_code="too_far")
        await nothing_more(socket_)


async def test_streams_tell_at_once(city: City, parts: Parts, port: int) -> None:
    async with following(port, PATH, who(city)) as socket_:
        assert (await hear(socket_))["type"] == "snapshot"
        task = await offered(city)
        await publish(parts, task.order_id)
        assert named(await hear(socket_)) == ("offer.made", task.task_id, 1)
        await city.do(dispatch.claim, task, "r", 1)
        await publish(parts, task.order_id)
        assert named(await hear(socket_)) == ("task.assigned", task.task_id, 1)
        for rider_id in ("other", "r"):
            await city.order_does(dispatch.reassign, task, rider_id=rider_id)
            await publish(parts, task.order_id)
        assert named(await hear(socket_)) == ("offer.withdrawn", task.task_id, 1)
        assert named(await hear(socket_)) == ("task.assigned", task.task_id, 3)


@OFTEN
async def test_a_held_task_that_is_cancelled_unheard_is_withdrawn(
    city: City, parts: Parts, port: int
) -> None:
    task = await offered(city)
    await city.do(dispatch.claim, task, "r", 1)
    async with following(port, PATH, who(city)) as socket_:
        first = await hear(socket_)
        assert [(held["task_id"], held["token"]) for held in first["tasks"]] == [(task.task_id, 1)]
        await city.order_does(dispatch.close_if_open, task, even_after_pickup=False)
        await parts.cache.redis.flushall()
        assert named(await hear(socket_)) == ("offer.withdrawn", task.task_id, 1)
        await publish(parts, task.order_id)
        await nothing_more(socket_)


@OFTEN
async def test_a_task_that_is_settled_or_assigned_unheard_is_told(city: City, port: int) -> None:
    task = await offered(city)
    await city.do(dispatch.claim, task, "r", 1)

    async def settle(*, settled: bool) -> None:
        rows = update(tables.delivery_tasks).where(tables.delivery_tasks.c.task_id == task.task_id)
        async with city.database.write() as writer:
            await writer.run(rows.values(settled=settled))

    await settle(settled=False)
    async with (
        following(port, PATH, who(city)) as mine,
        following(port, PATH, who(city, "other")) as others,
    ):
        assert [held["settled"] for held in (await hear(mine))["tasks"]] == [False]
        assert (await hear(others))["tasks"] == []
        await settle(settled=True)
        told = await hear(mine)
        assert (*named(told), told["settled"]) == ("task.settled", task.task_id, 1, True)
        await city.order_does(dispatch.reassign, task, rider_id="other")
        assert named(await hear(mine)) == ("offer.withdrawn", task.task_id, 1)
        assert named(await hear(others)) == ("task.assigned", task.task_id, 2)
        await nothing_more(mine)
        await nothing_more(others)
