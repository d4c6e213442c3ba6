"""An order's alarms: which silence ends when, with one running timer for the earliest of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow

Ring = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Alarm:
    """What happens at `due` if nothing has happened before."""

    name: str
    due: datetime
    ring: Ring
    since: datetime
    """When it was set."""
    while_held: bool = False
    """Rings although support holds the order."""


class Clock:
    """The alarms of one workflow."""

    def __init__(self) -> None:
        self._alarms: dict[str, Alarm] = {}
        self._changes = 0

    def set(self, name: str, due: datetime, ring: Ring, *, while_held: bool = False) -> None:
        """Set or move an alarm."""
        self._alarms[name] = Alarm(
            name=name, due=due, ring=ring, since=workflow.now(), while_held=while_held
        )
        self._changes += 1

    def drop(self, *names: str) -> None:
        """Forget alarms."""
        for name in names:
            if self._alarms.pop(name, None):
                self._changes += 1

    def shift(self, by: timedelta) -> None:
        """Move every alarm that a hold stops."""
        for alarm in self._alarms.values():
            if not alarm.while_held:
                alarm.due += by
        self._changes += 1

    def resume(self, held_since: datetime) -> None:
        """A hold is over: what it stopped has as much time left as before."""
        now = workflow.now()
        for alarm in self._alarms.values():
            if not alarm.while_held:
                alarm.due += now - max(held_since, alarm.since)
        self._changes += 1

    def _next(self, *, held: bool) -> Alarm | None:
        ready = [alarm for alarm in self._alarms.values() if alarm.while_held or not held]
        return min(ready, key=lambda alarm: (alarm.due, alarm.name), default=None)

    async def rest(self, woken: Callable[[], bool], *, held: bool) -> None:
        """Sleep until `woken`, an alarm is changed, or the earliest alarm rings (and let it)."""
        alarm = self._next(held=held)
        changes = self._changes
        if alarm is None:
            await workflow.wait_condition(lambda: woken() or self._changes != changes)
            return
        left = alarm.due - workflow.now()
        if left > timedelta():
            try:
                await workflow.wait_condition(
                    lambda: woken() or self._changes != changes,
                    timeout=left,
                    timeout_summary=alarm.name,
                )
            except TimeoutError:
                pass
            else:
                return
        self.drop(alarm.name)
        await alarm.ring()
