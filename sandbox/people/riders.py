"""How riders act: shifts, offers, straight rides, waits at the counter, proof at the door."""

import asyncio
import contextlib
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sandbox.people.habits import Place, Rider, RiderHabits
from sandbox.people.scene import Errands, Refused, Scene, until
from sandbox.people.travel import Leg, ride, standing

LOOK_SECONDS = 1.0
"""Real time between looks at the offers while the live line is down."""
GLANCE_SECONDS = 10.0
"""The same while it is up, in case something was missed."""
REPORT_LIFE_SECONDS = 15.0
"""Between positions, of life."""
REPORT_REAL_SECONDS = 1.0
"""Between reports, real time: fast days send several positions at once …"""
REPORT_LONGEST_LIFE_SECONDS = 60.0
"""… but never so many that the platform would miss a sign of life."""
IDLE_REPORTS_PART = 4
"""Who stands still and carries nothing reports this many times more rarely."""
POSITIONS_MAX = 100
READY_LOOK_SECONDS = 1.0
CODE_LOOK_SECONDS = 1.0
GOODBYE_SECONDS = 2.0
PHOTO = b"\xff\xd8\xff\xe0 a bag at a door"
BEFORE_PICKUP = frozenset({"assigned", "at_store"})


@dataclass(slots=True)
class Track:
    """Where the rider is at any moment, on the loop's clock."""

    leg: Leg
    reported_at: float = field(default=0.0)

    def positions(self, now: float, step: float) -> list[dict[str, Any]]:
        """Positions since the last report, `step` seconds apart, the last one now."""
        first = max(self.reported_at + step, now - (POSITIONS_MAX - 1) * step)
        moments = [first + n * step for n in range(int(max(0.0, now - first) / step))]
        self.reported_at = now
        wall = datetime.now(UTC)
        return [
            self.leg.at(moment).model_dump()
            | {"at": (wall - timedelta(seconds=now - moment)).isoformat()}
            for moment in (*moments, now)
        ]


