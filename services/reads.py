"""What lists, consoles and live feeds read from the tables; nothing here writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from services.db import Reader
from services.events import Stream

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""Exactly as the outbox writes an event's `at`."""
LIVE_ORDERS = 200
RECENTLY_ENDED_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Orders newest first; the place of the last one leads to the next page."""

    items: list[dict[str, Any]]
    last: tuple[datetime, str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which orders of a site; what is empty does not narrow."""

    site_id: str
    customer_id: str = ""
    merchant_id: str = ""
    shop_id: str = ""
    status: str = ""


_ORDERS = """
SELECT o.order_id, o.customer_id, o.placed_at, s.seq, s.view
FROM orders o JOIN order_streams s USING (order_id)
WHERE o.site_id = :site_id
"""
_NARROW = {
    "customer_id": " AND o.customer_id = :customer_id",
    "merchant_id": " AND o.merchant_id = :merchant_id",
    "shop_id": " AND o.shop_id = :shop_id",
    "status": " AND o.status = :status",
}
_AFTER = " AND (o.placed_at, o.order_id) < (:placed_at, :order_id)"
_NEWEST_FIRST = " ORDER BY o.placed_at DESC, o.order_id DESC LIMIT :limit"
_EVENTS = text("""
SELECT order_id, seq, type, at, data FROM order_events
WHERE order_id = :order_id AND seq > :since ORDER BY seq LIMIT :limit
""")
_TIMELINE = text("""
SELECT * FROM (
  SELECT at, 'public' AS source, CAST(seq AS bigint) AS line_no, type AS kind, data, actor,
    request_id
  FROM order_events WHERE order_id = :order_id
  UNION ALL
  SELECT at, 'inner', id, kind, data, actor, request_id
  FROM order_timeline WHERE order_id = :order_id
) AS lines
WHERE (at, source, line_no) > (:at, :source, :line_no)
ORDER BY at, source, line_no LIMIT :limit
""")
_HEADS = text("""
SELECT order_id, seq FROM order_streams WHERE order_id = ANY(:order_ids)
""")
_MERCHANT_HEADS = text("""
SELECT s.order_id, s.seq FROM orders o JOIN order_streams s USING (order_id)
WHERE o.site_id = :site_id AND o.merchant_id = :merchant_id
  AND (o.ended_at IS NULL OR o.ended_at > now() - make_interval(secs => :recently_seconds))
ORDER BY o.placed_at DESC LIMIT :limit
""")
_MERCHANT_OPEN = text("""
SELECT s.* FROM orders o JOIN order_streams s USING (order_id)
WHERE o.site_id = :site_id AND o.merchant_id = :merchant_id AND o.ended_at IS NULL
ORDER BY o.placed_at DESC LIMIT :limit
""")
_ATTEMPTS = text("""
SELECT out_trade_no, purpose, channel, method, account_id, amount_fen, state, transaction_id,
  failure_code, created_at, paid_at
FROM payment_attempts WHERE order_id = :order_id ORDER BY purpose, attempt
""")
_REFUNDS = text("""
SELECT out_refund_no, out_trade_no, cause, source, reason, amount_fen, credit_fen, state, refund_id,
  created_at, ended_at
FROM refunds WHERE order_id = :order_id ORDER BY created_at, out_refund_no
""")
_SPLITS = text("""
SELECT out_order_no, kind, receiver, amount_fen, state, reason, created_at, ended_at
FROM splits WHERE order_id = :order_id ORDER BY number
""")
_JOURNALS = text("""
SELECT j.key, j.event, j.outcome, j.posted_at, coalesce(jsonb_agg(jsonb_build_object(
    'account', e.account, 'side', e.side, 'amount_fen', e.amount_fen) ORDER BY e.line)
  FILTER (WHERE e.line IS NOT NULL), '[]'::jsonb) AS entries
FROM ledger_journals j LEFT JOIN ledger_entries e ON e.journal_id = j.id
WHERE j.site_id = :site_id AND j.order_id = :order_id GROUP BY j.id ORDER BY j.id
""")
_ACCOUNT = text("""
SELECT account_id, site_id, channel, mchid, appid, keys_ref FROM channel_accounts
WHERE account_id = :account_id
""")


