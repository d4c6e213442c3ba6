"""One zone's planning: what the rows say becomes riders and jobs, and a decision becomes wishes.

Its memory (routes, demand, where orders go) is rebuilt from the rows after a restart, but for the
routes, which only begin anew.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
from sqlalchemy import Row

from domain.contracts.dispatch import Zone
from domain.eta import Vehicle, pace, slowing
from domain.geo import Point
from domain.matching import Asked, WaitingTask, ZoneRules, barring
from domain.orders import CARRYING, Delivery
from domain.planning import cells, tick
from domain.planning.crew import Onboard, Shift, Work, owed, rider_of, usual_rate
from domain.planning.model import Decision, Job, Place, Rider, Routes, Rules
from domain.positions import PlacesOf
from services import personal
from services.db import Reader
from services.dispatch import legs, seen
from services.eta.outside import Conditions, Outside
from services.personal import Item

DEMAND_HALF_LIFE = 200.0
"""Minutes until an order counts half for where the next one is to be expected."""
DEMAND_ROWS = 5_000
STANDBY_MINUTES = 2.0
"""Between two looks where the idle should wait."""
AHEAD_MINUTES = 180.0
"""Goods that are ready later are in nobody's plan yet."""
OUTSIDE_SECONDS = 60.0
"""Between two questions for weather and traffic, on the loop's clock."""
EVER = 1e6
"""Minutes, for what has no end."""
SOONEST = 1.0
"""Minutes until food that is overdue is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Ask these riders for this task; the first one has it."""

    task: Row[Any]
    rider_ids: Sequence[str]
    bonus_fen: int = 0
    stop: int = 0
    settled: bool = False
    """What is picked up together with it is decided."""
    grab: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a plan wants done now."""

    offers: Sequence[Offer] = ()
    settle: Sequence[tuple[Row[Any], int]] = ()
    """Tasks to be picked up by the rider who has them, and the places of their hand-overs."""
    standby: Mapping[str, str] = field(default_factory=dict)
    """Riders, and the shops to wait at."""


@dataclass(slots=True, kw_only=True)
class Planner:
    """What a matcher remembers of its zone from plan to plan; times are minutes since it began."""

    zone: Zone
    told: dict[str, Any]
    """The zone's rules as its row has them."""
    speed: float
    places: PlacesOf
    engine: tick.Engine
    around: Outside
    rules: ZoneRules = field(init=False)
    _routes: Routes = field(default_factory=dict)
    _demand: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Per shop how many orders count at a moment, and that moment."""
    _counted: dict[str, None] = field(default_factory=dict)
    _places: dict[str, Place] = field(default_factory=dict)
    """Where orders go."""
    _waits_at: dict[str, str] = field(default_factory=dict)
    """Idle riders, and the shop that they were told to wait at."""
    _began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _moment: float = 0.0
    """When the rows were read: what their seconds are counted from."""
    _usual: float = 0.0
    """Orders an hour of those on shift, in this plan."""
    _outside: Conditions = field(default_factory=Conditions)
    """Weather and traffic of this plan."""
    _asked: asyncio.Task[Conditions] | None = None
    _ask_at: float = 0.0
    _next: float = 0.0
    _next_standby: float = 0.0

    def __post_init__(self) -> None:
        self.rules = ZoneRules.of(self.told)

    @property
    def now(self) -> float:
        """Minutes of life since the planner began."""
        return (asyncio.get_running_loop().time() - self._began) * self.speed / 60

    def rules_are(self, told: dict[str, Any]) -> None:
        """Follow the zone's rules from now on."""
        if told != self.told:
            self.told, self.rules = told, ZoneRules.of(told)

    def is_due(self, *, busy: bool) -> bool:
        """Whether to plan now; `busy`: the zone has open tasks."""
        stands_by = self.rules.late and self.now >= self._next_standby
        return self.now >= self._next and (busy or stands_by)

    async def remember(self, reader: Reader) -> None:
        """Count the orders of the last hours as demand."""
        self._moment = self.now
        for row in await seen.lately(reader, self.zone, DEMAND_ROWS):
            self._count(row.order_id, row.shop_id, self._at(row.placed_seconds))

    async def plan(self, reader: Reader) -> Wishes:
        """Read the zone, decide, say what is to be done."""
        now = self._moment = self.now
        self._next = now + self.rules.plan_seconds / 60
        tasks = await seen.tasks(reader, self.zone)
        on_shift = await seen.riders(reader, self.zone, self.rules.neighbours)
        shops = await seen.shops(reader, self.zone)
        shops |= {task.origin: (task.lat, task.lng) for task in tasks}
        await self._learn_places(reader, tasks)
        self._look_outside([*shops.values()])
        where = await self.places(self.zone.site_id, [row.rider_id for row in on_shift])
        riders = [(row, where[row.rider_id]) for row in on_shift if row.rider_id in where]
        # Beside the event loop: heartbeats go on meanwhile.
        return await asyncio.to_thread(self._wishes, now, tasks, riders, shops)

    def _wishes(
        self,
        now: float,
        tasks: Sequence[Row[Any]],
        riders: Sequence[tuple[Row[Any], Point]],
        shops: Mapping[str, Place],
    ) -> Wishes:
        for task in tasks:
            self._count(task.order_id, task.shop_id, self._at(task.placed_seconds))
        hands = seen.in_hand(tasks)
        self._usual = usual_rate([self._shift(row) for row, _ in riders])
        crew = [self._rider(row, at, hands.get(row.rider_id, ()), now) for row, at in riders]
        candidates = [seen.candidate(row, at, free=row.rider_id not in hands) for row, at in riders]
        everybody = frozenset(row.rider_id for row, _ in riders)
        idle = everybody - hands.keys()
        self._waits_at = {one: shop for one, shop in self._waits_at.items() if one in idle}
        jobs, grabs = [], []
        not_by = barring(candidates, self.rules)
        for rider_id in everybody & hands.keys():
            open_ones = [one for one in hands[rider_id] if not seen.is_settled(one)]
            jobs += [self._job(one, frozenset(), now, held_by=rider_id) for one in open_ones]
        for task in tasks:
            begun = task.searched_seconds >= 0 or (
                self.rules.late and self._ready_at(task) <= now + AHEAD_MINUTES
            )
            if not task.grab and not (task.state == Delivery.SEARCHING and begun):
                continue
            waiting = self._waiting(task)
            barred = not_by(waiting)
            if self.rules.is_open_to_all(waiting.searched_seconds):
                unasked = idle - barred - {*(task.asking or ())}
                grabs.append(replace(self._offer(task, sorted(unasked)), grab=True))
            elif not task.grab:
                jobs.append(self._job(task, barred, now))
        decision = self._decide(now, crew, jobs, shops)
        self._routes = decision.routes
        return self._told(decision, tasks, [one for one in grabs if one.rider_ids])

    def _decide(
        self,
        now: float,
        crew: Sequence[Rider],
        jobs: Sequence[Job],
        shops: Mapping[str, Place],
    ) -> Decision:
        demand = None
        if self.rules.late and now >= self._next_standby:
            self._next_standby = now + STANDBY_MINUTES
            demand = {shop_id: self._expected(shop_id, now) for shop_id in shops}
        zone = tick.Zone(shops, self._drives, self._planning, engine=self.engine)
        return cells.decide(
            now,
            crew,
            jobs,
            self._routes,
            zone=zone,
            seed=int(now * 60),
            demand=demand,
        )

    def _told(
        self, decision: Decision, tasks: Sequence[Row[Any]], offers: Sequence[Offer]
    ) -> Wishes:
        """What a decision wants of the rows."""
        by_order = {task.order_id: task for task in tasks}
        wanted = [*offers]
        settle = []
        for rider_id, order_id in decision.leave.items():
            if by_order[order_id].state == Delivery.SEARCHING:
                wanted.append(self._offer(by_order[order_id], [rider_id]))
        for one in decision.collect:
            for stop, order_id in enumerate(one.order_ids):
                task = by_order[order_id]
                if task.state == Delivery.SEARCHING:
                    wanted.append(self._offer(task, [one.rider_id], stop=stop, settled=True))
                else:
                    settle.append((task, stop))
        routes = [*chain(*decision.routes.values()), *(one.order_ids for one in decision.collect)]
        planned = {*chain(*routes)}
        settle += [(one, 0) for one in tasks if seen.waits(one) and one.order_id not in planned]
        standby = {
            rider_id: shop_id
            for rider_id, shop_id in decision.standby.items()
            if self._waits_at.get(rider_id) != shop_id
        }
        self._waits_at |= standby
        return Wishes(offers=wanted, settle=settle, standby=standby)

    # From rows ----------------------------------------------------------------------------------

    @property
    def _planning(self) -> Rules:
        rules = self.rules
        return Rules(
            pickup_half=rules.pickup_minutes / 2,
            dropoff_half=rules.dropoff_minutes / 2,
            promise=rules.promise_minutes,
            bearable=rules.bearable_minutes,
            near=rules.near_minutes,
            tick=rules.ahead_minutes + rules.plan_seconds / 60 if rules.late else EVER,
        )

    @property
    def _leaving_minutes(self) -> float:
        """From a hand-over until the rider can set off."""
        return self.rules.dropoff_minutes / 2 if self.rules.late else 0.0

    def _at(self, seconds: float | None) -> float:
        """The minute of a moment so many seconds from then; None: long ago."""
        return -EVER if seconds is None else self._moment + float(seconds) * self.speed / 60

    def _count(self, order_id: str, shop_id: str, placed_at: float) -> None:
        if order_id in self._counted:
            return
        while len(self._counted) >= DEMAND_ROWS:
            del self._counted[next(iter(self._counted))]
        self._counted[order_id] = None
        self._demand[shop_id] = (self._expected(shop_id, placed_at) + 1, placed_at)

    def _expected(self, shop_id: str, now: float) -> float:
        orders, at = self._demand.get(shop_id, (0.0, now))
        return float(orders * 0.5 ** ((now - at) / DEMAND_HALF_LIFE))

    def _look_outside(self, shops: Sequence[Place]) -> None:
        """Ride as the last answer says, and ask again beside the loop: no plan waits for it."""
        if self._asked is not None and self._asked.done():
            self._outside, self._asked = self._asked.result(), None
        now = asyncio.get_running_loop().time()
        if shops and self._asked is None and now >= self._ask_at:
            self._ask_at = now + OUTSIDE_SECONDS
            lat, lng = np.mean(shops, axis=0)
            self._asked = asyncio.create_task(self.around.at(Point(float(lat), float(lng))))

    async def _learn_places(self, reader: Reader, tasks: Sequence[Row[Any]]) -> None:
        """Where new orders go: a personal row each, opened once; without one, their shop."""
        self._places = {
            task.order_id: self._places[task.order_id]
            for task in tasks
            if task.order_id in self._places
        }
        new = {
            Item(task.site_id, f"customer:{task.customer_id}", "order", task.order_id): task
            for task in tasks
            if task.order_id not in self._places
        }
        items = [*new]
        for first in range(0, len(items), personal.ITEMS_MAX):
            page = items[first : first + personal.ITEMS_MAX]
            found = await personal.get_many(reader, page)
            for item in page:
                address = found.get(item, {}).get("address") or {}
                row = new[item]
                place = address.get("lat", row.lat), address.get("lng", row.lng)
                self._places[item.ref] = place

    def _work(self, task: Row[Any]) -> Work:
        return Work(
            order_id=task.order_id,
            shop=(task.lat, task.lng),
            place=self._places[task.order_id],
            ready_at=self._ready_at(task),
            since=self._at(task.changed_seconds),
            at_store=task.state == Delivery.AT_STORE,
            carried=task.state in CARRYING,
            at_door=task.state == Delivery.ARRIVED,
            settled=seen.is_settled(task),
            stop=task.stop,
        )

    def _ready_at(self, task: Row[Any]) -> float:
        """When the food is there; what is overdue is expected any moment."""
        said = self._at(task.ready_seconds)
        return min(said, self._moment) if task.ready else max(said, self._moment + SOONEST)

    def _rider(self, row: Row[Any], at: Point, tasks: Sequence[Row[Any]], now: float) -> Rider:
        who = Onboard(
            rider_id=row.rider_id,
            place=(at.lat, at.lng),
            free_since=self._at(row.last_seconds) + self._leaving_minutes,
            off_at=EVER if row.ends_seconds is None else self._at(row.ends_seconds),
            owed=owed(
                self._shift(row),
                guaranteed=self.rules.guaranteed_orders_per_hour,
                usual=self._usual,
            ),
            room=row.room,
            pace=pace(Vehicle(row.vehicle), self._outside.weather, self._outside.traffic),
        )
        work = [self._work(task) for task in tasks]
        return rider_of(who, work, now=now, drive=self._drive, rules=self._planning)

    def _shift(self, row: Row[Any]) -> Shift:
        began, ends = (
            float(seconds or 0) * self.speed / 3_600
            for seconds in (row.began_seconds, row.ends_seconds)
        )
        return Shift(orders=row.done, hours=-began, whole_hours=ends - began)

    def _job(self, task: Row[Any], barred: frozenset[str], now: float, *, held_by: str = "") -> Job:
        return Job(
            order_id=task.order_id,
            shop_id=task.origin,
            place=self._places[task.order_id],
            placed_at=min(now, self._at(task.placed_seconds)),
            ready_at=self._ready_at(task),
            load=task.load,
            not_by=barred,
            held_by=held_by,
        )

    def _waiting(self, task: Row[Any]) -> WaitingTask:
        return WaitingTask(
            shop=Point(task.lat, task.lng),
            dropoff=Point(*self._places[task.order_id]),
            pause_seconds=task.offer_seconds,
            searched_seconds=float(task.searched_seconds) * self.speed,
            value_fen=task.goods_fen,
            load=task.load,
            ready_seconds=float(task.ready_seconds),
            needs=frozenset(task.needs),
            asked={
                rider_id: Asked(times=times, seconds_ago=seconds_ago, barred=barred)
                for rider_id, times, seconds_ago, barred in task.asked or ()
            },
            blocked=frozenset(task.blocked or ()),
        )

    def _offer(
        self, task: Row[Any], rider_ids: Sequence[str], *, stop: int = 0, settled: bool = False
    ) -> Offer:
        step = self.rules.step(float(task.searched_seconds) * self.speed)
        bonus_fen = step.bonus_fen if step else 0
        return Offer(
            task=task,
            rider_ids=rider_ids,
            bonus_fen=bonus_fen,
            stop=stop,
            settled=settled or not self.rules.late,
        )

    # Distances ----------------------------------------------------------------------------------

    def _drive(self, origin: Place, goal: Place) -> float:
        return float(self._drives([origin, goal])[1])

    def _drives(self, places: Sequence[Place]) -> Sequence[float]:
        slower = slowing(weather=self._outside.weather, traffic=self._outside.traffic)
        return legs.minutes(places, self.rules, slower)
