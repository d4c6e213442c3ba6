"""After-sales' rows: what was asked back, what of an order is left, and each answer.

Whoever writes here holds the order's stream lock: one wish after the other sees what is left.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain import allocation
from domain.after_sale import PAYING, State
from domain.allocation import Discount, DiscountBearer, Part
from domain.contracts.after_sales import Ask
from domain.contracts.refunds import RefundState
from domain.errors import NotFound
from domain.refund_rules import Reason
from services.db import Reader, Writer
from services.events import dumps

CAUSE = "after_sale:"
"""Prefix of a refund's cause; the after-sale's id follows."""
TERMS = ("timers", "auto_approve_fen", "approval_limit_fen")
"""What of a wish's input is kept beside its columns, so that it can be started again."""
MAX_OF_ORDER = 50
"""Wishes of one order that are shown, and that are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """An order as after-sale sees it: when it was delivered, and what of it is left."""

    site_id: str
    speed: float
    now: datetime
    delivered_at: datetime | None
    paid_at: datetime | None
    ended_at: datetime | None
    channel: str
    """Which has money of it left; empty: only credit may still go back, which no channel bounds."""
    refunds: int
    refunded_at: datetime | None
    left_fen: int
    """Paid and neither given back nor on its way."""
    asked: int
    left: tuple[Part, ...]
    """After refunds, and after wishes that nobody has answered yet."""


_ORDER = text("""
SELECT o.site_id, s.speed, now() AS now,
  coalesce(t.delivered_at, c.collected_at) AS delivered_at, o.paid_at, o.ended_at,
  coalesce(a.channel, '') AS channel, o.paid_fen, o.refunded_fen, o.delivery_fee_fen,
  o.channel_fee_fen, o.tip_fen, o.discounts,
  (SELECT count(*) FROM refunds r WHERE r.out_trade_no = a.out_trade_no) AS refunds,
  (SELECT max(created_at) FROM refunds r WHERE r.out_trade_no = a.out_trade_no) AS refunded_at
FROM orders o JOIN sites s USING (site_id) LEFT JOIN delivery_tasks t USING (order_id)
LEFT JOIN pickups c USING (order_id)
LEFT JOIN payment_attempts a ON a.order_id = o.order_id AND a.state = 'paid'
  AND a.purpose = 'order' AND a.amount_fen >
  (SELECT coalesce(sum(r.amount_fen), 0) FROM refunds r WHERE r.out_trade_no = a.out_trade_no)
WHERE o.order_id = :order_id
""")
_LINES = text("""
SELECT quantity, total_fen, packing_fen FROM order_lines
WHERE order_id = :order_id ORDER BY line_no
""")
_OF_ORDER = text("""
SELECT * FROM after_sales WHERE order_id = :order_id ORDER BY asked_at, after_sale_id LIMIT :limit
""")
_PAGE = text("""
SELECT a.* FROM after_sales a JOIN order_streams s USING (order_id)
WHERE a.site_id = :site_id AND a.state = ANY(:states)
AND (s.merchant_id = :merchant_id OR :merchant_id = '')
AND (CAST(:at AS timestamptz) IS NULL OR (a.asked_at, a.after_sale_id) < (:at, :id))
ORDER BY a.asked_at DESC, a.after_sale_id DESC LIMIT :limit
""")
_FIND = text("SELECT * FROM after_sales WHERE after_sale_id = :after_sale_id")
_INSERT = text("""
INSERT INTO after_sales (after_sale_id, site_id, order_id, state, reason_code, bearer, lines,
  delivery_fee, evidence, parts, terms, amount_fen)
VALUES (:after_sale_id, :site_id, :order_id, :state, :reason_code, :bearer,
  CAST(:lines AS jsonb), :delivery_fee, CAST(:evidence AS jsonb), CAST(:parts AS jsonb),
  CAST(:terms AS jsonb), :amount_fen)
""")
_MOVE = text("""
UPDATE after_sales SET state = :state, answered_by = :actor, answer_code = :reason_code,
  changed_at = now()
WHERE after_sale_id = :after_sale_id
""")
_PAY = text("""
UPDATE after_sales SET out_refund_no = :out_refund_no, amount_fen = :amount_fen,
  parts = CAST(:parts AS jsonb)
WHERE after_sale_id = :after_sale_id
""")
_REFUND_ENDED = text("""
UPDATE after_sales SET state = :state, changed_at = now()
WHERE after_sale_id = :after_sale_id AND state IN ('approved', 'delayed')
""")
_BORNE = text("""
SELECT coalesce(sum(r.amount_fen + r.credit_fen + (
    SELECT coalesce(sum((part ->> 'platform_fen')::bigint), 0)
    FROM jsonb_array_elements(a.parts) AS part WHERE part ->> 'key' <> 'delivery')), 0)
