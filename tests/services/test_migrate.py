"""Migrations run once whoever starts them, and end where the tables in code say."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from services import migrate
from services.db import Database
from tests.postgres import empty_database

CONFIG = Config(Path(migrate.__file__).with_name("alembic.ini"))


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """A database of this test's own on the same server, with nothing in it."""
    with empty_database(postgres_url) as url:
        yield url


async def run_migrate(home: Path, database_url: str) -> tuple[int | None, str]:
    surroundings = {**os.environ, "PAOTUI_HOME": str(home), "PAOTUI_DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.migrate"),
        env=surroundings,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


async def test_each_revision_is_applied_once_by_whoever_comes_first(
    empty_url: str, tmp_path: Path
) -> None:
    answers = await asyncio.gather(*(run_migrate(tmp_path, empty_url) for _ in range(3)))
    assert [code for code, _ in answers] == [0, 0, 0]
    lines = [line for _, said in answers for line in said.splitlines()]
    assert lines.count("migrate: the schema is at head") == 3
    history = ScriptDirectory.from_config(CONFIG).walk_revisions()
    applied = [f"migrate: applied {script.revision}" for script in history]
    assert sorted(line for line in lines if "applied" in line) == sorted(applied)


async def test_no_address_is_said_plainly(tmp_path: Path) -> None:
    code, said = await run_migrate(tmp_path, "")
    assert code == 1
    assert said.startswith("migrate: no database: set PAOTUI_DATABASE_URL")


def test_an_absent_database_is_waited_for_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "DATABASE_WAIT_SECONDS", 1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # bound but not listening: every connection is refused
        started = time.monotonic()
        with pytest.raises(SystemExit, match="no answer from the database in 1 s") as given_up:
            migrate.upgrade(f"postgresql://user:secret@127.0.0.1:{silent.getsockname()[1]}/none")
    assert time.monotonic() - started >= 1
    assert "secret" not in str(given_up.value)


def test_the_migrated_schema_is_what_the_code_declares(postgres_url: str) -> None:
    config = Config(CONFIG.config_file_name)
    config.attributes["database_url"] = postgres_url
    command.check(config)


def test_a_revision_is_named_as_its_file() -> None:
    for script in ScriptDirectory.from_config(CONFIG).walk_revisions():
        assert Path(script.path).stem == script.revision


async def test_what_was_open_stays_payable(empty_url: str) -> None:
    """Open payments keep what their customers pay with (0004)."""
    config = Config(CONFIG.config_file_name)
    config.attributes["database_url"] = empty_url
    await asyncio.to_thread(command.upgrade, config, "0003_spine")
    database = Database(empty_url, pool_size=1)
    async with database.write() as writer:
        await writer.connection.execute(
            text("""
            INSERT INTO payment_attempts (out_trade_no, site_id, order_id, attempt, account_id,
              channel, method, amount_fen, state, prepay_id, code_url, expires_at)
            VALUES ('a', 's', 'o', 1, 'p', 'wechat', 'jsapi', 1, 'opened', 'wx1', '', now()),
                   ('b', 's', 'o', 2, 'p', 'wechat', 'native', 1, 'created', '', '', now())
            """)
        )
    await asyncio.to_thread(command.upgrade, config, "head")
    async with database.read() as reader:
        found = text("SELECT handles FROM payment_attempts ORDER BY attempt")
        rows = await reader.connection.execute(found)
        assert [row.handles for row in rows] == [{"prepay_id": "wx1"}, {}]
    await database.close()
