"""The matcher of one zone: what is due now, and the fenced acts that do it.

The rows are read anew each tick; who is offered what is the planner's choice. Each attempt of
`dispatch.match` takes a new epoch; every act checks under a shared lock that the epoch is still
its own, so that an attempt which lives on after its time-out changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import structlog
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError

from domain import ids
from domain.contracts.dispatch import Zone
from domain.errors import Unavailable
from domain.orders import CARRYING, Delivery
from domain.planning.tick import PLAIN, Engine
from domain.positions import PlacesOf
from services import events, facts, process
from services.db import Database, Reader, Writer
from services.dispatch import rows
from services.dispatch.planner import Planner
from services.dispatch.rows import ASSIGNED, TaskState
from services.eta.outside import NOWHERE, Outside
from services.events import dumps

TASKS_PER_TICK = 100
ZONES_MAX = 500
"""Zones of one installation."""
BEAT_SECONDS = 0.5
"""Between heartbeats while a plan is made."""
BEATS_MAX = 60
"""For one plan; what takes longer has stuck, and another matcher takes over."""
LOCK_WAIT_MS = 1_000
"""An order that somebody else holds for longer waits for the next tick; below the heartbeat."""

_Act = Callable[[Writer, Any], Awaitable[None]]

log = structlog.get_logger()


class Superseded(Unavailable):
    """A newer matcher has the zone, or the zone is gone: this one must stop."""


_ZONES = text("SELECT site_id, zone_id FROM zones ORDER BY site_id, zone_id LIMIT :limit")
_EPOCH = text("""
UPDATE zones z SET epoch = epoch + 1 FROM sites s
WHERE s.site_id = z.site_id AND z.site_id = :site_id AND z.zone_id = :zone_id
RETURNING z.epoch, z.rules, s.speed
""")
_PATIENCE = text("SELECT set_config('lock_timeout', :milliseconds, true)")
_FENCE = text("""
SELECT epoch = :epoch FROM zones WHERE site_id = :site_id AND zone_id = :zone_id FOR SHARE
""")
_DUE = text("""
SELECT z.epoch, z.rules, EXISTS (
    SELECT FROM delivery_tasks t WHERE t.site_id = z.site_id AND t.zone_id = z.zone_id
      AND t.state NOT IN ('delivered', 'closed')) AS busy, due.*,
  EXISTS (SELECT FROM offers o WHERE o.task_id = due.task_id AND o.token = due.token
    AND o.state = 'open' AND o.grab) AS grab