async def orders(
    reader: Reader, which: Filter, *, after: tuple[datetime, str] | None, limit: int
) -> Page:
    """A page of orders, each {seq, …view…}, by keyset: nothing is skipped or shown twice."""
    parameters: dict[str, Any] = {"site_id": which.site_id, "limit": limit + 1}
    statement = _ORDERS
    for name, clause in _NARROW.items():
        if value := getattr(which, name):
            statement += clause
            parameters[name] = value
    if after is not None:
        statement += _AFTER
        parameters |= {"placed_at": after[0], "order_id": after[1]}
    rows = await reader.all(text(statement + _NEWEST_FIRST), parameters)
    shown = rows[:limit]
    last = (shown[-1].placed_at, shown[-1].order_id) if len(rows) > limit else None
    return Page(items=[{"seq": row.seq, **row.view} for row in shown], last=last)


async def since(reader: Reader, order_id: str, seq: int, *, limit: int) -> list[dict[str, Any]]:
    """Public events after `seq`, exactly as they are published: {order_id, seq, type, at, data}."""
    rows = await reader.all(_EVENTS, {"order_id": order_id, "since": seq, "limit": limit})
    return [_event(row) for row in rows]


async def timeline(
    reader: Reader, order_id: str, *, after: tuple[datetime, str, int], limit: int
) -> Sequence[Row[Any]]:
    """Public events and inner lines together, by time."""
    at, source, line_no = after
    return await reader.all(
        _TIMELINE,
        {"order_id": order_id, "at": at, "source": source, "line_no": line_no, "limit": limit},
    )


async def heads(reader: Reader, order_ids: Sequence[str]) -> dict[str, int]:
    """The newest `seq` of each order."""
    rows = await reader.all(_HEADS, {"order_ids": list(order_ids)})
    return {row.order_id: row.seq for row in rows}


async def merchant_heads(reader: Reader, site_id: str, merchant_id: str) -> dict[str, int]:
    """The newest `seq` of each order that is open, or was a moment ago."""
    rows = await reader.all(
        _MERCHANT_HEADS,
        {
            "site_id": site_id,
            "merchant_id": merchant_id,
            "recently_seconds": RECENTLY_ENDED_SECONDS,
            "limit": LIVE_ORDERS,
        },
    )
    return {row.order_id: row.seq for row in rows}


async def merchant_open(reader: Reader, site_id: str, merchant_id: str) -> list[Stream]:
    """The merchant's open orders, newest first."""
    rows = await reader.all(
        _MERCHANT_OPEN, {"site_id": site_id, "merchant_id": merchant_id, "limit": LIVE_ORDERS}
    )
    return [Stream(**row._mapping) for row in rows]  # noqa: SLF001


async def money(reader: Reader, site_id: str, order_id: str) -> dict[str, list[dict[str, Any]]]:
    """An order's money: `attempts`, `refunds`, `splits`, and `journals` with their entries."""
    asked = {"site_id": site_id, "order_id": order_id}
    found = {
        "attempts": _ATTEMPTS,
        "refunds": _REFUNDS,
        "splits": _SPLITS,
        "journals": _JOURNALS,
    }
    return {
        name: [dict(row._mapping) for row in await reader.all(statement, asked)]  # noqa: SLF001
        for name, statement in found.items()
    }


async def account(reader: Reader, account_id: str) -> Row[Any] | None:
    """A payee: account_id, site_id, channel, mchid, appid, keys_ref."""
    return await reader.first(_ACCOUNT, {"account_id": account_id})


def _event(row: Row[Any]) -> dict[str, Any]:
    return {
        "order_id": row.order_id,
        "seq": row.seq,
        "type": row.type,
        "at": row.at.strftime(TIME_FORMAT),
        "data": row.data,
    }
