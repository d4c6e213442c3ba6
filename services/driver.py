"""Plain SQL straight to psycopg over SQLAlchemy's connections; no statement of anybody's.

SQLAlchemy's way from a `text()` to its rows costs three times the driver's own CPU, most of what
an act costs. Pool, transactions, constructs and the classes of errors stay SQLAlchemy's.
"""

import select
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import Dialect, Row, TextClause
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import NullType

STATEMENTS_KEPT = 1_024
SHAPES_KEPT = 1_024

Cursor = psycopg.AsyncCursor[tuple[Any, ...]]


@lru_cache(maxsize=STATEMENTS_KEPT)
def as_plain(statement: TextClause, dialect: Dialect) -> bytes | None:
    """The statement as the driver wants it; None where SQLAlchemy converts parameters."""
    compiled = statement.compile(dialect=dialect)
    typed = any(not isinstance(bind.type, NullType) for bind in compiled.binds.values())
    return None if typed else str(compiled).encode()


async def execute(
    connection: AsyncConnection, sql: bytes, parameters: Mapping[str, Any] | None
) -> Cursor:
    """Run it in the connection's transaction.

    Raises:
        DBAPIError: as SQLAlchemy would have; a lost connection is given up for good.
    """
    driver: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
    try:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert driver is not None  # noqa: S101 - a connection in use has one
        cursor: Cursor = await driver.execute(sql, parameters or {})
    except psycopg.Error as error:
        lost = driver is not None and (driver.closed or driver.broken)
        if lost:
            await connection.invalidate(error)
        raise DBAPIError.instance(
            sql.decode(),
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=connection.dialect,
        ) from error
    except BaseException as error:
        # Cancelled in the middle of an answer, say: nobody can go on with this connection.
        await connection.invalidate(error)
        raise
    return cursor


def as_rows(cursor: Cursor, found: Iterable[tuple[Any, ...]]) -> list[Row[Any]]:
    """The driver's tuples as rows with names."""
    result = cursor.pgresult
    assert result is not None  # noqa: S101 - there are tuples
    names = tuple(result.fname(number) for number in range(result.nfields))
    shape = _shape(names)
    return [Row(shape, None, shape._key_to_index, values) for values in found]  # noqa: SLF001


@lru_cache(maxsize=SHAPES_KEPT)
def _shape(names: tuple[bytes | None, ...]) -> SimpleResultMetaData:
    return SimpleResultMetaData([(name or b"").decode() for name in names])


def ensure_alive(dbapi_connection: Any, *_: object) -> None:  # noqa: ANN401 - SQLAlchemy's adapter
    """For the pool's `checkout`: have a connection that its server has closed replaced.

    An idle connection has nothing to read unless it has ended: seen without a round trip, which
    is what `pool_pre_ping` costs.
    """
    driver: psycopg.AsyncConnection[Any] = dbapi_connection.driver_connection
    if driver.closed:
        raise DisconnectionError
    waiting = select.poll()
    waiting.register(driver.fileno(), select.POLLIN)
    if waiting.poll(0):
        raise DisconnectionError
