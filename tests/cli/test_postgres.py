"""The embedded PostgreSQL: who runs it where, its first start, and what killed ones leave."""

import asyncio
import os
import pwd
import signal
import subprocess
from pathlib import Path

import click
import httpx
import psycopg
import pytest

from cli import bundled, postgres, probes, processes
from cli.component import Component
from cli.launch import Launch
from cli.report import Report
from cli.stack import postgresql
from cli.state import State
from cli.supervision import Keeper
from tests.cli.conftest import free_port

as_root = pytest.mark.skipif(not processes.is_root(), reason="only root runs it as another user")


@as_root
def test_a_closed_folder_on_the_way_is_found(folder: Path) -> None:
    deep = folder / "closed" / "deep"
    deep.mkdir(parents=True)
    user = pwd.getpwnam("nobody")
    assert postgres.blocked(deep, user) is None
    deep.parent.chmod(0o700)
    assert postgres.blocked(deep, user) == deep.parent
    os.chown(deep.parent, user.pw_uid, -1)
    assert postgres.blocked(deep, user) is None


@as_root
def test_unreachable_data_moves_and_stays_moved(state: State, folder: Path) -> None:
    base = folder / "var"
    base.mkdir()
    said: list[str] = []
    assert postgres.place(state, said.append, base=base).data == state.home / "postgres"
    assert said == []
    state.home.chmod(0o700)
    moved = postgres.place(state, said.append, base=base)
    assert moved.data == base / f"paotui-{state.mark}" / "postgres"
    assert f"can't pass {state.home}: its data is in {moved.data}" in said[0]
    moved.data.mkdir()
    (moved.data / "PG_VERSION").write_text("18\n")
    state.home.chmod(0o755)
    assert postgres.place(state, said.append, base=base).data == moved.data


@as_root
def test_data_that_became_unreachable_is_not_forgotten(state: State, folder: Path) -> None:
    data = state.home / "postgres"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
    state.home.chmod(0o700)
    with pytest.raises(click.ClickException, match=f"chmod o\\+x {state.home}"):
        postgres.place(state, lambda _: None, base=folder)


@as_root
def test_unreadable_binaries_are_copied(
    state: State, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = folder / "wheel" / "pginstall18"
    (install / "bin").mkdir(parents=True)
    (install / "bin" / "postgres").write_text("#!/bin/sh\n")
    (install / "bin" / "postgres").chmod(0o700)
    monkeypatch.setattr(bundled, "postgres", lambda: install)
    said: list[str] = []
    placement = postgres.place(state, said.append, base=folder)
    assert placement.binaries == folder / f"paotui-{state.mark}" / "pginstall18" / "bin"
    assert (placement.binaries / "postgres").stat().st_mode & 0o777 == 0o755
    assert placement.data == state.home / "postgres"
    assert "PostgreSQL is copied" in said[0]


async def test_first_start_kill_and_second_start(state: State, report: Report) -> None:
    port = free_port()
    placement = postgres.place(state, report.say)
    part = postgresql(placement, state, {"postgres": port})
    password = state.password("postgres_password")
    url = postgres.url(port, password)
    postgres.initialise(placement, password)
    await _serve(state, report, part)
    async with await postgres.connect(url) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        rows = await connection.execute(
            "SELECT name, setting FROM pg_settings WHERE name IN "
            "('fsync', 'synchronous_commit', 'listen_addresses', 'server_encoding')"
        )
        settings: dict[object, object] = dict(await rows.fetchall())  # type: ignore[arg-type]
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "listen_addresses": "127.0.0.1",
        "server_encoding": "UTF8",
    }
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await postgres.connect(postgres.url(port, "guess"))
    _kill_all(state, placement)
    await _serve(state, report, part)
    async with await postgres.connect(url) as connection:
        rows = await connection.execute("SELECT one FROM kept")
        assert await rows.fetchall() == [(1,)]


async def _serve(state: State, report: Report, part: Component) -> None:
    keeper = Keeper(state)
    await asyncio.to_thread(keeper.start, [part])
    await Launch(state, keeper, report).run([part])


def _kill_all(state: State, placement: postgres.Placement) -> None:
    """Kill supervisord only, end what it left, and leave a pid file that names somebody else."""
    keeper = Keeper(state)
    server = processes.holding(placement.pid_file, str(placement.data))
    assert server is not None
    os.kill(keeper.pid() or 0, signal.SIGKILL)
    assert postgres.end_leftovers(placement.data)
    assert not processes.alive(server)
    with subprocess.Popen(["/bin/sleep", "60"]) as innocent:
        placement.pid_file.write_text(f"{innocent.pid}\n")
        assert not postgres.end_leftovers(placement.data)
        assert innocent.poll() is None
        innocent.kill()
    assert not placement.pid_file.exists()


def test_an_interrupted_first_start_begins_anew(state: State, report: Report) -> None:
    placement = postgres.place(state, report.say)
    half = placement.data.with_name("postgres.partial")
    half.mkdir()
    (half / "junk").touch()
    postgres.initialise(placement, "secret")
    assert (placement.data / "PG_VERSION").read_text() == "18\n"
    assert not half.exists()
    assert not placement.data.with_name("postgres.password").exists()
    before = placement.data.stat().st_mtime_ns
    postgres.initialise(placement, "secret")
    assert placement.data.stat().st_mtime_ns == before


async def test_nobody_there_is_a_reason_not_an_error() -> None:
    port = free_port()
    async with httpx.AsyncClient(trust_env=False) as client:
        for probe in (
            probes.postgresql(postgres.url(port, "x")),
            probes.redis_protocol(f"redis://127.0.0.1:{port}/0"),
            probes.tcp(f"127.0.0.1:{port}"),
            probes.http(f"http://127.0.0.1:{port}/"),
        ):
            assert await probe(client) != ""
