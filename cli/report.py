"""What a person sees while they wait: lines with elapsed time, and who is being waited for."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

from rich.console import Console
from rich.table import Table

LIVE_TICK_SECONDS = 0.2
PLAIN_TICK_SECONDS = 5.0


class Report:
    """Prints facts as lines; while inside `async with`, also says what is waited for."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True, emoji=False)
        self._began = time.monotonic()
        self._waiting: dict[str, tuple[float, str]] = {}
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to tell what is waited for."""
        live = self.console.is_terminal
        self._ticker = asyncio.create_task(self._tick_live() if live else self._tick_plain())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop telling."""
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker

    def say(self, text: str) -> None:
        """One line with the seconds since the command began."""
        elapsed = time.monotonic() - self._began
        self.console.print(f"{elapsed:7.1f} s  {text}", markup=False)

    def table(self, title: str, rows: Iterable[tuple[str, ...]]) -> None:
        """Aligned columns without decoration, so that addresses can be clicked and copied."""
        table = Table(title=title, title_justify="left", show_header=False, box=None)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Name something that is being waited for."""
        self._waiting[name] = (time.monotonic(), "")
        try:
            yield
        finally:
            del self._waiting[name]

    def note(self, name: str, text: str) -> None:
        """What the awaited thing is doing now."""
        if name in self._waiting:
            self._waiting[name] = (self._waiting[name][0], text)

    def _describe(self, least_seconds: float) -> str:
        now = time.monotonic()
        return ", ".join(
            f"{name} {now - since:.0f} s" + (f" ({text})" if text else "")
            for name, (since, text) in self._waiting.items()
            if now - since >= least_seconds
        )

    async def _tick_live(self) -> None:
        with self.console.status("") as status:
            while True:
                text = self._describe(0)
                status.update(f"waiting for {text}" if text else "")
                await asyncio.sleep(LIVE_TICK_SECONDS)

    async def _tick_plain(self) -> None:
        while True:
            await asyncio.sleep(PLAIN_TICK_SECONDS)
            if text := self._describe(PLAIN_TICK_SECONDS / 2):
                self.say(f"waiting for {text}")
