"""The story a live connection is told: a snapshot, then every event once and in order.

WebSocket and SSE send the same lines. What the hub did not bring is filled from PostgreSQL.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass
from typing import Any

from api.hub import Heads, News, Position, Subscriber, merchant_topic, order_topic, rider_topic
from api.parts import Parts
from services import dispatch, events, reads
from services.db import Reader
from services.identity import Identity

HEARTBEAT_SECONDS = 15.0
"""Without news for so long the rows are asked, and the connection shows that it lives."""
LIVE_SECONDS = 3_600.0
"""A connection is ended after so long; it comes back with a token that is still good."""
RESUMABLE_EVENTS = 500
ORDERS_FOLLOWED = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One message; `seq` is what a client resumes from, 0 where it can't; None: a heartbeat."""

    body: dict[str, Any] | None
    seq: int = 0


Extra = Callable[[], dict[str, Any]]


async def of_order(
    parts: Parts, order_id: str, since: int | None, extra: dict[str, Any]
) -> AsyncGenerator[Line, None]:
    """One order: from `since` on if that can be resumed, else a snapshot with `extra` first."""
    with parts.hub.subscribe(order_topic(order_id)) as subscriber:
        async with parts.database.read() as reader:
            stream = await events.stream(reader, order_id)
        if stream is None:
            return
        start = since if since is not None and 0 <= since <= stream.seq else None
        if start is None or stream.seq - start > RESUMABLE_EVENTS:
            start = stream.seq
            body = {"type": "snapshot", "seq": stream.seq, **stream.view, **extra}
            yield Line(body=body, seq=stream.seq)
        follower = Follower(parts, subscriber, {order_id: start})
        async for line in follower.fill(order_id, stream.seq):
            yield line
        async for line in follower.follow():
            yield line


async def of_merchant(parts: Parts, who: Identity) -> AsyncGenerator[Line, None]:
    """The shop's screen: open orders, then the events of every order of the merchant."""
    with parts.hub.subscribe(merchant_topic(who.site_id, who.subject)) as subscriber:
        async with parts.database.read() as reader:
            seqs = await reads.merchant_heads(reader, who.site_id, who.subject)
            streams = await reads.merchant_open(reader, who.site_id, who.subject)
        known = seqs | {stream.order_id: stream.seq for stream in streams}
        orders = [{"seq": stream.seq, **stream.view} for stream in streams]
        yield Line(body={"type": "snapshot", "orders": orders})
        follower = Follower(parts, subscriber, known, merchant=who)
        async for line in follower.follow():
            yield Line(body=line.body)


async def of_rider(parts: Parts, who: Identity) -> AsyncGenerator[Line, None]:
    """A rider's offers, and each one that comes or goes."""
    with parts.hub.subscribe(rider_topic(who.site_id, who.subject)) as subscriber:
        known = await _offers(parts, who)
        yield Line(body={"type": "snapshot", "offers": list(known.values())})
        ends_at = time.monotonic() + LIVE_SECONDS
        while not subscriber.closed and time.monotonic() < ends_at:
            item = await subscriber.take(HEARTBEAT_SECONDS)
            if subscriber.closed:
                return
            if isinstance(item, News):
                name = (item.message.get("task_id"), item.message.get("token"))
                if item.message["type"] == "offer.withdrawn":
                    known.pop(name, None)
                yield Line(body=dict(item.message))
                continue
            now = await _offers(parts, who)
            for gone in known.keys() - now.keys():
                body = {"type": "offer.withdrawn", "task_id": gone[0], "token": gone[1]}
                yield Line(body=body)
            for fresh in now.keys() - known.keys():
                yield Line(body={"type": "offer.made", **now[fresh]})
            known = now
            if item is None:
                yield Line(body=None)


class Follower:
    """Tells events once and in order, by the `seq` it has told of each order."""

    def __init__(
        self,
        parts: Parts,
        subscriber: Subscriber,
        told: dict[str, int],
        *,
        merchant: Identity | None = None,
    ) -> None:
        self._parts = parts
        self._subscriber = subscriber
        self._told = OrderedDict(told)
        self._merchant = merchant

    async def follow(self) -> AsyncGenerator[Line, None]:
        """Lines until the subscriber is closed or the connection's time is over."""
        ends_at = time.monotonic() + LIVE_SECONDS
        while time.monotonic() < ends_at:
            item = await self._subscriber.take(HEARTBEAT_SECONDS)
            if self._subscriber.closed:
                return
            async for line in self._tell(item):
                yield line

    async def fill(self, order_id: str, upto: int) -> AsyncGenerator[Line, None]:
        """Events that have not been told, up to `upto`, from PostgreSQL."""
        while self._of(order_id) < upto:
            async with self._parts.database.read() as reader:
                page = await reads.since(
                    reader, order_id, self._of(order_id), limit=RESUMABLE_EVENTS
                )
            if not page:
                return
            for event in page:
                self._told[order_id] = event["seq"]
                yield Line(body=event, seq=event["seq"])

    async def _tell(self, item: News | Heads | Position | None) -> AsyncGenerator[Line, None]:
        match item:
            case News(order_id=order_id, seq=seq, message=message):
                if seq > self._of(order_id) + 1:
                    async for line in self.fill(order_id, seq):
                        yield line
                elif seq == self._of(order_id) + 1:
                    self._told[order_id] = seq
                    yield Line(body=dict(message), seq=seq)
            case Position(lat=lat, lng=lng):
                yield Line(body={"type": "position", "lat": lat, "lng": lng})
            case Heads(seqs=seqs):
                for order_id, seq in seqs.items():
                    async for line in self.fill(order_id, seq):
                        yield line
            case None:
                async with self._parts.database.read() as reader:
                    seqs = await self._heads(reader)
                for order_id, seq in seqs.items():
                    async for line in self.fill(order_id, seq):
                        yield line
                yield Line(body=None)

    async def _heads(self, reader: Reader) -> dict[str, int]:
        if self._merchant is None:
            return await reads.heads(reader, list(self._told))
        return await reads.merchant_heads(reader, self._merchant.site_id, self._merchant.subject)

    def _of(self, order_id: str) -> int:
        while len(self._told) > ORDERS_FOLLOWED:
            self._told.popitem(last=False)
        return self._told.get(order_id, 0)


async def _offers(parts: Parts, who: Identity) -> dict[tuple[Any, Any], dict[str, Any]]:
    async with parts.database.read() as reader:
        work = await dispatch.offers(reader, site_id=who.site_id, rider_id=who.subject)
    return {(offer.task_id, offer.token): asdict(offer) for offer in work.offers}
