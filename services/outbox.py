"""What still has to be told: the outbox of public events, and facts for workflows.

Only the relay takes from here, one process at a time, over the connection that holds its lock:
a lost connection is a lost lock, and nothing is deleted or confirmed without it. What Kafka is
still to hear was moved to rows of its own: its absence makes nobody else's queue longer.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from services.db import Database, Reader, Writer

LOCK = 0x70616F_7475_6901
"""The advisory lock of the one active relay."""
BATCH_ROWS = 500
BACKOFF_SECONDS = 0.2
MAX_BACKOFF_SECONDS = 5.0
MAX_DOUBLINGS = 6
BACKLOG_ROWS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One outbox row; `text` is the message as JSON, `seq` 0 where it belongs to no stream."""

    id: int
    order_id: str
    seq: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A signal `name(body)` that a workflow has not confirmed yet."""

    id: int
    site_id: str
    order_id: str
    workflow_id: str
    name: str
    body: dict[str, Any]
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What a sink has not taken: rows (counted up to `BACKLOG_ROWS`), when its oldest happened."""

    sink: str
    events: int
    oldest_at: datetime | None


_TRY_LOCK = text("SELECT pg_try_advisory_lock(:lock)")
_MESSAGES = text("""
SELECT id, order_id, seq, CAST(message AS text) AS text FROM outbox ORDER BY id LIMIT :limit
""")
_DELETE = text("DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))")
_MOVE = text("""
WITH gone AS (
  DELETE FROM outbox WHERE id = ANY(CAST(:ids AS bigint[]))
  RETURNING id, site_id, order_id, seq, message
)
INSERT INTO kafka_outbox (id, site_id, order_id, seq, message)
SELECT id, site_id, order_id, seq, message FROM gone WHERE seq > 0
""")
_FOR_KAFKA = text("""
SELECT id, order_id, seq, CAST(message AS text) AS text FROM kafka_outbox ORDER BY id LIMIT :limit
""")
_KAFKA_HAS = text("DELETE FROM kafka_outbox WHERE id = ANY(CAST(:ids AS bigint[]))")
_BACKLOGS = text("""
SELECT 'redis' AS sink,
  (SELECT count(*) FROM (SELECT FROM outbox LIMIT :most) AS waiting) AS events,
  (SELECT message->>'at' FROM outbox WHERE seq > 0 ORDER BY id LIMIT 1) AS oldest_at
UNION ALL
SELECT 'kafka',
  (SELECT count(*) FROM (SELECT FROM kafka_outbox LIMIT :most) AS waiting),
  (SELECT message->>'at' FROM kafka_outbox ORDER BY id LIMIT 1)
""")
_DUE = text("""
SELECT id, site_id, order_id, workflow_id, name, body, tries FROM facts
WHERE confirmed_at IS NULL AND due_at <= now() AND id <> ALL(CAST(:busy AS bigint[]))
ORDER BY due_at, id LIMIT :limit
""")
_CONFIRM = text("UPDATE facts SET confirmed_at = now() WHERE id = ANY(CAST(:ids AS bigint[]))")
_POSTPONE = text("""
UPDATE facts SET tries = tries + 1,
  due_at = now() + make_interval(secs => least(
    :first_seconds * 2 ^ least(tries, :doublings), CAST(:longest_seconds AS double precision)))
WHERE id = ANY(CAST(:ids AS bigint[]))
""")


@asynccontextmanager
async def line(database: Database) -> AsyncIterator[Writer]:
    """A connection of one's own, each statement its own transaction; closed in the end."""
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield Writer(connection)
        finally:
            # Not given back to the pool: the lock belongs to the session and ends with it.
            await connection.invalidate()


async def lock(writer: Writer) -> bool:
    """Become the one that relays, for as long as this connection lives; False: another is."""
    return bool(await writer.scalar(_TRY_LOCK, {"lock": LOCK}))


async def messages(writer: Writer) -> Sequence[Message]:
    """The oldest messages, in the order in which they must be published."""
    rows = await writer.all(_MESSAGES, {"limit": BATCH_ROWS})
    return [Message(**row._mapping) for row in rows]  # noqa: SLF001


async def published(writer: Writer, batch: Sequence[Message], *, on_to_kafka: bool = False) -> None:
    """Forget messages that are out, or keep the public ones for Kafka."""
    ids = [message.id for message in batch]
    await writer.run(_MOVE if on_to_kafka else _DELETE, {"ids": ids})


async def for_kafka(reader: Reader) -> Sequence[Message]:
    """The oldest events that Kafka has not confirmed, in order per order."""
    rows = await reader.all(_FOR_KAFKA, {"limit": BATCH_ROWS})
    return [Message(**row._mapping) for row in rows]  # noqa: SLF001


async def kafka_has(writer: Writer, ids: Sequence[int]) -> None:
    """Forget events that Kafka has confirmed."""
    await writer.run(_KAFKA_HAS, {"ids": list(ids)})


async def backlogs(reader: Reader) -> Sequence[Backlog]:
    """What waits for each sink."""
    rows = await reader.all(_BACKLOGS, {"most": BACKLOG_ROWS})
    return [
        Backlog(
            sink=row.sink,
            events=row.events,
            oldest_at=datetime.fromisoformat(row.oldest_at) if row.oldest_at else None,
        )
        for row in rows
    ]


async def due(writer: Writer, *, busy: Sequence[int], limit: int) -> Sequence[Fact]:
    """Facts whose time has come, those on their way (`busy`) left out."""
    rows = await writer.all(_DUE, {"busy": list(busy), "limit": limit})
    return [Fact(**row._mapping) for row in rows]  # noqa: SLF001


async def confirm(writer: Writer, ids: Sequence[int]) -> None:
    """These facts have reached their workflows, or need them no more."""
    await writer.run(_CONFIRM, {"ids": list(ids)})


async def postpone(writer: Writer, ids: Sequence[int]) -> None:
    """These facts could not be told: try again later, each time twice as late."""
    await writer.run(
        _POSTPONE,
        {
            "ids": list(ids),
            "first_seconds": BACKOFF_SECONDS,
            "doublings": MAX_DOUBLINGS,
            "longest_seconds": MAX_BACKOFF_SECONDS,
        },
    )
