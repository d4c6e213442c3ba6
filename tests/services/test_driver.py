"""Plain SQL straight to the driver: same rows, same errors, and connections that ended replaced."""

import asyncio

import pytest
from sqlalchemy import BigInteger, Row, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from services import driver
from services.db import Database
from services.tables import market

ME = text("SELECT pg_backend_pid()")


@pytest.fixture
async def alone(postgres_url: str) -> Database:
    """A pool of one connection."""
    return Database(postgres_url, pool_size=1)


async def kill(database: Database, pid: int) -> None:
    async with database.read() as other:
        assert await other.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})


async def test_rows_have_names_and_order(database: Database) -> None:
    asked = text("SELECT :a AS a, CAST(:b AS jsonb) AS b, '100 %' AS c, 'x'::text AS d")
    async with database.read() as reader:
        row = await reader.first(asked, {"a": 1, "b": '{"k": [1]}'})
    assert isinstance(row, Row)
    assert (row.a, row.b, row.c, row.d) == (1, {"k": [1]}, "100 %", "x")
    assert next(iter(row)) == 1
    assert dict(row._mapping) == {"a": 1, "b": {"k": [1]}, "c": "100 %", "d": "x"}


async def test_no_row_is_none(database: Database) -> None:
    nothing = text("SELECT 1 AS one WHERE false")
    async with database.read() as reader:
        assert await reader.first(nothing) is None
        assert await reader.scalar(nothing) is None
        assert await reader.all(nothing) == []


async def test_typed_parameters_stay_sqlalchemys(database: Database) -> None:
    typed = text("SELECT :ids AS ids").bindparams(bindparam("ids", type_=ARRAY(BigInteger)))
    dialect = database.engine.dialect
    assert driver.as_plain(typed, dialect) is None
    assert driver.as_plain(ME, dialect) == b"SELECT pg_backend_pid()"
    async with database.read() as reader:
        assert await reader.scalar(typed, {"ids": [1, 2**40]}) == [1, 2**40]


async def test_constructs_and_plain_sql_share_one_transaction(
    database: Database, site_id: str
) -> None:
    count = text("SELECT count(*) FROM sites WHERE site_id = :site_id")
    rows = {"site_id": site_id, "name": "n", "fee_rule": {}, "timers": {}}

    async def insert() -> None:
        async with database.write() as writer:
            await writer.run(market.sites.insert().values(**rows))
            assert await writer.scalar(count, {"site_id": site_id}) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await insert()
    async with database.read() as reader:
        assert await reader.scalar(count, {"site_id": site_id}) == 0


async def test_errors_are_sqlalchemys_and_hide_parameters(database: Database) -> None:
    twice = text("INSERT INTO zones (site_id, zone_id) VALUES (:s, 'z'), (:s, 'z')")
    with pytest.raises(IntegrityError) as refused:
        async with database.write() as writer:
            await writer.run(twice, {"s": "canary"})
    assert "canary" not in str(refused.value.params)
    assert getattr(refused.value.orig, "sqlstate", "") == "23505"
    with pytest.raises(DBAPIError):
        async with database.write() as writer:
            await writer.scalar(text("SELECT no_such_function()"))


async def test_an_idle_connection_that_ended_is_replaced_unseen(
    database: Database, alone: Database
) -> None:
    async with alone.read() as reader:
        before = await reader.scalar(ME)
    await kill(database, before)
    async with alone.write() as writer:
        assert await writer.scalar(ME) != before
    await alone.close()


async def test_a_connection_lost_in_use_is_an_error_once(
    database: Database, alone: Database
) -> None:
    async def use() -> None:
        async with alone.write() as writer:
            await kill(database, await writer.scalar(ME))
            await writer.scalar(ME)

    with pytest.raises(OperationalError) as lost:
        await use()
    assert lost.value.connection_invalidated
    async with alone.read() as reader:
        assert await reader.scalar(ME)
    await alone.close()


async def test_a_cancelled_statement_leaves_nothing_behind(alone: Database) -> None:
    async def sleep() -> None:
        async with alone.write() as writer:
            await writer.run(text("SELECT pg_sleep(5)"))

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await sleep()
    async with alone.read() as reader:
        assert await reader.scalar(text("SELECT 1")) == 1
    await alone.close()
