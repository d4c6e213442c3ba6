"""How rows are reached: one engine, readers that can't write, writers that commit at the edge."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Executable, MetaData, Row, TextClause, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services import driver

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

POOL_CONNECTIONS = 8
STATEMENT_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_SECONDS = 5
POOL_WAIT_SECONDS = 5


class Reader:
    """A connection that only asks."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection

    async def all(
        self, statement: Executable, parameters: dict[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """Every row of the answer; bound the statement with a limit."""
        sql = self._plain(statement)
        if sql is None:
            return (await self.connection.execute(statement, parameters)).all()
        cursor = await driver.execute(self.connection, sql, parameters)
        return driver.as_rows(cursor, await cursor.fetchall())

    async def first(
        self, statement: Executable, parameters: dict[str, Any] | None = None
    ) -> Row[Any] | None:
        """The first row, or None."""
        sql = self._plain(statement)
        if sql is None:
            return (await self.connection.execute(statement, parameters)).first()
        cursor = await driver.execute(self.connection, sql, parameters)
        found = await cursor.fetchone()
        return None if found is None else driver.as_rows(cursor, [found])[0]

    async def scalar(self, statement: Executable, parameters: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        """The first column of the first row, or None."""
        sql = self._plain(statement)
        if sql is None:
            return (await self.connection.execute(statement, parameters)).scalar()
        found = await (await driver.execute(self.connection, sql, parameters)).fetchone()
        return None if found is None else found[0]

    def _plain(self, statement: Executable) -> bytes | None:
        if not isinstance(statement, TextClause):
            return None
        return driver.as_plain(statement, self.connection.dialect)


class Writer(Reader):
    """A connection inside a transaction that the edge commits."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self.after_commit: list[Callable[[], object]] = []
        """What counts only once it is true: metrics."""

    async def run(
        self,
        statement: Executable,
        parameters: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    ) -> int:
        """Execute a change and say how many rows it touched."""
        sql = self._plain(statement)
        if sql is None or not isinstance(parameters, dict | None):
            return (await self.connection.execute(statement, parameters)).rowcount
        return (await driver.execute(self.connection, sql, parameters)).rowcount


class Database:
    """One pool of connections to PostgreSQL."""

    def __init__(self, url: str, *, pool_size: int = POOL_CONNECTIONS) -> None:
        self.engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            hide_parameters=True,
            connect_args={
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC",
                "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            },
        )
        event.listen(self.engine.sync_engine, "checkout", driver.ensure_alive)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reader]:
        """Each statement sees the newest commits; nothing is held between them."""
        async with self._autocommit.connect() as connection:
            yield Reader(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Writer]:
        """One transaction, committed when the block ends well, rolled back when it doesn't."""
        async with self.engine.begin() as connection:
            writer = Writer(connection)
            yield writer
        for tell in writer.after_commit:
            tell()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Reader]:
        """Every statement sees the same moment: for questions that compare rows with rows."""
        same = self.engine.execution_options(isolation_level="REPEATABLE READ")
        async with same.connect() as connection:
            yield Reader(connection)

    async def close(self) -> None:
        """Give every connection back."""
        await self.engine.dispose()