FROM zones z LEFT JOIN LATERAL (
  SELECT * FROM (
    SELECT t.*, extract(epoch FROM t.give_up_at - now()) AS give_up_seconds,
      CASE
        WHEN t.state IN ('searching', 'offered') THEN CASE
          WHEN t.gave_up THEN NULL
          WHEN t.held_at IS NULL AND t.give_up_at <= now() AND t.state = 'searching'
            THEN 'give_up'
          WHEN t.held_at IS NULL AND t.support_at <= now() AND NOT t.support_asked
            THEN 'ask_support'
          WHEN t.state = 'offered' AND NOT EXISTS (SELECT FROM offers o WHERE o.task_id = t.task_id
            AND o.token = t.token AND o.state = 'open' AND o.expires_at > now()) THEN 'expire'
        END
        WHEN greatest(r.seen_at, t.assigned_at)
          > now() - t.rider_silence_seconds * interval '1 second' THEN NULL
        WHEN t.state IN ('assigned', 'at_store') THEN 'replace'
        WHEN NOT EXISTS (SELECT FROM tickets k WHERE k.order_id = t.order_id
          AND k.key = 'rider_silent:' || t.token) THEN 'rider_silent'
      END AS act
    FROM delivery_tasks t LEFT JOIN riders r ON r.site_id = t.site_id AND r.rider_id = t.rider_id
    WHERE t.site_id = z.site_id AND t.zone_id = z.zone_id
      AND t.state NOT IN ('delivered', 'closed') AND t.state <> 'failed'
  ) task WHERE act IS NOT NULL ORDER BY search_from, task_id LIMIT :limit
) due ON true
WHERE z.site_id = :site_id AND z.zone_id = :zone_id
""")
_PICK = text("""
SELECT FROM riders WHERE site_id = :site_id AND rider_id = ANY(:rider_ids)
ORDER BY rider_id FOR UPDATE
""")
_OFFER = text("""
WITH asked AS (
  SELECT r.rider_id FROM riders r
  WHERE r.site_id = :site_id AND r.rider_id = ANY(:rider_ids)
    AND r.on_shift AND r.paused_at IS NULL
    AND NOT EXISTS (SELECT FROM offers o JOIN delivery_tasks t USING (task_id)
      WHERE o.site_id = r.site_id AND o.rider_id = r.rider_id AND o.state = 'open'
        AND NOT o.grab AND t.zone_id <> :zone_id)
    AND NOT EXISTS (SELECT FROM delivery_tasks t
      WHERE t.site_id = r.site_id AND t.rider_id = r.rider_id AND t.zone_id <> :zone_id
        AND t.state IN ('assigned', 'at_store', 'picked_up', 'arrived'))
), round AS (
  SELECT expires_at FROM offers WHERE task_id = :task_id AND token = :token AND state = 'open'
    AND grab AND expires_at > now() LIMIT 1
), task AS (
  UPDATE delivery_tasks SET state = 'offered', changed_at = now(),
    token = token + CAST(state = 'searching' AS int),
    stop = :stop, settled = :settled, bonus_fen = greatest(bonus_fen, :bonus_fen)
  WHERE task_id = :task_id AND token = :token AND state = :was AND NOT gave_up
    AND EXISTS (SELECT FROM asked) AND (state = 'searching' OR EXISTS (SELECT FROM round))
  RETURNING site_id, task_id, order_id, token, offer_seconds
), offer AS (
  INSERT INTO offers (site_id, task_id, rider_id, token, state, grab, expires_at)
  SELECT site_id, task_id, rider_id, token, 'open', :grab,
    coalesce((SELECT expires_at FROM round), now() + offer_seconds * interval '1 second')
  FROM task, asked
  ON CONFLICT (task_id, token, rider_id) DO NOTHING
  RETURNING site_id, task_id, rider_id, token, expires_at
)
INSERT INTO outbox (site_id, order_id, seq, message)
SELECT offer.site_id, task.order_id, 0, jsonb_build_object(
  'type', 'offer.made', 'rider_id', rider_id, 'site_id', offer.site_id, 'task_id', task_id,
  'token', offer.token,
  'expires_at', to_char(expires_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
FROM offer JOIN task USING (task_id)
""")
_SETTLE = text("""
WITH task AS (
  UPDATE delivery_tasks SET stop = :stop, settled = true
  WHERE task_id = :task_id AND token = :token AND state IN ('assigned', 'at_store')
  RETURNING site_id, order_id, task_id, rider_id, token
)
INSERT INTO outbox (site_id, order_id, seq, message)
SELECT site_id, order_id, 0, jsonb_build_object('type', 'task.settled', 'rider_id', rider_id,
  'site_id', site_id, 'task_id', task_id, 'token', token) FROM task
""")
_STAND_BY = text("""
INSERT INTO outbox (site_id, order_id, seq, message)
SELECT :site_id, '', 0, jsonb_build_object('type', 'standby', 'site_id', CAST(:site_id AS text),
  'rider_id', rider_id, 'shop_id', shop_id, 'name', name, 'lat', lat, 'lng', lng)
FROM jsonb_each_text(CAST(:standby AS jsonb)) wish (rider_id, shop_id) JOIN shops USING (shop_id)
""")
_EXPIRE = text("""
UPDATE delivery_tasks t SET state = 'searching', changed_at = now()
WHERE task_id = :task_id AND token = :token AND state = 'offered' AND NOT EXISTS (
  SELECT FROM offers o WHERE o.task_id = t.task_id AND o.token = t.token AND o.state = 'open'
    AND o.expires_at > now())
""")
_ASK_SUPPORT = text("""
UPDATE delivery_tasks SET support_asked = true
WHERE task_id = :task_id AND token = :token AND state IN ('searching', 'offered')
  AND held_at IS NULL AND support_at <= now() AND NOT support_asked
""")
_GIVE_UP = text("""
UPDATE delivery_tasks SET gave_up = true, changed_at = now()
WHERE task_id = :task_id AND token = :token AND state = 'searching'
  AND held_at IS NULL AND give_up_at <= now() AND NOT gave_up
""")
_STILL_SILENT = text("""
SELECT FROM delivery_tasks t
  LEFT JOIN riders r ON r.site_id = t.site_id AND r.rider_id = t.rider_id
WHERE task_id = :task_id AND token = :token AND state = ANY(:states)
  AND greatest(r.seen_at, t.assigned_at)
    <= now() - t.rider_silence_seconds * interval '1 second'
""")


async def zones(reader: Reader) -> list[Zone]:
    """Every zone that needs a matcher."""
    return [Zone(**row._mapping) for row in await reader.all(_ZONES, {"limit": ZONES_MAX})]  # noqa: SLF001


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """One attempt's hold on a zone; `speed` is the site's."""

    database: Database
    zone: Zone
    epoch: int
    speed: float
    planner: Planner

    @classmethod
    async def take(
        cls,
        database: Database,
        zone: Zone,
        places: PlacesOf,
        engine: Engine = PLAIN,
        around: Outside = NOWHERE,
    ) -> Self | None:
        """Take the zone by a new epoch; every older matcher is fenced off. None: no such zone.

        `engine` searches the plans: the compiled one where zones are large. `around` tells the
        weather and the traffic.
        """
        async with database.write() as writer:
            taken = await writer.first(_EPOCH, _key(zone))
        if taken is None:
            return None
        planner = Planner(
            zone=zone,
            told=taken.rules,
            speed=taken.speed,
            places=places,
            engine=engine,
            around=around,
        )
        async with database.read() as reader:
            await planner.remember(reader)
        return cls(
            database=database, zone=zone, epoch=taken.epoch, speed=taken.speed, planner=planner
        )

    async def tick(self, beat: Callable[[], None]) -> int:
        """Do what is due, then what the plan wants; how many acts. `beat` is called after each.

        Raises:
            Superseded: this matcher's time is over.
        """
        async with self.database.read() as reader:
            found = await reader.all(_DUE, _key(self.zone) | {"limit": TASKS_PER_TICK})
        if not found or found[0].epoch != self.epoch:
            raise Superseded
        due = [row for row in found if row.task_id is not None]
        beat()
        for row in due:
            await self._do(row, _ACTS[row.act])
            beat()
        self.planner.rules_are(found[0].rules)
        # What nobody grabbed is shown again at once: only a round's end may hide it.
        unseen = any(row.act == "expire" and row.grab for row in due)
        if not unseen and not self.planner.is_due(busy=found[0].busy):
            return len(due)
        async with (
            process.beating(beat, BEAT_SECONDS, most=BEATS_MAX),
            self.database.read() as reader,
        ):
            wishes = await self.planner.plan(reader)
        beat()
        for wish in wishes.offers:
            await self.offer(
                wish.task,
                wish.rider_ids,
                stop=wish.stop,
                settled=wish.settled,
                bonus_fen=wish.bonus_fen,
                grab=wish.grab,
            )
            beat()
        # Only then: who hears that nothing more comes must see what has come.
        for task, stop in wishes.settle:
            await self._do(task, partial(_settle, stop=stop))
        if wishes.standby:
            await self._stand_by(wishes.standby)
        return len(due) + len(wishes.settle) + len(wishes.offers)

    async def offer(
        self,
        task: Row[Any] | TaskState,
        rider_ids: Sequence[str],
        *,
        stop: int = 0,
        settled: bool = True,
        bonus_fen: int = 0,
        grab: bool = False,
    ) -> None:
        """Offer a searching task under its next token; of several riders the first has it.

        A task that may be grabbed is shown to these too, under the token and until the end of the
        round that is open.
        """
        wish = {"rider_ids": [*rider_ids], "stop": stop, "settled": settled}
        wish |= {"bonus_fen": bonus_fen, "grab": grab, "was": str(task.state)}
        await self._do(task, partial(_offer, wish=_key(self.zone) | wish))

    async def _stand_by(self, standby: Mapping[str, str]) -> None:
        """Tell idle riders where work is to be expected."""
        async with self.database.write() as writer:
            if not await writer.scalar(_FENCE, _key(self.zone) | {"epoch": self.epoch}):
                raise Superseded
            told = {"site_id": self.zone.site_id, "standby": dumps(dict(standby))}
            await writer.run(_STAND_BY, told)

    async def _do(self, task: Any, act: _Act) -> None:  # noqa: ANN401 - a row or a TaskState
        """One fenced transaction; an order that can't be helped now stops no other."""
        try:
            async with self.database.write() as writer:
                await writer.first(_PATIENCE, {"milliseconds": str(LOCK_WAIT_MS)})
                await events.lock(writer, task.order_id)
                if not await writer.scalar(_FENCE, _key(self.zone) | {"epoch": self.epoch}):
                    raise Superseded
                await act(writer, task)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            log.warning("dispatch_act_failed", order_id=task.order_id, exc_info=True)


async def _offer(writer: Writer, task: Any, *, wish: dict[str, Any]) -> None:  # noqa: ANN401
    # Two zones at whose border a rider is ask one after another.
    await writer.run(_PICK, {name: wish[name] for name in ("site_id", "rider_ids")})
    if await writer.run(_OFFER, _fenced(task) | wish) and task.state == Delivery.SEARCHING:
        token = task.token + 1
        data = {"delivery": Delivery.OFFERED}
        await _append(writer, task, "delivery.offered", f"offered:{token}", data)


async def _settle(writer: Writer, task: Any, *, stop: int) -> None:  # noqa: ANN401
    await writer.run(_SETTLE, _fenced(task) | {"stop": stop})


async def _expire(writer: Writer, task: Row[Any]) -> None:
    if await writer.run(_EXPIRE, _fenced(task)):
        await rows.end_offers(writer, task, becomes="expired")
        data = {"delivery": Delivery.SEARCHING}
        await _append(writer, task, "delivery.searching", f"searching:{task.token}", data)


async def _ask_support(writer: Writer, task: Row[Any]) -> None:
    if await writer.run(_ASK_SUPPORT, _fenced(task)):
        due_seconds = float(task.give_up_seconds)
        await rows.ask_support(writer, task, kind="no_rider_yet", due_seconds=due_seconds)


async def _give_up(writer: Writer, task: Row[Any]) -> None:
    if await writer.run(_GIVE_UP, _fenced(task)):
        await facts.tell(
            writer,
            site_id=task.site_id,
            order_id=task.order_id,
            workflow_id=ids.order_workflow(task.order_id),
            name="no_rider",
            body={"task_id": task.task_id},
        )


async def _replace(writer: Writer, task: Row[Any]) -> None:
    if await _still_silent(writer, task, ASSIGNED):
        await rows.search_again(writer, task, states=ASSIGNED, accepted_becomes="expired")
        await events.note(
            writer,
            order_id=task.order_id,
            site_id=task.site_id,
            kind="rider_replaced",
            key=f"rider_replaced:{task.token}",
            data={"task_id": task.task_id, "rider_id": task.rider_id},
        )
        data = {"delivery": Delivery.SEARCHING, "rider_id": ""}
        await _append(writer, task, "delivery.reassigned", f"reassigned:{task.token}", data)


async def _rider_silent(writer: Writer, task: Row[Any]) -> None:
    if await _still_silent(writer, task, CARRYING):
        due_seconds = task.rider_silence_seconds
        await rows.ask_support(writer, task, kind="rider_silent", due_seconds=due_seconds)


_ACTS: dict[str, _Act] = {
    "expire": _expire,
    "ask_support": _ask_support,
    "give_up": _give_up,
    "replace": _replace,
    "rider_silent": _rider_silent,
}


async def _still_silent(writer: Writer, task: Row[Any], states: frozenset[Delivery]) -> bool:
    parameters = _fenced(task) | {"states": [*map(str, states)]}
    return await writer.first(_STILL_SILENT, parameters) is not None


async def _append(
    writer: Writer, task: Row[Any], kind: str, key: str, data: Mapping[str, str]
) -> None:
    await events.append(writer, task.order_id, events.Event(type=kind, key=key, data=data))


def _key(zone: Zone) -> dict[str, Any]:
    return {"site_id": zone.site_id, "zone_id": zone.zone_id}


def _fenced(task: Row[Any]) -> dict[str, Any]:
    return {"task_id": task.task_id, "token": task.token}
