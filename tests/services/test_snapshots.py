"""Snapshots only ever get newer, whoever writes them in whatever order."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator

import orjson
import pytest
from redis.asyncio import Redis

from services import snapshots
from services.events import Stream


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey_url) as client:
        yield client


def stream(order_id: str, seq: int) -> Stream:
    return Stream(
        order_id=order_id,
        site_id="s\n",
        customer_id="c é",
        merchant_id="m",
        shop_id="x",
        seq=seq,
        view={"status": f"at {seq}", "remark": "\n"},
    )


async def test_they_come_back(redis: Redis) -> None:
    one, other = uuid.uuid4().hex, uuid.uuid4().hex
    await snapshots.put(redis, [stream(one, 1), stream(other, 7)])
    await snapshots.put(redis, [])
    found = await snapshots.get_many(redis, [one, "nothing", other])
    assert found == {one: snapshots.of(stream(one, 1)), other: snapshots.of(stream(other, 7))}
    assert orjson.loads(found[other].body) == {"seq": 7, "status": "at 7", "remark": "\n"}
    assert (found[one].site_id, found[one].customer_id) == ("s\n", "c é")


async def test_only_newer_ones_are_kept(redis: Redis) -> None:
    order_id, seqs = uuid.uuid4().hex, [*range(1, 40), 10, 9]
    random.Random(7).shuffle(seqs)  # noqa: S311 - an order of writes
    await asyncio.gather(*(snapshots.put(redis, [stream(order_id, seq)]) for seq in seqs))
    found = await snapshots.get_many(redis, [order_id])
    assert found[order_id].seq == 39
    await snapshots.put(redis, [stream(order_id, 9), stream(order_id, 38)])
    assert (await snapshots.get_many(redis, [order_id]))[order_id].seq == 39
