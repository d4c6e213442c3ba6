"""Tips after delivery: payments to the platform's own account, which owes them to the rider.

Whoever stores one holds the order's stream lock: one tip after the other sees what was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain.contracts.life import PayWishes, Timers
from domain.contracts.tips import GiveTip
from domain.errors import ActionNotAllowed, Invalid, NotFound
from domain.orders import Status
from domain.settlement import PLATFORM
from domain.tips import ensure_tip
from services import events, metrics
from services.db import Reader, Writer
from services.events import Event, Stream, dumps
from services.payments import Paying

QUIET_SECONDS = 60
"""A younger tip is left alone: its workflow has just been there."""
PAGE_ROWS = 200
_GIVEN = text("""
SELECT count(*) AS tries, coalesce(sum(amount_fen) FILTER (WHERE state NOT IN
  ('closed', 'failed', 'late', 'frozen')), 0)::bigint AS given_fen
FROM payment_attempts WHERE order_id = :order_id AND purpose = 'tip'
""")
_STORED = text("""
SELECT 1 FROM payment_attempts WHERE out_trade_no = :out_trade_no AND purpose = 'tip'
  AND (order_id, channel, method, amount_fen) = (:order_id, :channel, :method, :amount_fen)
""")
_STORE = text("""
INSERT INTO payment_attempts (out_trade_no, site_id, order_id, purpose, attempt, account_id,
  channel, method, wishes, amount_fen, state, expires_at)
SELECT :out_trade_no, o.site_id, o.order_id, 'tip', :attempt, c.account_id, :channel, :method,
  CAST(:wishes AS jsonb), :amount_fen, 'created', :pay_by
FROM orders o JOIN delivery_tasks t ON t.order_id = o.order_id AND t.state = 'delivered'
JOIN channel_accounts c ON c.site_id = o.site_id AND c.merchant_id = :platform
WHERE o.order_id = :order_id AND c.channel = :channel
ORDER BY c.account_id LIMIT 1
ON CONFLICT (out_trade_no) DO NOTHING
""")
_OF_ORDER = text("""
SELECT out_trade_no, amount_fen, state, created_at FROM payment_attempts
WHERE order_id = :order_id AND purpose = 'tip' ORDER BY attempt
""")
_WORD = text("""
INSERT INTO outbox (site_id, order_id, seq, message)
SELECT site_id, order_id, 0, jsonb_build_object('type', 'tip.given', 'rider_id', rider_id,
  'site_id', site_id, 'order_id', order_id, 'task_id', task_id,
  'amount_fen', CAST(:amount_fen AS bigint))
FROM delivery_tasks WHERE order_id = :order_id
""")
_TIMERS = text("SELECT timers FROM orders WHERE order_id = :order_id")
_UNFINISHED = text("""
SELECT a.*, o.timers FROM payment_attempts a JOIN orders o USING (order_id)
WHERE a.purpose = 'tip' AND a.state IN ('created', 'unknown', 'opened', 'watched')
  AND a.created_at < now() - make_interval(secs => :quiet_seconds)
ORDER BY a.created_at, a.out_trade_no LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A tip as its customer sees it."""

    out_trade_no: str
    amount_fen: int
    state: str
    created_at: datetime


async def store(writer: Writer, stream: Stream, tip: GiveTip) -> None:
    """Store a tip's number before the gateway hears of it; a repeat changes nothing.

    Raises:
        ActionNotAllowed: the order is not delivered or already settled, or has too many tips.
        Invalid: more than may be given, no rider, or no account of the platform there.
    """
    named = {
        "out_trade_no": tip.out_trade_no,
        "order_id": tip.order_id,
        "channel": tip.channel,
        "method": tip.method,
        "amount_fen": tip.amount_fen,
    }
    if await writer.scalar(_STORED, named):
        return
    status = stream.view["status"]
    if status != Status.DELIVERED:
        raise ActionNotAllowed("a tip is given between delivery and settling", status=status)
    given = await writer.first(_GIVEN, {"order_id": tip.order_id})
    assert given is not None  # noqa: S101 - a sum is always a row
    ensure_tip(tip.amount_fen, given_fen=given.given_fen, tries=given.tries)
    more = {
        "attempt": given.tries + 1,
        "wishes": dumps(tip.wishes),
        "pay_by": tip.pay_by,
        "platform": PLATFORM,
    }
    if not await writer.run(_STORE, named | more):
        raise Invalid("there is no rider to be tipped by this channel")
    writer.after_commit.append(metrics.PAYMENT_ATTEMPTS.labels(tip.channel).inc)


async def told(writer: Writer, stream: Stream, paid: Paying) -> None:
    """The rider's money is there: a public event of the order, and a word to the rider; once."""
    given_fen = stream.view.get("tipped_fen", 0) + paid.amount_fen
    key = f"tipped:{paid.out_trade_no}"
    event = Event(type="order.tipped", key=key, data={"tipped_fen": given_fen}, actor="gateway")
    await events.append(writer, stream.order_id, event)
    await writer.run(_WORD, {"order_id": stream.order_id, "amount_fen": paid.amount_fen})


async def of_order(reader: Reader, order_id: str) -> list[Given]:
    """Every tip of an order, oldest first, as many as there may be tries."""
    rows = await reader.all(_OF_ORDER, {"order_id": order_id})
    return [Given(**row._mapping) for row in rows]  # noqa: SLF001


async def timers(reader: Reader, order_id: str) -> Timers:
    """The order's own silences; raises NotFound."""
    stored = await reader.scalar(_TIMERS, {"order_id": order_id})
    if stored is None:
        raise NotFound("there is no such order")
    return _timers(stored)


async def unfinished(reader: Reader) -> Sequence[GiveTip]:
    """The oldest tips of whose money nothing is certain yet, as they were given."""
    rows = await reader.all(_UNFINISHED, {"quiet_seconds": QUIET_SECONDS, "limit": PAGE_ROWS})
    return [_tip(row) for row in rows]


def _tip(row: Row[Any]) -> GiveTip:
    known = _timers(row.timers)
    return GiveTip(
        order_id=row.order_id,
        out_trade_no=row.out_trade_no,
        amount_fen=row.amount_fen,
        channel=row.channel,
        method=row.method,
        wishes=PayWishes(**row.wishes),
        pay_by=row.expires_at,
        notice_seconds=known.notice_seconds,
        poll_seconds=known.poll_seconds,
        refund_poll_seconds=known.refund_poll_seconds,
    )


def _timers(stored: dict[str, Any]) -> Timers:
    named: dict[str, Any] = {
        name: tuple(one) if isinstance(one, list) else one for name, one in stored.items()
    }
    return Timers(**named)
