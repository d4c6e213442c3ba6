"""CPU time of processes and their children, from `/proc`; not what they do with it."""

import os
from collections.abc import Mapping
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
CLIENT = "client"
"""The benchmark itself: people's taps, screens and phones."""


def of_parts(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of each part and all that it has started, and of this process."""
    parents = _parents()
    used = {name: sum(map(_seconds, _tree(pid, parents))) for name, pid in pids.items()}
    here = os.times()
    return used | {CLIENT: here.user + here.system}


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds that each part has used meanwhile."""
    return {name: after[name] - before[name] for name in before}


def _tree(pid: int, parents: Mapping[int, int]) -> list[int]:
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _fields(int(entry.name))):
            found[int(entry.name)] = int(fields[1])
    return found


def _seconds(pid: int) -> float:
    """User and system time, and that of children it has buried (proc(5), fields 14 to 17)."""
    fields = _fields(pid)
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND if fields else 0.0


def _fields(pid: int) -> list[str]:
    """From the state on: what comes before it may contain spaces. Empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