class RiderPersona:
    """One rider, until cancelled."""

    def __init__(self, scene: Scene, rider: Rider) -> None:
        self._scene = scene
        self._line = scene.line(rider.token)
        self.habits: RiderHabits = rider.habits
        self._track = Track(standing(rider.habits.start))
        self._errands = Errands(scene)
        self._jobs: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answered: set[tuple[str, int]] = set()
        """Offers, by task and token."""
        self._taken: set[tuple[str, int]] = set()
        """Tasks, by task and token."""
        self._begun: set[tuple[str, int]] = set()
        """Those of them that are no more to be fetched."""
        self._offers: list[dict[str, Any]] = []
        """As of the last look."""
        self._news = asyncio.Event()
        """The platform has said something about the rider's tasks."""
        self._departs = asyncio.Event()
        self.on_shift = False
        self.busy = False
        self.silent = False
        self.delivered = 0

    def begin(self) -> None:
        """Start the day."""
        self._errands.begin(self._day())

    async def close(self) -> None:
        """Go home; the platform is told, if it listens."""
        await self._errands.close()
        if self.on_shift:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self._line.post("/v1/rider/shift", {"on": False})

    async def _day(self) -> None:
        if self.habits.on_at is not None:
            await until(self.habits.on_at)
        here = self._track.leg.at(self._now)
        begins = {"on": True, **here.model_dump()}
        if self.habits.off_at is not None:
            begins["ends_at"] = self.habits.off_at.isoformat()
        await self._line.post("/v1/rider/shift", begins)
        self.on_shift = True
        self._track.reported_at = self._now
        for errand in (self._listen, self._look, self._work, self._report):
            self._errands.begin(errand())
        if self.habits.pauses_after_seconds is not None:
            self._errands.begin(self._pause(self.habits.pauses_after_seconds))
        if self.habits.off_at is not None:
            await until(self.habits.off_at)
            self.on_shift = False
            await self._line.post("/v1/rider/shift", {"on": False})

    async def _pause(self, after_seconds: float) -> None:
        """Take no offers for a while, if the shift lasts so long."""
        await self._scene.live(after_seconds)
        if self.on_shift:
            why = {"reason_code": self.habits.pause_reason}
            await self._line.post("/v1/rider/shift/pause", why)
            await self._scene.live(self.habits.pauses_for_seconds)
        if self.on_shift:
            await self._line.post("/v1/rider/shift", {"on": True})

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # What reaches the rider ------------------------------------------------------------------

    async def _listen(self) -> None:
        async with aclosing(self._line.live(lambda: "/v1/rider/live")) as messages:
            async for message in messages:
                if message.get("type") == "offer.made":
                    self._hear(message)
                elif message.get("type") in {"task.assigned", "task.settled"}:
                    self._news.set()
                    await self._look_once()
                elif message.get("type") == "standby" and not self.busy:
                    self._set_off(message)
                for offer in message.get("offers") or ():
                    self._hear(offer)

    async def _look(self) -> None:
        while True:
            await self._look_once()
            await asyncio.sleep(GLANCE_SECONDS if self._line.connected else LOOK_SECONDS)

    async def _look_once(self) -> None:
        for task in await self._asked():
            self._take(task)

    async def _asked(self) -> list[dict[str, Any]]:
        """Look at offers and tasks; offers are answered on the way."""
        answer = await self._line.get("/v1/rider/offers")
        self._offers = list(answer.body.get("offers") or ())
        for offer in self._offers:
            self._hear(offer)
        return list(answer.body.get("tasks") or ())

    def _hear(self, offer: dict[str, Any]) -> None:
        """Answer an offer, once."""
        known = (offer["task_id"], int(offer["token"]))
        if known not in self._answered and not self.silent:
            self._answered.add(known)
            self._errands.begin(self._answer(*known))

    def _take(self, task: dict[str, Any]) -> None:
        """Put a claimed task at the end of the day's work, once."""
        known = (task["task_id"], int(task["token"]))
        if known not in self._taken and not self.silent:
            self._taken.add(known)
            self._jobs.put_nowait(task)

    async def _answer(self, task_id: str, token: int) -> None:
        await self._scene.live(self.habits.answers_after_seconds)
        if self.on_shift and self._scene.happens(self.habits.claims):
            answer = await self._line.post(f"/v1/rider/tasks/{task_id}/claim", {"token": token})
            self._scene.trouble["claims taken"] += int(answer.problem == "claim_taken")
            if answer.ok:
                self.silent |= self.habits.goes_silent == "after_claim"
                await self._look_once()
        elif self._scene.happens(self.habits.declines):
            no = {"token": token, "reason_code": self.habits.decline_reason}
            await self._line.post(f"/v1/rider/tasks/{task_id}/decline", no)

    # What the rider does -----------------------------------------------------------------------

    async def _report(self) -> None:
        speed = self._scene.speed
        step = REPORT_LIFE_SECONDS / speed
        pause = max(step, min(REPORT_REAL_SECONDS, REPORT_LONGEST_LIFE_SECONDS / speed))
        while not self.silent:
            positions = self._track.positions(self._now, step)
            if self.on_shift or self.busy:
                await self._line.post("/v1/rider/positions", {"positions": positions})
            with contextlib.suppress(TimeoutError):
                parts = 1 if self.busy else IDLE_REPORTS_PART
                await asyncio.wait_for(self._departs.wait(), parts * pause)
                self._departs.clear()

    async def _work(self) -> None:
        while not self.silent:
            self.busy = not self._jobs.empty()
            task = await self._jobs.get()
            if _name(task) in self._begun:
                continue
            self.busy = True
            self._departs.set()
            for one in await self._fetched(task):
                try:
                    await self._deliver(one)
                except Refused as refused:
                    self._scene.trouble[f"task {refused.args[0]}"] += 1

    async def _fetched(self, task: dict[str, Any]) -> list[dict[str, Any]]:
        """What is to be handed over now, in order: the task, and what was taken along with it."""
        self._begun.add(_name(task))
        try:
            if task["dropoff"] is None:
                await self._act(task, "fail", reason_code="address_unknown")
                return []
            return await self._fetch(task) if task["state"] in BEFORE_PICKUP else [task]
        except Refused as refused:
            self._scene.trouble[f"task {refused.args[0]}"] += 1
            return []

    async def _deliver(self, task: dict[str, Any]) -> None:
        if task["state"] != "arrived":
            await self._ride(task["dropoff"])
            await self._act(task, "arrive-customer")
        await self._scene.live(self.habits.service_seconds_dropoff / 2)
        await self._hand_over(task)
        self.delivered += 1
        await self._scene.live(self.habits.service_seconds_dropoff / 2)

    async def _fetch(self, task: dict[str, Any]) -> list[dict[str, Any]]:
        await self._ride(task.get("goods") or task["shop"])
        if task["state"] == "assigned":
            await self._act(task, "arrive-store")
        await self._scene.live(self.habits.service_seconds_pickup / 2)
        bundle = await self._wait_for_food(task)
        for one in bundle:
            self._begun.add(_name(one))
            await self._pick_up(one)
        if self.habits.goes_silent == "after_pickup":
            self.silent = True
            raise Refused("rider_silent")
        await self._scene.live(self.habits.service_seconds_pickup / 2)
        return sorted([*bundle, *await self._fetch_along()], key=lambda one: int(one["stop"]))

    async def _fetch_along(self) -> list[dict[str, Any]]:
        """What was settled together with it and waits at another shop, before any door."""
        for task in await self._asked():
            if task["settled"] and self._may_take(task) and _name(task) not in self._begun:
                return await self._fetched(task)
        return []

    async def _pick_up(self, task: dict[str, Any]) -> None:
        """Take what is there; a bag with a single thing in it is full or not there at all."""
        if self._scene.happens(self.habits.misses):
            path = f"/v1/rider/tasks/{task['task_id']}/pickup"
            partly = {"token": task["token"], "missing": [{"line_no": 1, "quantity": 1}]}
            if (await self._line.post(path, partly)).ok:
                return
        await self._act(task, "pickup")

    async def _hand_over(self, task: dict[str, Any]) -> None:
        """Leave it where the customer wished that, else ask for the code; nobody there: go back."""
        if (await self._mine(task)).get("dropoff_wish") == "door":
            path = f"/v1/rider/tasks/{task['task_id']}/photos"
            shown = await self._line.show(path, PHOTO, token=int(task["token"]))
            await self._act(task, "deliver", photo_id=str(shown.body.get("photo_id", "")))
        elif code := await self._code(task):
            await self._act(task, "deliver", code=code)
        else:
            await self._bring_back(task)

    async def _bring_back(self, task: dict[str, Any]) -> None:
        """Call, wait as long as the platform wants, and take it back to the shop."""
        await self._act(task, "calls", outcome="no_answer")
        await self._act(task, "unreachable")
        while (now := await self._mine(task))["dropoff_wish"] != "return":
            until_at = datetime.fromisoformat(now["unreachable_until"])
            left = (until_at - datetime.now(UTC)).total_seconds()
            if left < 0:
                break
            await asyncio.sleep(min(left + 0.05, GLANCE_SECONDS))
        await self._act(task, "return")
        raise Refused("customer_unreachable")

    async def _ride(self, target: dict[str, Any]) -> None:
        leg = self._set_off(target)
        await asyncio.sleep(leg.ends - self._now)

    def _set_off(self, target: dict[str, Any]) -> Leg:
        now, wall = self._now, datetime.now(UTC)
        wet = (one.slows_to for one in self.habits.rain if one.from_at <= wall < one.until_at)
        meters_per_minute = self.habits.speed_meters_per_minute * min(wet, default=1.0)
        leg = ride(
            self._track.leg.at(now),
            Place(lat=target["lat"], lng=target["lng"]),
            begins=now,
            meters_per_second=meters_per_minute / 60 * self._scene.speed,
            whole=self.habits.leg_seconds / self._scene.speed,
        )
        self._track.leg = leg
        self._departs.set()
        return leg

    async def _wait_for_food(self, task: dict[str, Any]) -> list[dict[str, Any]]:
        """Until all that goes along is settled and ready; a task that is gone is left."""
        patience = self.habits.waits_settled_seconds / self._scene.speed
        ready_since = None
        while True:
            self._news.clear()
            mine = await self._asked()
            if _name(task) not in map(_name, mine):
                raise Refused("withdrawn")
            here = [one for one in mine if _where(one) == _where(task) and self._may_take(one)]
            counters = [self._scene.counter(one["order_id"]) for one in here if not one["ready"]]
            waits = [
                asyncio.create_task(counter.wait()) for counter in counters if not counter.is_set()
            ]
            if not waits and not self._asked_for(task["shop"]):
                ready_since = ready_since or self._now
                if all(one["settled"] for one in here) or self._now > ready_since + patience:
                    return here
            waits.append(asyncio.create_task(self._news.wait()))
            await asyncio.wait(waits, timeout=READY_LOOK_SECONDS, return_when="FIRST_COMPLETED")
            for wait in waits:
                wait.cancel()

    def _asked_for(self, shop: dict[str, Any]) -> bool:
        """Whether something of this shop is offered that is not answered yet."""
        return any(offer["shop"] == shop for offer in self._offers)

    def _may_take(self, task: dict[str, Any]) -> bool:
        return task["state"] in BEFORE_PICKUP and task["dropoff"] is not None

    async def _code(self, task: dict[str, Any]) -> str:
        """Ask at the door; somebody comes as soon as this session knows the customer."""
        while (ask := self._scene.codes.get(task["order_id"])) is None:
            await self._mine(task)
            await asyncio.sleep(CODE_LOOK_SECONDS)
        return await ask()

    async def _mine(self, task: dict[str, Any]) -> dict[str, Any]:
        """The task as it is now, if it is still this rider's."""
        for known in await self._asked():
            if (known["task_id"], known["token"]) == (task["task_id"], task["token"]):
                return known
        raise Refused("withdrawn")

    async def _act(self, task: dict[str, Any], act: str, **more: str) -> None:
        body = {"token": task["token"], **more}
        answer = await self._line.post(f"/v1/rider/tasks/{task['task_id']}/{act}", body)
        if not answer.ok:
            raise Refused(f"{act} {answer.problem}")


def _where(task: dict[str, Any]) -> dict[str, Any]:
    place: dict[str, Any] = task.get("goods") or task["shop"]
    return place


def _name(task: dict[str, Any]) -> tuple[str, int]:
    return task["task_id"], int(task["token"])
