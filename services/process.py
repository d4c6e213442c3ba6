"""How an entry point runs and ends: told to stop by a signal, left without an interpreter exit."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

import uvloop

_log = logging.getLogger(__name__)


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> NoReturn:
    """Run `main(stop)` to its end and leave: 0 if it ended well, 1 if it raised.

    `stop` is set by SIGTERM or SIGINT; a second signal leaves at once.
    """
    code = 1
    try:
        uvloop.run(_until_told(main))
        code = 0
    except BaseException:  # noqa: BLE001  the last door: logged, then left by it
        _log.exception("the process ends by an error")
    leave(code)


def leave(code: int) -> NoReturn:
    """End this process now, with everything written out.

    Temporal's client keeps Rust threads that may still call back into Python while the
    interpreter finalises; the process then dies by `PyGILState_Release` or a segmentation fault
    (sdk-python #300, open since 2023; 8 of 40 plain runs, 0 of 40 this way). So every process
    that has used the client ends here and never runs the interpreter's own exit.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Between two rounds: so long, or until told to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def _until_told(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def told() -> None:
        if stop.is_set():
            leave(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    await main(stop)


@asynccontextmanager
async def beating(beat: Callable[[], None], seconds: float, *, most: int) -> AsyncIterator[None]:
    """Call `beat` every so many seconds, `most` times, beside what is awaited."""

    async def go_on() -> None:
        for _ in range(most):
            await asyncio.sleep(seconds)
            beat()

    beats = asyncio.create_task(go_on())
    try:
        yield
    finally:
        beats.cancel()
