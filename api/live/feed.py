"""The story a live connection is told: a snapshot, then every event once and in order.

WebSocket and SSE send the same lines. What the hub did not bring is filled from PostgreSQL.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api import views, work
from api.identity import ensure_theirs
from api.live.hub import merchant_topic, order_topic, rider_topic
from api.live.outbox import Heads, News, Outbox, Place, Rider
from api.live.parts import Live
from api.replies import dumps
from domain.positions import Sight, sight
from services import dispatch, events, reads
from services.events import Stream
from services.identity import Identity, Role

HEARTBEAT_SECONDS = 15.0
"""Without news for so long the connection shows that it lives."""
LIVE_SECONDS = 3_600.0
"""A connection is ended after so long; it comes back with a token that is still good."""
RESUMABLE_EVENTS = 500
ORDERS_FOLLOWED = 2_000
MADE, WITHDRAWN = "offer.made", "offer.withdrawn"
ASSIGNED, SETTLED = "task.assigned", "task.settled"
OWN_ANSWERS = frozenset({"accepted", "declined"})
"""What the rider said to an offer, or has done with its task: nobody took it away."""

Json = dict[str, Any]
Work = tuple[str, int]
"""An offer, or the task that it became: task_id and token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message as JSON; `seq` is what a client resumes from, 0 where it can't."""

    body: bytes | None
    """None: a heartbeat."""
    seq: int = 0


