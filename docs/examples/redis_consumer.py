"""A consumer of the Redis stream: `python redis_consumer.py redis://host:6379/0 store.sqlite`.

A group remembers what it has given out. A consumer that comes back first asks for what it was
given and did not confirm. One name reads at a time: two would share one order's events out.
"""

import sys
import time
from pathlib import Path
from typing import Any

from once import Once
from redis import Redis
from redis.exceptions import ConnectionError as Away
from redis.exceptions import ResponseError

STREAM = "paotui:out:events"
GROUP, NAME = "example", "one"
PAGE = 100
WAIT_MS = 1_000
AGAIN_SECONDS = 0.5


def main(url: str, path: str) -> None:
    """Read until killed."""
    redis, once = Redis.from_url(url), Once(Path(path))
    while True:
        try:
            join(redis)
            follow(redis, once)
        except Away:
            time.sleep(AGAIN_SECONDS)


def join(redis: Redis) -> None:
    """The group begins with the oldest event there is, and stays where it was."""
    try:
        redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def follow(redis: Redis, once: Once) -> None:
    """What was given and not confirmed, then what is new, for ever."""
    after = "0"
    while True:
        answer: Any = redis.xreadgroup(GROUP, NAME, {STREAM: after}, count=PAGE, block=WAIT_MS)
        entries = answer[0][1] if answer else []
        for number, fields in entries:
            if fields:  # none: trimmed away meanwhile; the next event of that order tells
                once.handle(fields[b"event"])
            redis.xack(STREAM, GROUP, number)
        if not entries:
            after = ">"


if __name__ == "__main__":
    main(*sys.argv[1:])
