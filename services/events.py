"""What has happened to an order: public events with a gapless `seq`, and the inner timeline.

Each order has one row in `order_streams`: the last `seq` and `view`, the fold of every event's
`data`. A client that folds the events it has seen, each `seq` once, holds the same state (law 7).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import text

from services.db import Reader, Writer

NOW = text("now()")
"""The transaction's time, for columns written together with an event."""
EVENT_VERSION = 2
PAGE_EVENTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The public state of an order at `seq`, and who may see it."""

    order_id: str
    site_id: str
    customer_id: str
    merchant_id: str
    shop_id: str
    seq: int
    view: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One public event; `data` is the part of the view that changed."""

    type: str
    key: str
    """A second append under the same key of the same order changes nothing."""
    data: Mapping[str, Any]
    actor: str = "system"
    request_id: str = ""


_APPEND = text("""
WITH stream AS (
  UPDATE order_streams SET seq = seq + 1, view = view || CAST(:data AS jsonb)
  WHERE order_id = :order_id RETURNING order_id, site_id, customer_id, merchant_id, shop_id, seq
), event AS (
  INSERT INTO order_events (order_id, seq, site_id, type, key, data, v, actor, request_id, at)
  SELECT order_id, seq, site_id, :type, :key, CAST(:data AS jsonb), :v, :actor, :request_id, now()
  FROM stream RETURNING order_id, seq, site_id, at
)
INSERT INTO outbox (site_id, order_id, seq, message)
SELECT event.site_id, event.order_id, event.seq, jsonb_build_object(
  'order_id', event.order_id, 'seq', event.seq, 'type', CAST(:type AS text), 'at',
  to_char(event.at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'data', CAST(:data AS jsonb),
  'v', CAST(:v AS int), 'site_id', event.site_id, 'customer_id', stream.customer_id,
  'merchant_id', stream.merchant_id, 'shop_id', stream.shop_id)
FROM event JOIN stream USING (order_id) RETURNING seq
""")

_STREAM = text("SELECT * FROM order_streams WHERE order_id = :order_id")
_STREAMS = text("SELECT * FROM order_streams WHERE order_id = ANY(:order_ids)")
_LOCK = text("SELECT * FROM order_streams WHERE order_id = :order_id FOR UPDATE")
_SEEN = text("SELECT seq FROM order_events WHERE order_id = :order_id AND key = :key")
_SINCE = text("""
SELECT order_id, seq, type, at, data, v FROM order_events
WHERE order_id = :order_id AND seq > :since ORDER BY seq LIMIT :limit
""")
_NOTE = text("""
INSERT INTO order_timeline (site_id, order_id, kind, key, data, actor, request_id)
VALUES (:site_id, :order_id, :kind, :key, CAST(:data AS jsonb), :actor, :request_id)
ON CONFLICT (order_id, key) DO NOTHING
""")


def _stream(row: Any) -> Stream | None:  # noqa: ANN401
    return None if row is None else Stream(**row._mapping)  # noqa: SLF001


async def open_stream(  # the order's first event follows in the same transaction
    writer: Writer,
    *,
    order_id: str,
    site_id: str,
    customer_id: str,
    merchant_id: str,
    shop_id: str,
) -> None:
    """Begin an order's stream at seq 0."""
    await writer.run(
        text("""INSERT INTO order_streams (order_id, site_id, customer_id, merchant_id, shop_id)
        VALUES (:order_id, :site_id, :customer_id, :merchant_id, :shop_id)"""),
        {
            "order_id": order_id,
            "site_id": site_id,
            "customer_id": customer_id,
            "merchant_id": merchant_id,
            "shop_id": shop_id,
        },
    )


async def append(writer: Writer, order_id: str, event: Event) -> int:
    """Append a public event and its outbox row in the caller's transaction; its `seq`.

    The caller holds the stream's lock (`lock`) and has seen that `key` is new (`seen`).
    """
    return int(
        await writer.scalar(
            _APPEND,
            {
                "order_id": order_id,
                "type": event.type,
                "key": event.key,
                "data": dumps(event.data),
                "v": EVENT_VERSION,
                "actor": event.actor,
                "request_id": event.request_id,
            },
        )
    )


async def lock(writer: Writer, order_id: str) -> Stream | None:
    """Take the order's row of `order_streams`: every act on an order begins here."""
    return _stream(await writer.first(_LOCK, {"order_id": order_id}))


async def stream(reader: Reader, order_id: str) -> Stream | None:
    """The public state as committed."""
    return _stream(await reader.first(_STREAM, {"order_id": order_id}))


async def streams(reader: Reader, order_ids: Collection[str]) -> list[Stream]:
    """The public states of several orders as committed; the caller bounds their number."""
    rows = await reader.all(_STREAMS, {"order_ids": list(order_ids)})
    return [Stream(**row._mapping) for row in rows]  # noqa: SLF001


async def seen(reader: Reader, order_id: str, key: str) -> int | None:
    """The `seq` under which an event of this key was appended, or None."""
    found = await reader.scalar(_SEEN, {"order_id": order_id, "key": key})
    return None if found is None else int(found)


async def since(reader: Reader, order_id: str, seq: int) -> list[dict[str, Any]]:
    """Public events after `seq`, at most `PAGE_EVENTS`: {order_id, seq, type, at, data, v}."""
    rows = await reader.all(_SINCE, {"order_id": order_id, "since": seq, "limit": PAGE_EVENTS})
    return [dict(row._mapping) for row in rows]  # noqa: SLF001


async def note(
    writer: Writer,
    *,
    order_id: str,
    site_id: str,
    kind: str,
    key: str,
    data: Mapping[str, Any] | None = None,
    actor: str = "system",
    request_id: str = "",
) -> bool:
    """Write a line of the inner timeline (codes and ids only); False: `key` is there already."""
    written = await writer.run(
        _NOTE,
        {
            "order_id": order_id,
            "site_id": site_id,
            "kind": kind,
            "key": key,
            "data": dumps(data or {}),
            "actor": actor,
            "request_id": request_id,
        },
    )
    return bool(written)


def utc_now() -> datetime:
    """The time at this process, aware UTC."""
    return datetime.now(UTC)


def dumps(value: object) -> str:
    """JSON text for a jsonb parameter; datetimes as RFC 3339."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
