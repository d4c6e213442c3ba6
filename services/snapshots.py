"""The newest public state of each order in Redis, ready to be sent; a copy, never the truth.

One string per order: a line `<seq> [site, customer, merchant, shop]`, then the body as JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis

from services.events import Stream

KEPT_SECONDS = 172_800
PUT_IF_NEWER = """
local stored = redis.call('GET', KEYS[1])
if stored and tonumber(string.match(stored, '^%d+')) >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """An order's public state at `seq`: `body` is the JSON of the view with its seq."""

    seq: int
    site_id: str
    customer_id: str
    merchant_id: str
    shop_id: str
    body: bytes


def of(stream: Stream) -> Snapshot:
    """The snapshot of a committed state."""
    return Snapshot(
        seq=stream.seq,
        site_id=stream.site_id,
        customer_id=stream.customer_id,
        merchant_id=stream.merchant_id,
        shop_id=stream.shop_id,
        body=orjson.dumps({"seq": stream.seq, **stream.view}),
    )


async def put(redis: Redis, streams: Sequence[Stream]) -> None:
    """Store each state unless a newer one is there; raises RedisError."""
    if not streams:
        return
    pipeline = redis.pipeline(transaction=False)
    for stream in streams:
        snapshot = of(stream)
        pipeline.eval(
            PUT_IF_NEWER, 1, _key(stream.order_id), stream.seq, _pack(snapshot), KEPT_SECONDS
        )
    await pipeline.execute()


async def get_many(redis: Redis, order_ids: Sequence[str]) -> dict[str, Snapshot]:
    """The stored states, by order, in one round trip; raises RedisError."""
    found = await redis.mget([_key(order_id) for order_id in order_ids])
    return {
        order_id: _unpack(packed)
        for order_id, packed in zip(order_ids, found, strict=True)
        if isinstance(packed, bytes)
    }


def _key(order_id: str) -> str:
    return f"paotui:snapshot:{order_id}"


def _pack(snapshot: Snapshot) -> bytes:
    owners = [snapshot.site_id, snapshot.customer_id, snapshot.merchant_id, snapshot.shop_id]
    return b"%d %b\n%b" % (snapshot.seq, orjson.dumps(owners), snapshot.body)


def _unpack(packed: bytes) -> Snapshot:
    head, _, body = packed.partition(b"\n")
    seq, _, owners = head.partition(b" ")
    site_id, customer_id, merchant_id, shop_id = orjson.loads(owners)
    return Snapshot(
        seq=int(seq),
        site_id=site_id,
        customer_id=customer_id,
        merchant_id=merchant_id,
        shop_id=shop_id,
        body=body,
    )