FROM after_sales a JOIN refunds r USING (out_refund_no)
WHERE a.order_id = :order_id AND a.bearer = 'merchant' AND r.source = 'held'
""")


async def find(reader: Reader, after_sale_id: str) -> Row[Any]:
    """One wish; raises NotFound."""
    row = await reader.first(_FIND, {"after_sale_id": after_sale_id})
    if row is None:
        raise NotFound("there is no such after-sale")
    return row


async def of_order(reader: Reader, order_id: str) -> Sequence[Row[Any]]:
    """An order's wishes, oldest first."""
    return await reader.all(_OF_ORDER, {"order_id": order_id, "limit": MAX_OF_ORDER})


async def page(
    reader: Reader,
    site_id: str,
    *,
    states: Collection[State],
    merchant_id: str = "",
    before: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Wishes of a site, or of one merchant there, newest first, older than `before`."""
    at, after_sale_id = before or (None, "")
    asked = {"site_id": site_id, "merchant_id": merchant_id, "states": [*map(str, states)]}
    return await reader.all(_PAGE, asked | {"at": at, "id": after_sale_id, "limit": limit})


async def sold(reader: Reader, order_id: str) -> Sold:
    """The order, less what was given back by lines, by amount, or is being asked back."""
    order = await reader.first(_ORDER, {"order_id": order_id})
    if order is None:
        raise NotFound
    lines = await reader.all(_LINES, {"order_id": order_id})
    wishes = await of_order(reader, order_id)
    parts = allocation.parts_of(
        [(line.quantity, line.total_fen, line.packing_fen) for line in lines],
        delivery_fee_fen=order.delivery_fee_fen,
        discounts=[_discount(one) for one in order.discounts],
        channel_fee_fen=order.channel_fee_fen,
        tip_fen=order.tip_fen,
    )
    taken = [part for wish in wishes if wish.state != State.DECLINED for part in parts_of(wish)]
    left = allocation.left_of(parts, taken)
    by_wish_fen = sum(wish.amount_fen for wish in wishes if wish.state in PAYING)
    by_amount_fen = min(order.refunded_fen - by_wish_fen, allocation.paid_fen(left))
    return Sold(
        site_id=order.site_id,
        speed=order.speed,
        now=order.now,
        delivered_at=order.delivered_at,
        paid_at=order.paid_at,
        ended_at=order.ended_at,
        channel=order.channel,
        refunds=order.refunds,
        refunded_at=order.refunded_at,
        left_fen=order.paid_fen - order.refunded_fen,
        asked=len(wishes),
        left=allocation.left_of(left, allocation.amount(left, by_amount_fen)),
    )


def _discount(stored: dict[str, Any]) -> Discount:
    return Discount(**stored | {"bearer": DiscountBearer(stored["bearer"])})


def parts_of(wish: Row[Any]) -> tuple[Part, ...]:
    """What a wish takes of its order."""
    return tuple(Part(**part) for part in wish.parts)


async def insert(
    writer: Writer, ask: Ask, *, site_id: str, reason: Reason, state: State, parts: Sequence[Part]
) -> None:
    """Keep a wish, with what it takes of its order."""
    await writer.run(
        _INSERT,
        {
            "after_sale_id": ask.after_sale_id,
            "site_id": site_id,
            "order_id": ask.order_id,
            "state": state,
            "reason_code": reason.code,
            "bearer": reason.bearer,
            "lines": dumps([asdict(line) for line in ask.lines]),
            "delivery_fee": ask.delivery_fee,
            "evidence": dumps(ask.evidence),
            "parts": dumps([asdict(part) for part in parts]),
            "terms": dumps({name: getattr(ask, name) for name in TERMS}),
            "amount_fen": allocation.paid_fen(parts),
        },
    )


async def move(
    writer: Writer, after_sale_id: str, state: State, *, actor: str, reason_code: str
) -> None:
    """Write an answer; whether it may follow was asked of `domain.after_sale`."""
    parameters = {"after_sale_id": after_sale_id, "state": state}
    await writer.run(_MOVE, parameters | {"actor": actor, "reason_code": reason_code})


async def pay(
    writer: Writer, after_sale_id: str, *, out_refund_no: str, parts: Sequence[Part]
) -> None:
    """Name the refund that pays a wish, and what it really gives back."""
    await writer.run(
        _PAY,
        {
            "after_sale_id": after_sale_id,
            "out_refund_no": out_refund_no,
            "amount_fen": allocation.paid_fen(parts),
            "parts": dumps([asdict(part) for part in parts]),
        },
    )


async def refund_ended(writer: Writer, cause: str, state: RefundState) -> dict[str, str]:
    """Follow a refund's end where a wish has caused it; what the order shows of that."""
    if not cause.startswith(CAUSE):
        return {}
    after = State.REFUNDED if state is RefundState.SUCCESS else State.DELAYED
    after_sale_id = cause.removeprefix(CAUSE)
    await writer.run(_REFUND_ENDED, {"after_sale_id": after_sale_id, "state": after})
    return {"after_sale": after, "after_sale_id": after_sale_id}


async def borne_by_merchant(reader: Reader, order_id: str) -> int:
    """Fen of the order's refunds that come out of the merchant's share when it is settled.

    What the platform had taken off the food that went back is no subsidy any more.
    """
    return int(await reader.scalar(_BORNE, {"order_id": order_id}))
