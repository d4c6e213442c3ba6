"""How tracks lie in Redis: keys, fields and their life; every call raises RedisError."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from domain.positions import Fix, Track

STREAM = "paotui:positions"
"""Entries of one field `m`: a JSON array of at most MOVES_MAX [site, rider, lat, lng, at_ms]."""
MOVES_MAX = 500
KEPT_SECONDS = 1_800
"""How long a rider's place is known after it was told."""
STREAM_SECONDS = 60
"""Viewers want what is new: the stream forgets soon."""
WAIT_SECONDS = 0.5
"""Of each of at most two tries: both fit between two heartbeats of a matcher."""
CONNECTIONS = 8

Tracks = dict[tuple[str, str], Track]
"""By site and rider."""


def connect(url: str) -> Redis:
    """A client that fails soon instead of waiting: the next position comes in seconds."""
    return Redis.from_url(
        url,
        max_connections=CONNECTIONS,
        socket_timeout=WAIT_SECONDS,
        socket_connect_timeout=WAIT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


async def of_riders(redis: Redis, site_id: str, rider_ids: Sequence[str]) -> dict[str, Fix]:
    """The newest fixes of those riders who have one, in one round trip."""
    tracks = await read(redis, [(site_id, rider_id) for rider_id in rider_ids])
    return {rider_id: track.newest for (_, rider_id), track in tracks.items() if track.newest}


async def read(redis: Redis, riders: Iterable[tuple[str, str]]) -> Tracks:
    """The tracks of these riders, empty where nothing is known, in one round trip."""
    sites = _by_site(dict.fromkeys(riders))
    if not sites:
        return {}
    pipeline = redis.pipeline(transaction=False)
    for site_id, of_site in sites.items():
        pipeline.hmget(_key(site_id), list(of_site))
    found = await pipeline.execute()
    return {
        (site_id, rider_id): _unpack(packed)
        for (site_id, of_site), values in zip(sites.items(), found, strict=True)
        for rider_id, packed in zip(of_site, values, strict=True)
    }


async def write(
    redis: Redis, tracks: Mapping[tuple[str, str], Track], moved: Iterable[tuple[str, str]]
) -> None:
    """Keep these tracks and tell viewers of those riders (≤ MOVES_MAX), in one round trip."""
    pipeline = redis.pipeline(transaction=False)
    for site_id, of_site in _by_site(tracks).items():
        mapping: dict[Any, Any] = {rider_id: _pack(track) for rider_id, track in of_site.items()}
        pipeline.hsetex(_key(site_id), mapping=mapping, ex=KEPT_SECONDS)
    moves = [[*rider, *newest[:3]] for rider in moved if (newest := tracks[rider].newest)]
    if moves:
        oldest_ms = round((time.time() - STREAM_SECONDS) * 1_000)
        pipeline.xadd(STREAM, {"m": orjson.dumps(moves)}, minid=oldest_ms, approximate=True)
        pipeline.expire(STREAM, STREAM_SECONDS)
    await pipeline.execute()


async def begin(redis: Redis, site_id: str, rider_id: str, fix: Fix) -> None:
    """A shift begins here, whatever was known before."""
    rider = (site_id, rider_id)
    await write(redis, {rider: Track(fix)}, [rider])


async def end(redis: Redis, site_id: str, rider_id: str) -> None:
    """Forget where the rider is."""
    await redis.hdel(_key(site_id), rider_id)


def _key(site_id: str) -> str:
    return f"{STREAM}:{site_id}"


def _by_site(riders: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    sites: dict[str, dict[str, Any]] = {}
    for (site_id, rider_id), value in riders.items():
        sites.setdefault(site_id, {})[rider_id] = value
    return sites


def _pack(track: Track) -> bytes:
    assert track.newest  # noqa: S101 - the rule keeps a first fix or nothing
    if track.suspect is None:
        return orjson.dumps([tuple(track.newest)])
    return orjson.dumps([tuple(track.newest), tuple(track.suspect), track.suspects])


def _unpack(packed: bytes | None) -> Track:
    if packed is None:
        return Track()
    newest, *doubt = orjson.loads(packed)
    if not doubt:
        return Track(Fix(*newest))
    suspect, suspects = doubt
    return Track(Fix(*newest), Fix(*suspect), suspects)
