"""How tracks lie in Redis: keys, fields and their life; every call raises RedisError."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

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
OVER: Final = b"[]"
"""In place of a track whose shift has ended."""
OVER_SECONDS = 60
"""Longer than any process remembers who is on shift."""
STREAM_SECONDS = 60
"""Viewers want what is new: the stream forgets soon."""
WAIT_SECONDS = 0.5
"""Of each of at most two tries: both fit between two heartbeats of a matcher."""
CONNECTIONS = 8

Who = tuple[str, str]
"""Site and rider."""
Tracks = dict[Who, Track]


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
    tracks, _ = await read(redis, [(site_id, rider_id) for rider_id in rider_ids])
    return {rider_id: fix for (_, rider_id), track in tracks.items() if (fix := track.shown)}


async def read(redis: Redis, riders: Iterable[Who]) -> tuple[Tracks, set[Who]]:
    """The tracks of these riders, empty where nothing is known, in one round trip.

    And whose shift has ended a moment ago: what a process remembers of them may be untrue.
    """
    sites = _by_site(dict.fromkeys(riders))
    if not sites:
        return {}, set()
    pipeline = redis.pipeline(transaction=False)
    for site_id, of_site in sites.items():
        pipeline.hmget(_key(site_id), list(of_site))
    found = await pipeline.execute()
    packed = {
        (site_id, rider_id): value
        for (site_id, of_site), values in zip(sites.items(), found, strict=True)
        for rider_id, value in zip(of_site, values, strict=True)
    }
    over = {who for who, value in packed.items() if value == OVER}
    return {who: _unpack(None if who in over else value) for who, value in packed.items()}, over


async def write(redis: Redis, tracks: Mapping[Who, Track], moved: Iterable[Who]) -> None:
    """Keep these tracks and tell viewers of those riders (≤ MOVES_MAX), in one round trip."""
    pipeline = redis.pipeline(transaction=False)
    for site_id, of_site in _by_site(tracks).items():
        mapping: dict[Any, Any] = {rider_id: _pack(track) for rider_id, track in of_site.items()}
        pipeline.hsetex(_key(site_id), mapping=mapping, ex=KEPT_SECONDS)
    moves = [[*rider, *fix[:3]] for rider in moved if (fix := tracks[rider].shown)]
    if moves:
        oldest_ms = round((time.time() - STREAM_SECONDS) * 1_000)
        pipeline.xadd(STREAM, {"m": orjson.dumps(moves)}, minid=oldest_ms, approximate=True)
        pipeline.expire(STREAM, STREAM_SECONDS)
    await pipeline.execute()


async def begin(redis: Redis, site_id: str, rider_id: str, fix: Fix) -> None:
    """A shift begins here, whatever was known before."""
    rider = (site_id, rider_id)
    await write(redis, {rider: Track(fix)}, [rider])


async def end(redis: Redis, riders: Iterable[Who]) -> None:
    """Forget where these riders are, and say for a moment that their shifts are over."""
    pipeline = redis.pipeline(transaction=False)
    for site_id, of_site in _by_site(dict.fromkeys(riders)).items():
        over: dict[Any, Any] = dict.fromkeys(of_site, OVER)
        pipeline.hsetex(_key(site_id), mapping=over, ex=OVER_SECONDS)
    await pipeline.execute()


def _key(site_id: str) -> str:
    return f"{STREAM}:{site_id}"


def _by_site(riders: Mapping[Who, Any]) -> dict[str, dict[str, Any]]:
    sites: dict[str, dict[str, Any]] = {}
    for (site_id, rider_id), value in riders.items():
        sites.setdefault(site_id, {})[rider_id] = value
    return sites


def _pack(track: Track) -> bytes:
    assert track.newest  # noqa: S101 - the rule keeps a first fix or nothing
    suspect = tuple(track.suspect) if track.suspect else None
    return orjson.dumps([tuple(track.newest), suspect, track.suspects, track.behind_ms])


def _unpack(packed: bytes | None) -> Track:
    if packed is None:
        return Track()
    newest, *more = orjson.loads(packed)
    suspect, *counted = more or [None]  # the version before wrote less
    return Track(Fix(*newest), Fix(*suspect) if suspect else None, *counted)
