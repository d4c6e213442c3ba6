"""Processes of an earlier run: found by pid file and command line, ended by pid, nothing else."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

POLL_SECONDS = 0.05
END_SECONDS = 5.0
"""After this long a leftover that was asked to end is killed."""


def launcher(pid_file: Path, command: Iterable[str]) -> tuple[str, ...]:
    """Write pid and command line, then become the command: right after every restart, too."""
    return (
        "/bin/sh",
        "-c",
        'printf "%s\\n" "$$" "$@" >"$0" && exec "$@"',
        str(pid_file),
        *command,
    )


def recorded(pid_file: Path) -> psutil.Process | None:
    """The live process that the launcher recorded; a reused pid has another command line."""
    try:
        pid, *command = pid_file.read_text().splitlines()
        process = psutil.Process(int(pid))
        return process if process.cmdline() == command else None
    except (OSError, ValueError, psutil.Error):
        return None


def holding(pid_file: Path, mark: str) -> psutil.Process | None:
    """The live process whose pid the file begins with, if its command line contains `mark`."""
    try:
        process = psutil.Process(int(pid_file.read_text().split(maxsplit=1)[0]))
        return process if mark in process.cmdline() else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def working_in(folder: Path, name: str) -> list[psutil.Process]:
    """Processes of that name that stand in that folder, like back-ends that lost their server."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == name and Path(process.cwd()) == folder:
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def end(
    asked: Iterable[psutil.Process],
    *,
    ask: signal.Signals = signal.SIGTERM,
    seconds: float = END_SECONDS,
    descendants: bool = True,
) -> None:
    """Ask them to end, wait, and kill what is still there, with all that they had started."""
    family: dict[int, psutil.Process] = {}
    for process in asked:
        try:
            children = process.children(recursive=True) if descendants else []
            process.send_signal(ask)
        except psutil.NoSuchProcess:
            continue
        family |= {member.pid: member for member in (process, *children)}
    for process in _wait(family.values(), seconds):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _wait(family.values(), seconds)


def alive(process: psutil.Process) -> bool:
    """Whether it still does anything: a container's first process may never bury its dead."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _wait(family: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all have ended or the bound has; answers with those still alive."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in family if alive(process)]) and (
        time.monotonic() < deadline
    ):
        time.sleep(POLL_SECONDS)
    return left


def end_recorded(pid_files: Iterable[Path]) -> list[str]:
    """End every leftover that those files record; answers with their names."""
    left = {path.stem: process for path in pid_files if (process := recorded(path))}
    end(left.values())
    return sorted(left)


def is_root() -> bool:
    """Whether children may be run as other users."""
    return os.geteuid() == 0
