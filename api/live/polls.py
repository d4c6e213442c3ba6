"""Stories page by page: answered at once, or as soon as there is something."""

import asyncio
import math
from typing import Any

from api.live import feed, ways
from api.live.hub import order_topic
from api.live.outbox import Outbox, Place
from api.live.parts import Live
from api.live.ways import POLL_SECONDS, Way
from api.observe import LIVE
from domain.positions import Sight
from services import events, reads
from services.identity import Identity

WAIT_SECONDS_MAX = 30
AGAIN_SECONDS = 1
"""After a long poll that brought nothing."""

Json = dict[str, Any]


async def page(
    live: Live,
    who: Identity,
    order_id: str,
    *,
    since: int,
    wait_seconds: int,
    came_from: str | None,
) -> Json:
    """{items, poll_again_seconds, ways, position}; waits for the first event if asked to.

    Raises NotFound; Unavailable where long polls are switched off.
    """
    stream = await feed.theirs(live, who, order_id)
    rider, sight = feed.seen(who, stream.site_id, stream.view)
    if wait_seconds:
        ways.ensure(Way.LONG_POLL, live.ways)
    ways.arrived(Way.LONG_POLL if wait_seconds else Way.POLL, came_from)
    items = await _since(live, order_id, since)
    again = 0 if items else AGAIN_SECONDS
    if wait_seconds and not items:
        with live.hub.subscribe(order_topic(order_id)) as outbox:
            outbox.seq = since
            live.hub.show(outbox, rider, sight)
            with LIVE.labels(Way.LONG_POLL).track_inprogress():
                items = await _wait(live, outbox, order_id, since, wait_seconds)
            again = math.ceil(ways.come_back_seconds()) if outbox.closed else again
        stream = await feed.theirs(live, who, order_id)
        rider, sight = feed.seen(who, stream.site_id, stream.view)
    place = live.hub.place(rider) if rider else None
    return {
        "items": items,
        "poll_again_seconds": again if wait_seconds else POLL_SECONDS,
        "ways": live.ways,
        "position": place.told(sight) if place and sight is not Sight.NOTHING else None,
    }


async def _wait(
    live: Live, outbox: Outbox, order_id: str, since: int, wait_seconds: int
) -> list[Json]:
    """What is committed by now, else what comes within the time.

    Once the rider has moved nobody waits longer than between two polls.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    until = began + wait_seconds
    seen = live.hub.place(outbox.rider) if outbox.rider else None
    items = await _since(live, order_id, since)
    while not items and not outbox.closed and (left := until - loop.time()) > 0:
        item = await outbox.take(left)
        if isinstance(item, Place):
            until = until if item is seen else min(until, began + POLL_SECONDS)
        elif item is not None:
            items = await _since(live, order_id, since)
    return items


async def _since(live: Live, order_id: str, since: int) -> list[Json]:
    async with live.database.read() as reader:
        return await reads.since(reader, order_id, since, limit=events.PAGE_EVENTS)
