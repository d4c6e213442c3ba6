"""The state folder: where what lives, its keys, its lock; not what runs in it."""

import base64
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import click

PRIVATE_FOLDER_MODE = 0o700
PRIVATE_FILE_MODE = 0o600
KEY_BYTES = 32
SOCKET_PATH_BYTES = 90
"""Unix socket paths end at 107 bytes, and supervisord binds `<path>.<pid>` first."""


@dataclass(frozen=True, slots=True)
class State:
    """One stack's folder, absolute."""

    home: Path

    @classmethod
    def at(cls, home: Path) -> Self:
        """The stack of that folder, made or not; refuses a folder that belongs to another user."""
        if home.exists() and os.geteuid() not in {0, home.stat().st_uid}:
            raise click.ClickException(
                f"{home} belongs to another user; "
                "run as that user, or set PAOTUI_HOME to a folder of your own"
            )
        return cls(home)

    @property
    def run(self) -> Path:
        """What is true only of the present run: pids, ports, configuration."""
        return self.home / "run"

    @property
    def pids(self) -> Path:
        """One file per child: its pid, then its command line."""
        return self.run / "pids"

    @property
    def logs(self) -> Path:
        """One rotated file per child."""
        return self.home / "logs"

    @property
    def keys(self) -> Path:
        """Secrets made on first start."""
        return self.home / "keys"

    @property
    def ports(self) -> Path:
        """The ports chosen last time."""
        return self.run / "ports.json"

    @property
    def mark(self) -> str:
        """A short name of this folder, for places outside it."""
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]

    def log(self, name: str) -> Path:
        """The log of one child."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders."""
        self.home.mkdir(parents=True, exist_ok=True)
        for folder in (self.run, self.pids, self.logs, self.keys):
            folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        for name in ("temporal", "valkey", "sandbox", "mqtt"):
            (self.home / name).mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)

    def key(self, name: str) -> str:
        """A secret of 32 random bytes as base64, made when first asked for."""
        return self.secret(name, base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode())

    def password(self, name: str) -> str:
        """A secret that may stand in a URL, made when first asked for."""
        return self.secret(name, secrets.token_urlsafe(KEY_BYTES))

    def secret(self, name: str, fresh: str) -> str:
        """The stored secret of that name; stores `fresh` when there is none yet."""
        path = self.keys / name
        if not path.exists():
            write_private(path, fresh)
        return path.read_text()

    @property
    def socket(self) -> Path:
        """Where supervisord listens: inside the folder, or elsewhere when that is too long."""
        inside = self.run / "supervisor.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
            return inside
        return own_folder(Path(tempfile.gettempdir()) / f"paotui-{self.mark}") / "supervisor.sock"

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Whether this process is now the only `paotui up` of this folder."""
        with (self.run / "up.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; nobody else may read it at any moment."""
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE)
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def own_folder(path: Path, mode: int = PRIVATE_FOLDER_MODE) -> Path:
    """A folder in a place where everybody may write; refuses one that somebody else made."""
    path.mkdir(mode=mode, exist_ok=True)
    status = path.lstat()
    if path.is_symlink() or status.st_uid != os.geteuid():
        raise click.ClickException(f"{path} was made by another user; remove it")
    path.chmod(mode)
    return path
