"""Idempotency keys: which request a key stands for, and its final answer, byte for byte."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import text

from domain.errors import IdempotencyConflict
from services.db import Writer

IN_FLIGHT_SECONDS = 15
"""Longer than any request may run: an older claim without an answer is a dead process's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A caller's key, and the body it stands for."""

    site_id: str
    subject: str
    """`<role>:<id>`: keys of different callers never meet."""
    key: str
    body_hash: str
    """Of the path too: a key names one request of one caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The final answer of an earlier request under the same key."""

    status_code: int
    answer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Nobody else is at it. `first` False: an earlier try may have got anywhere."""

    first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """Another request under the same key is at it now."""


_CLAIM = text("""
INSERT INTO request_keys (site_id, subject, key, body_hash, order_id)
VALUES (:site_id, :subject, :key, :body_hash, :order_id) ON CONFLICT DO NOTHING
""")
_FIND = text("""
SELECT body_hash, status_code, answer FROM request_keys
WHERE site_id = :site_id AND subject = :subject AND key = :key
""")
_TAKE_OVER = text("""
UPDATE request_keys SET order_id = :order_id, created_at = now()
WHERE site_id = :site_id AND subject = :subject AND key = :key AND answer IS NULL
  AND (order_id = '' OR created_at < now() - make_interval(secs => :in_flight_seconds))
""")
_LET_GO = text("""
UPDATE request_keys SET order_id = ''
WHERE site_id = :site_id AND subject = :subject AND key = :key AND answer IS NULL
""")
_FINISH = text("""
UPDATE request_keys SET status_code = :status_code, answer = :answer
WHERE site_id = :site_id AND subject = :subject AND key = :key AND answer IS NULL
""")


def body_hash(path: str, body: bytes) -> str:
    """What a key is bound to."""
    return hashlib.sha256(path.encode() + b"\0" + body).hexdigest()


async def claim(writer: Writer, key: Key, order_id: str) -> Stored | Ours | InFlight:
    """Take a key for a request about an order; raises IdempotencyConflict for another body."""
    named = _named(key)
    if await writer.run(_CLAIM, named | {"body_hash": key.body_hash, "order_id": order_id}):
        return Ours(first=True)
    row = await writer.first(_FIND, named)
    if row is None or row.body_hash != key.body_hash:
        raise IdempotencyConflict
    if row.answer is not None:
        return Stored(status_code=row.status_code, answer=bytes(row.answer))
    took = await writer.run(
        _TAKE_OVER, named | {"order_id": order_id, "in_flight_seconds": IN_FLIGHT_SECONDS}
    )
    return Ours(first=False) if took else InFlight()


async def let_go(writer: Writer, key: Key) -> None:
    """There is no final answer yet: the next request under the key goes on at once."""
    await writer.run(_LET_GO, _named(key))


async def finish(writer: Writer, key: Key, status_code: int, answer: bytes) -> Stored:
    """Store the final answer; the first one stored is everybody's."""
    await writer.run(_FINISH, _named(key) | {"status_code": status_code, "answer": answer})
    row = await writer.first(_FIND, _named(key))
    if row is None or row.answer is None:
        raise LookupError("a key is claimed before its request is finished")
    return Stored(status_code=row.status_code, answer=bytes(row.answer))


def _named(key: Key) -> dict[str, str | int | bytes]:
    return {"site_id": key.site_id, "subject": key.subject, "key": key.key}
