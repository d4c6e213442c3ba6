"""Rows whose story may have lost its workflow; a look at Temporal must confirm each of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from domain.contracts.after_sales import AfterSaleTimers, Ask, AskedLine
from domain.contracts.life import Timers
from domain.ids import payment_workflow
from domain.riding import PHOTO_DAYS
from services import facts
from services.db import Reader, Writer

FORGET_ROWS = 1_000
PAGE_ROWS = 200
ORDER_QUIET_SECONDS = 60
"""A row that changed more recently is left alone: its workflow has just been there."""
ENDED_SECONDS = 60
REFUND_QUIET_SECONDS = 30
NOTICE_QUIET_SECONDS = 10
BEGINNING = (datetime.min.replace(tzinfo=UTC), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order's row that has not ended."""

    order_id: str
    changed_at: datetime
    refund_poll_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRefund:
    """A refund's row that has not ended."""

    out_refund_no: str
    order_id: str
    created_at: datetime
    poll_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unapplied:
    """A stored fact about a payment that has had no effect and is not on its way."""

    notice_id: int
    site_id: str
    order_id: str
    tip: str
    """The number of the tip that it is about; empty: it is about the order."""


_ORDER = "SELECT order_id, changed_at, timers -> 'refund_poll_seconds' AS waits FROM orders "
_OPEN_OF = text(_ORDER + "WHERE order_id = ANY(:order_ids) AND ended_at IS NULL")
_QUIET = text(
    _ORDER
    + """WHERE ended_at IS NULL AND changed_at < now() - make_interval(secs => :quiet_seconds)
AND (changed_at, order_id) > (:at, :id) ORDER BY changed_at, order_id LIMIT :limit"""
)
_ENDED = text("""
SELECT order_id FROM orders
WHERE order_id = ANY(:order_ids) AND ended_at < now() - make_interval(secs => :quiet_seconds)
AND NOT EXISTS (SELECT FROM payment_attempts a
  WHERE a.order_id = orders.order_id AND a.state = 'watched' AND a.purpose = 'order')
""")
_REFUND = """
SELECT r.out_refund_no, r.order_id, r.created_at, o.timers -> 'refund_poll_seconds' AS waits
FROM refunds r JOIN orders o USING (order_id) WHERE r.ended_at IS NULL
"""
_QUIET_REFUNDS = text(
    _REFUND
    + """AND r.created_at < now() - make_interval(secs => :quiet_seconds)
AND (r.created_at, r.out_refund_no) > (:at, :id) ORDER BY r.created_at, r.out_refund_no LIMIT :limit
"""
)
_REFUNDS_OF = text(_REFUND + "AND r.out_refund_no = ANY(:numbers)")
_LOST_WISHES = text("""
SELECT a.*, s.customer_id FROM after_sales a JOIN order_streams s USING (order_id)
WHERE a.state IN ('asked', 'rejected', 'escalated', 'awaiting_approval')
AND a.changed_at < now() - make_interval(secs => :quiet_seconds)
AND (a.changed_at, a.after_sale_id) > (:at, :id)
ORDER BY a.changed_at, a.after_sale_id LIMIT :limit
""")
_UNAPPLIED = text("""
SELECT id AS notice_id, site_id, order_id, coalesce((SELECT a.out_trade_no
  FROM payment_attempts a
  WHERE a.out_trade_no = i.fact ->> 'out_trade_no' AND a.purpose = 'tip'), '') AS tip
FROM inbox i
WHERE applied_at IS NULL AND kind = 'payment'
AND received_at < now() - make_interval(secs => :quiet_seconds)
AND NOT EXISTS (
  SELECT FROM facts f WHERE f.confirmed_at IS NULL AND f.name = 'payment_settled'
  AND CAST(f.body ->> 'notice_id' AS bigint) = i.id)
ORDER BY received_at LIMIT :limit
""")


_DATE_PHOTOS = text("""
UPDATE delivery_photos p SET delete_at = o.ended_at + make_interval(days => :days)
FROM (SELECT p.photo_id, o.ended_at FROM delivery_photos p JOIN orders o USING (order_id)
  WHERE p.delete_at IS NULL AND o.ended_at IS NOT NULL LIMIT :limit) o
WHERE p.photo_id = o.photo_id
""")
_DISPUTED = """(
  EXISTS (SELECT FROM tickets t
    WHERE t.order_id = delivery_photos.order_id AND t.state <> 'resolved')
  OR EXISTS (SELECT FROM after_sales a WHERE a.order_id = delivery_photos.order_id
    AND a.state NOT IN ('refunded', 'declined')))"""
_OLD = "DELETE FROM {0} WHERE ctid IN (SELECT ctid FROM {0} WHERE {1} LIMIT :limit)"
_FORGET = (
    text(_OLD.format("facts", "confirmed_at < now() - interval '7 days'")),
    text(_OLD.format("quotes", "expires_at < now() - interval '7 days'")),
    text(_OLD.format("request_keys", "created_at < now() - interval '30 days'")),
    text(_OLD.format("position_traces", "delete_at < now()")),
    text(_OLD.format("delivery_photos", f"delete_at < now() AND NOT {_DISPUTED}")),
    text(
        _OLD.format("ticket_evidence", "added_at IS NULL AND created_at < now() - interval '1 day'")
    ),
)
"""Request keys live as long as histories do."""


