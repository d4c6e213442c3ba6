"""A day's compensation caps hold under races; a refused one takes nothing of either."""

import asyncio
import uuid

from sqlalchemy import text

from services import compensation
from services.compensation import Lateness
from services.db import Database

DAY = "2026-01-02"


def late(site_id: str, customer_id: str) -> Lateness:
    return Lateness(
        site_id=site_id,
        customer_id=customer_id,
        business_day=DAY,
        late_seconds=600,
        goods_fen=0,
        delivery_fee_fen=0,
        given_fen=0,
        left_fen=0,
    )


async def take(database: Database, of: Lateness, amount_fen: int, **caps: int) -> bool:
    async with database.write() as writer:
        return await compensation.take(writer, of, amount_fen, **caps)


async def spent(database: Database, site_id: str) -> dict[str, int]:
    async with database.read() as reader:
        rows = await reader.all(
            text("SELECT customer_id, spent_fen FROM compensation_days WHERE site_id = :site_id"),
            {"site_id": site_id},
        )
    return {row.customer_id: row.spent_fen for row in rows}


async def test_twenty_at_once_never_exceed_the_customers_cap(
    database: Database, site_id: str
) -> None:
    ann = late(site_id, "ann")
    taken = await asyncio.gather(
        *(take(database, ann, 300, customer_day_fen=1_000, site_day_fen=9_999) for _ in range(20))
    )
    assert taken.count(True) == 3
    assert await spent(database, site_id) == {"": 900, "ann": 900}


async def test_many_customers_at_once_never_exceed_the_sites_cap(
    database: Database, site_id: str
) -> None:
    people = [late(site_id, uuid.uuid4().hex) for _ in range(20)]
    taken = await asyncio.gather(
        *(take(database, who, 300, customer_day_fen=400, site_day_fen=1_000) for who in people)
    )
    assert taken.count(True) == 3
    by_customer = await spent(database, site_id)
    assert by_customer.pop("") == 900 == sum(by_customer.values())


async def test_an_amount_above_a_cap_is_refused_from_the_first(
    database: Database, site_id: str
) -> None:
    ann = late(site_id, "ann")
    assert not await take(database, ann, 101, customer_day_fen=100, site_day_fen=1_000)
    assert not await take(database, ann, 101, customer_day_fen=1_000, site_day_fen=100)
    assert sum((await spent(database, site_id)).values()) == 0
    assert await take(database, ann, 100, customer_day_fen=100, site_day_fen=100)
