"""`python -m tests.faults.crashing FILE`: the worker of orders, killed once around every act.

It is `workers.orders` with each activity wrapped: before the first statement of an act, when a
channel's answer to it has come and nothing of that is stored, and after it has committed but before
Temporal hears of it, the act's name is written to FILE and the process kills itself. What FILE
names already is left alone. A parent that has
imported everything forks the next worker, so that one is up again at once.
"""

import dataclasses
import inspect
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from temporalio import activity

from services import logs, process
from services.settings import settings
from workers.queues import ORDERS, Queue, Tools
from workers.serve import serve

MOMENTS = ("before", "after")
SENT = "sent"
"""The moment of those acts that call a channel."""

Run = Callable[[Any], Coroutine[Any, Any, Any]]


class Fuse:
    """What was hit so far, and the end of this process at the first time of something new."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hits = set(file.read_text().splitlines()) if file.exists() else set()

    def burn(self, act: str, moment: str) -> None:
        """Die here, unless some process has died here before."""
        hit = f"{act} {moment}"
        if hit in self._hits:
            return
        handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(handle, f"{hit}\n".encode())
        os.fsync(handle)
        os.kill(os.getpid(), signal.SIGKILL)


def crashing(queue: Queue, fuse: Fuse) -> Queue:
    """The same queue, with every activity on this fuse."""

    async def answered(_: httpx.Response) -> None:
        if activity.in_activity():
            fuse.burn(activity.info().activity_type, SENT)

    def wrapped(tools: Tools) -> list[Callable[..., Any]]:
        tools.gateways.http.event_hooks["response"].append(answered)
        return [_wrap(act, fuse) for act in queue.activities(tools)]

    return dataclasses.replace(queue, activities=wrapped)


def _wrap(act: Run, fuse: Fuse) -> Run:
    name = str(vars(act)["__temporal_activity_definition"].name)
    [takes] = [one.annotation for one in inspect.signature(act).parameters.values()]

    async def run(value: Any) -> Any:
        fuse.burn(name, "before")
        done = await act(value)
        fuse.burn(name, "after")
        return done

    run.__annotations__ = {"value": takes, "return": inspect.signature(act).return_annotation}
    return activity.defn(name=name)(run)


def main() -> None:
    """Fork workers for as long as each of them is killed."""
    file = Path(sys.argv[1])
    logs.configure("crashing", settings().log_level)
    while True:
        child = os.fork()
        if child == 0:
            process.run(partial(serve, crashing(ORDERS, Fuse(file))))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    main()