Lines = AsyncGenerator[Line, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What one caller may follow: the topic to listen to, and the lines that are told of it."""

    topic: str
    lines: Callable[[Outbox], Lines]


def seen(who: Identity, site_id: str, view: Mapping[str, Any]) -> tuple[Rider | None, Sight]:
    """Which rider an order's viewer sees now, and how exactly."""
    shown = sight(status=view["status"], delivery=view["delivery"], shop=who.role is Role.MERCHANT)
    if shown is Sight.NOTHING or not view["rider_id"]:
        return None, Sight.NOTHING
    return (site_id, view["rider_id"]), shown


async def theirs(live: Live, who: Identity, order_id: str) -> Stream:
    """The order as committed, if it is one of the caller's; raises NotFound."""
    async with live.database.read() as reader:
        stream = await events.stream(reader, order_id if order_id.isalnum() else "")
    ensure_theirs(who, stream)
    assert stream is not None  # noqa: S101 - ensured above
    return stream


async def order(live: Live, who: Identity, order_id: str, since: int | None) -> Story:
    """One order: from `since` on if that can be resumed, else a snapshot first."""
    await theirs(live, who, order_id)
    return Story(
        topic=order_topic(order_id), lines=lambda outbox: _order(live, who, outbox, order_id, since)
    )


async def merchant(live: Live, who: Identity) -> Story:
    """The shop's screen: open orders, then the events of every order of the merchant."""
    topic = merchant_topic(who.site_id, who.subject)
    return Story(topic=topic, lines=lambda outbox: _merchant(live, who, outbox))


async def rider(live: Live, who: Identity) -> Story:
    """A rider's offers and tasks, and each one that comes, changes or is taken away."""
    topic = rider_topic(who.site_id, who.subject)
    return Story(topic=topic, lines=lambda outbox: _rider(live, who, outbox))


async def _order(
    live: Live, who: Identity, outbox: Outbox, order_id: str, since: int | None
) -> Lines:
    stream = await theirs(live, who, order_id)
    start = since if since is not None and 0 <= since <= stream.seq else None
    if start is None or stream.seq - start > RESUMABLE_EVENTS:
        start = stream.seq
        secrets = views.secrets(order_id, who, live.handover_key)
        body = {"type": "snapshot", "seq": stream.seq, **stream.view, **secrets}
        yield Line(body=dumps(body), seq=stream.seq)
    shown = Shown(live, who, outbox, stream)
    follower = Follower(live, outbox, {order_id: start}, shown)
    async for line in follower.fill(order_id, stream.seq):
        yield line
    shown.look()
    async for line in follower.follow():
        yield line


async def _merchant(live: Live, who: Identity, outbox: Outbox) -> Lines:
    async with live.database.read() as reader:
        seqs = await reads.merchant_heads(reader, who.site_id, who.subject)
        streams = await reads.merchant_open(reader, who.site_id, who.subject)
    known = seqs | {stream.order_id: stream.seq for stream in streams}
    orders = [{"seq": stream.seq, **stream.view} for stream in streams]
    yield Line(body=dumps({"type": "snapshot", "orders": orders}))
    async for line in Follower(live, outbox, known).follow():
        yield Line(body=line.body)


async def _rider(live: Live, who: Identity, outbox: Outbox) -> Lines:
    async with live.looks, live.database.read() as reader:
        screen = await work.screen(reader, live.cache, who)
    yield Line(body=dumps({"type": "snapshot", **screen}))
    known = {key: kind for key, (kind, _) in _shown(screen).items()}
    began = looked_at = time.monotonic()
    while time.monotonic() < began + LIVE_SECONDS:
        item = await outbox.take(HEARTBEAT_SECONDS)
        if outbox.closed:
            return
        if isinstance(item, News):
            if _is_new(known, item.message):
                yield Line(body=item.body)
            if time.monotonic() < looked_at + HEARTBEAT_SECONDS:
                continue
        looked_at = time.monotonic()
        for change in await _changes(live, who, known):
            yield Line(body=dumps(change))
        if item is None:
            yield Line(body=None)


def _shown(screen: Mapping[str, list[Json]]) -> dict[Work, tuple[str, Json]]:
    """What a rider is asked for or has, with the type of the last message that tells so."""
    shown = {(offer["task_id"], offer["token"]): (MADE, offer) for offer in screen["offers"]}
    return shown | {
        (task["task_id"], task["token"]): (SETTLED if task["settled"] else ASSIGNED, task)
        for task in screen["tasks"]
    }


def _is_new(known: dict[Work, str], message: Mapping[str, Any]) -> bool:
    """Whether a message says what the line has not told yet, which is `known` then.

    What has ended does not begin again: such a message is late.
    """
    kind = message["type"]
    if kind not in {MADE, WITHDRAWN}:
        return True
    named = message["task_id"], message["token"]
    before = known.get(named)
    if kind == WITHDRAWN or before is None:
        known[named] = kind
    return before is None if kind == MADE else before not in {None, WITHDRAWN}


async def _changes(live: Live, who: Identity, known: dict[Work, str]) -> list[Json]:
    """What the rows say beyond `known`, which it is then; an app's own taps are no news to it."""
    async with live.looks, live.database.read() as reader:
        shown = _shown(await work.screen(reader, live.cache, who))
        gone = {key for key in known.keys() - shown.keys() if known[key] != WITHDRAWN}
        answers = await dispatch.answers(
            reader, site_id=who.site_id, rider_id=who.subject, task_ids=[task for task, _ in gone]
        )
    changes: list[Json] = []
    for key in gone:
        answer = answers.get(key)
        if answer == "open":  # beyond the page, or its time is over: whoever ends it says so
            continue
        known[key] = WITHDRAWN
        if answer not in OWN_ANSWERS:
            changes.append({"type": WITHDRAWN, "task_id": key[0], "token": key[1]})
    for key, (kind, told) in shown.items():
        before = known.get(key)
        known[key] = kind
        if kind != before:
            unheard = kind == SETTLED and before != ASSIGNED
            changes.append({"type": ASSIGNED if unheard else kind, **told})
    return changes


class Shown:
    """Which rider an order's connection sees: as the newest state says that it was told."""

    def __init__(self, live: Live, who: Identity, outbox: Outbox, stream: Stream) -> None:
        self._live = live
        self._who = who
        self._outbox = outbox
        self._site_id = stream.site_id
        self._seq = outbox.seq = stream.seq
        self._view = dict(stream.view)

    def look(self) -> None:
        """Show what this state lets be seen."""
        self._live.hub.show(self._outbox, *self._seen)

    def tell(self, seq: int, data: Mapping[str, Any]) -> None:
        """An event is about to be told: what it ends is hidden before it, `look` comes after it.

        One that is older than the state it was resumed at changes nothing.
        """
        self._outbox.seq = max(self._outbox.seq, seq)
        if seq > self._seq:
            self._seq = seq
            self._view |= data
            if (self._outbox.rider, self._outbox.sight) != self._seen:
                self._live.hub.show(self._outbox, None, Sight.NOTHING)

    @property
    def _seen(self) -> tuple[Rider | None, Sight]:
        return seen(self._who, self._site_id, self._view)


class Follower:
    """Tells events once and in order, by the `seq` it has told of each order."""

    def __init__(
        self, live: Live, outbox: Outbox, told: dict[str, int], shown: Shown | None = None
    ) -> None:
        self._live = live
        self._outbox = outbox
        self._told = OrderedDict(told)
        self._shown = shown

    async def follow(self) -> Lines:
        """Lines until the outbox is closed or the connection's time is over."""
        ends_at = time.monotonic() + LIVE_SECONDS
        while time.monotonic() < ends_at:
            item = await self._outbox.take(HEARTBEAT_SECONDS)
            if self._outbox.closed:
                return
            async for line in self._tell(item):
                yield line

    async def fill(self, order_id: str, upto: int) -> Lines:
        """Events that have not been told, up to `upto`, from PostgreSQL."""
        while self._of(order_id) < upto:
            async with self._live.database.read() as reader:
                page = await reads.since(
                    reader, order_id, self._of(order_id), limit=RESUMABLE_EVENTS
                )
            if not page:
                return
            for event in page:
                async for line in self._say(dumps(event), event):
                    yield line

    async def _tell(self, item: News | Heads | Place | None) -> Lines:
        match item:
            case News(order_id=order_id, seq=seq):
                if seq > self._of(order_id) + 1:
                    async for line in self.fill(order_id, seq):
                        yield line
                elif seq == self._of(order_id) + 1:
                    async for line in self._say(item.body, item.message):
                        yield line
            case Heads(seqs=seqs):
                for order_id, seq in seqs.items():
                    async for line in self.fill(order_id, seq):
                        yield line
            case Place():
                if self._outbox.sight is not Sight.NOTHING:
                    yield Line(body=item.body(self._outbox.sight))
            case None:
                yield Line(body=None)

    async def _say(self, body: bytes, event: Mapping[str, Any]) -> Lines:
        seq: int = event["seq"]
        self._told[event["order_id"]] = seq
        if self._shown is None:
            yield Line(body=body, seq=seq)
            return
        self._shown.tell(seq, event["data"])
        yield Line(body=body, seq=seq)
        self._shown.look()

    def _of(self, order_id: str) -> int:
        while len(self._told) > ORDERS_FOLLOWED:
            self._told.popitem(last=False)
        return self._told.get(order_id, 0)
