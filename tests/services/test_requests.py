"""Idempotency keys: one winner, one answer, takeover from the dead, conflict for another body."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from domain.errors import IdempotencyConflict
from services import requests
from services.db import Database
from services.requests import IN_FLIGHT_SECONDS, InFlight, Key, Ours, Stored


@pytest.fixture
def key(site_id: str) -> Key:
    return Key(site_id=site_id, subject="customer:ann", key="k", body_hash="body")


async def claim(database: Database, key: Key) -> Stored | Ours | InFlight:
    async with database.write() as writer:
        return await requests.claim(writer, key, "order")


async def test_one_of_many_has_it(database: Database, key: Key) -> None:
    claims = await asyncio.gather(*(claim(database, key) for _ in range(20)))
    assert claims.count(Ours(first=True)) == 1
    assert claims.count(InFlight()) == 19


async def test_the_first_stored_answer_is_everybodys(database: Database, key: Key) -> None:
    await claim(database, key)

    async def finish(answer: bytes) -> Stored:
        async with database.write() as writer:
            return await requests.finish(writer, key, 201, answer)

    stored = await asyncio.gather(*(finish(b"%d" % number) for number in range(5)))
    assert len({one.answer for one in stored}) == 1
    assert await claim(database, key) == stored[0]


async def test_what_was_let_go_is_taken_at_once(database: Database, key: Key) -> None:
    await claim(database, key)
    async with database.write() as writer:
        await requests.let_go(writer, key)
    claims = await asyncio.gather(*(claim(database, key) for _ in range(5)))
    assert claims.count(Ours(first=False)) == 1
    assert claims.count(InFlight()) == 4


async def test_a_dead_ones_claim_is_taken_over(database: Database, key: Key) -> None:
    await claim(database, key)
    async with database.write() as writer:
        await writer.run(
            text("""UPDATE request_keys SET created_at = now() - make_interval(secs => :seconds)
            WHERE site_id = :site_id"""),
            {"seconds": IN_FLIGHT_SECONDS + 1, "site_id": key.site_id},
        )
    claims = await asyncio.gather(*(claim(database, key) for _ in range(5)))
    assert claims.count(Ours(first=False)) == 1


async def test_another_body_is_a_conflict_and_another_caller_is_not(
    database: Database, key: Key
) -> None:
    await claim(database, key)
    with pytest.raises(IdempotencyConflict):
        await claim(database, replace(key, body_hash="another"))
    assert await claim(database, replace(key, subject="customer:bob")) == Ours(first=True)


def test_a_key_is_bound_to_path_and_body() -> None:
    hashes = {
        requests.body_hash("/a", b"b"),
        requests.body_hash("/a", b"c"),
        requests.body_hash("/ab", b""),
    }
    assert len(hashes) == 3