async def forget(writer: Writer, *, photo_days: int = PHOTO_DAYS) -> None:
    """Delete a page of what is over: told facts, old quotes, request keys, traces, photos.

    A photo of a hand-over goes `photo_days` after its order's end, not while anything about the
    order is disputed.
    """
    await writer.run(_DATE_PHOTOS, {"days": photo_days, "limit": FORGET_ROWS})
    for statement in _FORGET:
        await writer.run(statement, {"limit": FORGET_ROWS})


async def open_of(reader: Reader, order_ids: Collection[str]) -> list[OpenOrder]:
    """Those of these orders whose rows are open."""
    rows = await reader.all(_OPEN_OF, {"order_ids": list(order_ids)})
    return [_order(row) for row in rows]


async def quiet_orders(reader: Reader, after: tuple[datetime, str]) -> list[OpenOrder]:
    """A page of open orders that nothing has changed for a while, beyond (changed_at, id)."""
    page = {"at": after[0], "id": after[1], "limit": PAGE_ROWS}
    rows = await reader.all(_QUIET, page | {"quiet_seconds": ORDER_QUIET_SECONDS})
    return [_order(row) for row in rows]


async def ended_of(reader: Reader, order_ids: Collection[str]) -> list[str]:
    """Those of these orders whose rows ended a while ago, and who watch no payment any more."""
    rows = await reader.all(_ENDED, {"order_ids": list(order_ids), "quiet_seconds": ENDED_SECONDS})
    return [row.order_id for row in rows]


async def quiet_refunds(reader: Reader, after: tuple[datetime, str]) -> list[OpenRefund]:
    """A page of refunds that have been open for a while, beyond (created_at, number)."""
    page = {"at": after[0], "id": after[1], "limit": PAGE_ROWS}
    rows = await reader.all(_QUIET_REFUNDS, page | {"quiet_seconds": REFUND_QUIET_SECONDS})
    return [_refund(row) for row in rows]


async def refunds_of(reader: Reader, numbers: Collection[str]) -> list[OpenRefund]:
    """Those of these refunds whose rows are open."""
    rows = await reader.all(_REFUNDS_OF, {"numbers": list(numbers)})
    return [_refund(row) for row in rows]


async def quiet_wishes(reader: Reader, after: tuple[datetime, str]) -> list[tuple[datetime, Ask]]:
    """A page of after-sales that wait for somebody, beyond (changed_at, id), as they were asked."""
    page = {"at": after[0], "id": after[1], "limit": PAGE_ROWS}
    rows = await reader.all(_LOST_WISHES, page | {"quiet_seconds": ORDER_QUIET_SECONDS})
    return [(row.changed_at, _ask(row)) for row in rows]


async def unapplied(reader: Reader) -> Sequence[Unapplied]:
    """The oldest facts about payments that nobody has applied and nobody is telling."""
    rows = await reader.all(_UNAPPLIED, {"quiet_seconds": NOTICE_QUIET_SECONDS, "limit": PAGE_ROWS})
    return [Unapplied(**row._mapping) for row in rows]  # noqa: SLF001


async def tell_again(writer: Writer, fact: Unapplied) -> None:
    """Have a fact told once more to the workflow that waits for it."""
    await facts.tell(
        writer,
        site_id=fact.site_id,
        order_id=fact.order_id,
        workflow_id=payment_workflow(fact.order_id, fact.tip),
        name="payment_settled",
        body={"notice_id": fact.notice_id},
    )


def _order(row: Any) -> OpenOrder:  # noqa: ANN401
    return OpenOrder(
        order_id=row.order_id, changed_at=row.changed_at, refund_poll_seconds=_waits(row)
    )


def _refund(row: Any) -> OpenRefund:  # noqa: ANN401
    return OpenRefund(
        out_refund_no=row.out_refund_no,
        order_id=row.order_id,
        created_at=row.created_at,
        poll_seconds=_waits(row),
    )


def _ask(row: Any) -> Ask:  # noqa: ANN401
    timers = row.terms["timers"]
    waits = tuple(timers["refund_poll_seconds"])
    return Ask(
        after_sale_id=row.after_sale_id,
        order_id=row.order_id,
        actor=f"customer:{row.customer_id}",
        request_id="",
        lines=tuple(AskedLine(**line) for line in row.lines),
        delivery_fee=row.delivery_fee,
        reason_code=row.reason_code,
        evidence=tuple(row.evidence),
        timers=AfterSaleTimers(**timers | {"refund_poll_seconds": waits}),
        auto_approve_fen=row.terms["auto_approve_fen"],
        approval_limit_fen=row.terms["approval_limit_fen"],
    )


def _waits(row: Any) -> tuple[float, ...]:  # noqa: ANN401
    """The order's own pauses between questions to the gateway, or everybody's."""
    return tuple(row.waits or Timers().refund_poll_seconds)
