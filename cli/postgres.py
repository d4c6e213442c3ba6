"""The embedded PostgreSQL: where its data lives, who runs it, its first start; not its tables."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psycopg

from cli import bundled, processes
from cli.state import State, own_folder

DATABASE = "paotui"
ROLE = "paotui"
PID_FILE = "postmaster.pid"
RELOCATED = Path("/var/tmp")  # noqa: S108 - survives a restart of the machine; own_folder guards it
OTHER_USERS = ("postgres", "nobody")
CONNECT_SECONDS = 2
SHARED_FOLDER_MODE = 0o755
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the server and its data are, and who runs it (None: whoever runs `paotui`)."""

    binaries: Path
    data: Path
    user: pwd.struct_passwd | None

    def command(self, port: int) -> tuple[str, ...]:
        """The server in the foreground, listening on loopback only."""
        options = [f"--{name}={value}" for name, value in (SETTINGS | {"port": str(port)}).items()]
        return (str(self.binaries / "postgres"), "-D", str(self.data), *options)

    @property
    def pid_file(self) -> Path:
        """Written by the server itself."""
        return self.data / PID_FILE


def place(
    state: State, say: Callable[[str], None], *, base: Path = RELOCATED, copy: bool = True
) -> Placement:
    """Where things go, so that the user who runs the server can reach them.

    What they can't reach goes into a folder under `base`, made here unless `copy` is off.
    """
    install = bundled.postgres()
    data = state.home / "postgres"
    if not processes.is_root():
        return Placement(install / "bin", data, None)
    away = base / f"paotui-{state.mark}"
    user = _owner(data) or _owner(away / data.name) or _other_user()
    wall = blocked(data.parent, user)
    if wall and _owner(data):
        raise click.ClickException(
            f"{user.pw_name}, who owns {data}, may not pass {wall}; run `chmod o+x {wall}`"
        )
    if wall or (_owner(away / data.name) and not _owner(data)):
        data = away / data.name
        say(f"{user.pw_name}, who runs PostgreSQL, can't pass {wall}: its data is in {data}")
    if wall_of_install := _unusable(install, user):
        moved = away / install.name
        say(f"{user.pw_name} can't use {wall_of_install}: PostgreSQL is copied to {moved}")
        if copy:
            _copy_readable(install, own_folder(away, SHARED_FOLDER_MODE) / install.name)
        install = moved
    if copy and data.parent == away:
        own_folder(away, SHARED_FOLDER_MODE)
    return Placement(install / "bin", data, user)


def blocked(path: Path, user: pwd.struct_passwd) -> Path | None:
    """The first folder on the way to `path`, itself included, that the user may not search."""
    for folder in (*reversed(path.parents), path):
        if not _allows(folder, user, stat.S_IXUSR):
            return folder
    return None


def initialise(placement: Placement, password: str) -> None:
    """Make the data folder, with a password for everybody; an interrupted one is begun anew."""
    if (placement.data / "PG_VERSION").exists():
        return
    partial = placement.data.with_name("postgres.partial")
    secret = placement.data.with_name("postgres.password")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    secret.unlink(missing_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(password)
    if placement.user:
        for path in (partial, secret):
            os.chown(path, placement.user.pw_uid, placement.user.pw_gid)
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    result = subprocess.run(
        [
            str(placement.binaries / "initdb"),
            *("-D", str(partial), "-U", ROLE, "-A", "scram-sha-256", "-E", "UTF8"),
            *(f"--pwfile={secret}", "--no-instructions", *locale),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        **_as_user(placement.user),
    )
    secret.unlink()
    if result.returncode != 0:
        raise click.ClickException(f"initdb failed:\n{result.stdout}{result.stderr}")
    partial.rename(placement.data)


def end_leftovers(data: Path) -> bool:
    """End a server of an earlier run and its back-ends, and drop a pid file that misleads."""
    pid_file = data / PID_FILE
    server = processes.holding(pid_file, str(data))
    if server is not None:
        # INT is PostgreSQL's fast shutdown.
        processes.end([server], ask=signal.SIGINT)
    orphans = processes.working_in(data, "postgres")
    processes.end(orphans)
    # A pid in the file that some other process has by now keeps PostgreSQL from starting.
    pid_file.unlink(missing_ok=True)
    return bool(server or orphans)


async def ensure_database(port: int, password: str) -> None:
    """Create the platform's database when it isn't there."""
    async with await connect(url(port, password, "postgres")) as connection:
        rows = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if await rows.fetchone() is None:
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')


async def connect(url: str) -> psycopg.AsyncConnection[tuple[object, ...]]:
    """A connection that commits each statement; raises OSError or psycopg.Error in 2 seconds."""
    async with asyncio.timeout(CONNECT_SECONDS):
        return await psycopg.AsyncConnection.connect(url, autocommit=True)


def url(port: int, password: str, database: str = DATABASE) -> str:
    """Where the embedded server is reached."""
    return f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/{database}"


def _owner(data: Path) -> pwd.struct_passwd | None:
    """Who made this database; None when there is none."""
    if not (data / "PG_VERSION").exists():
        return None
    return pwd.getpwuid(data.stat().st_uid)


def _other_user() -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in OTHER_USERS:
        if name in known:
            return known[name]
    raise click.ClickException(
        "PostgreSQL refuses to run as root, and this machine has no user `postgres` or `nobody`"
    )


def _allows(path: Path, user: pwd.struct_passwd, owner_bit: int) -> bool:
    try:
        status = path.stat()
    except FileNotFoundError:
        return True
    if status.st_uid == user.pw_uid:
        return bool(status.st_mode & owner_bit)
    if status.st_gid in os.getgrouplist(user.pw_name, user.pw_gid):
        return bool(status.st_mode & (owner_bit >> 3))
    return bool(status.st_mode & (owner_bit >> 6))


def _unusable(install: Path, user: pwd.struct_passwd) -> Path | None:
    if wall := blocked(install, user):
        return wall
    for path in install.rglob("*"):
        needed = stat.S_IXUSR if path.is_dir() or path.parent.name == "bin" else stat.S_IRUSR
        if not _allows(path, user, needed):
            return path
    return None


def _copy_readable(install: Path, copy: Path) -> None:
    if copy.exists():
        return
    partial = copy.with_name(copy.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(install, partial, symlinks=True)
    for path in (partial, *partial.rglob("*")):
        if not path.is_symlink():
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if executable else 0o644)
    partial.rename(copy)


def _as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
