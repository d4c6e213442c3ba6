"""The rows of platform credit: granted, held, spent, given back, expired; each once by its key.

What moves money returns its journal, to be posted by `services.ledger.post` in the same
transaction; a repetition returns the same one, which the ledger knows. A hold moves none: what is
held stays the customer's until it is captured. Locks go hold, then grants by expiry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain import credit
from domain.books import journal
from domain.credit import CreditNotHeld, CreditRefundTooMuch, Part
from domain.errors import CreditTooLow, IdempotencyConflict, NotFound
from domain.ledger import Journal
from services.db import Reader, Writer

GRANTS_MAX = 1_000
"""A customer's spendable grants that one hold looks at, those that expire first."""
GRANTS_SHOWN = 100
EXPIRY_PAGE = 500
"""Grants that one sweep expires."""

_GRANT = text("""
INSERT INTO credit_grants (grant_id, site_id, customer_id, order_id, reason, granted_by,
  amount_fen, left_fen, expires_at)
VALUES (:grant_id, :site_id, :customer_id, :order_id, :reason, :granted_by,
  :amount_fen, :amount_fen, :expires_at)
ON CONFLICT (grant_id) DO NOTHING
""")
_GRANTED = text("SELECT * FROM credit_grants WHERE grant_id = :grant_id")
_SPENDABLE = text("""
SELECT grant_id, left_fen FROM credit_grants
WHERE site_id = :site_id AND customer_id = :customer_id AND left_fen > 0 AND expires_at > :now
ORDER BY expires_at, grant_id LIMIT :limit FOR UPDATE
""")
_SHOWN = text("""
SELECT grant_id, reason, order_id, amount_fen, left_fen, expires_at FROM credit_grants
WHERE site_id = :site_id AND customer_id = :customer_id AND left_fen > 0 AND expires_at > :now
ORDER BY expires_at, grant_id LIMIT :limit
""")
_AVAILABLE = text("""
SELECT coalesce(sum(left_fen), 0)::bigint FROM credit_grants
WHERE site_id = :site_id AND customer_id = :customer_id AND left_fen > 0 AND expires_at > :now
""")
_TAKE = text("UPDATE credit_grants SET left_fen = left_fen - :fen WHERE grant_id = :grant_id")
_GIVE = text("UPDATE credit_grants SET left_fen = left_fen + :fen WHERE grant_id = :grant_id")
_HOLD = text("""
INSERT INTO credit_holds (hold_id, site_id, customer_id, order_id, amount_fen, state)
VALUES (:hold_id, :site_id, :customer_id, :order_id, :amount_fen, 'held')
ON CONFLICT (hold_id) DO NOTHING
""")
_HELD = text("SELECT * FROM credit_holds WHERE hold_id = :hold_id")
_LOCKED = text("SELECT * FROM credit_holds WHERE hold_id = :hold_id FOR UPDATE")
_PART = text("""
INSERT INTO credit_hold_parts (hold_id, line, grant_id, amount_fen)
VALUES (:hold_id, :line, :grant_id, :fen)
""")
_PARTS = text("""
SELECT p.line, p.grant_id, p.amount_fen, p.refunded_fen, g.order_id, g.expires_at
FROM credit_hold_parts p JOIN credit_grants g USING (grant_id) WHERE p.hold_id = :hold_id
ORDER BY g.expires_at, g.grant_id FOR UPDATE OF g
""")
_STATE = text("UPDATE credit_holds SET state = :state WHERE hold_id = :hold_id")
_REFUND = text("""
INSERT INTO credit_refunds (refund_id, hold_id, amount_fen)
VALUES (:refund_id, :hold_id, :amount_fen) ON CONFLICT (refund_id) DO NOTHING
""")
_REFUNDED = text("SELECT * FROM credit_refunds WHERE refund_id = :refund_id")
_PART_REFUNDED = text("""
UPDATE credit_hold_parts SET refunded_fen = refunded_fen + :fen
WHERE hold_id = :hold_id AND line = :line
""")
_EXPIRE = text("""
WITH due AS (
  SELECT grant_id, left_fen, expired_fen FROM credit_grants
  WHERE left_fen > 0 AND expires_at <= :now
  ORDER BY expires_at, grant_id LIMIT :limit FOR UPDATE SKIP LOCKED
), expired AS (
  UPDATE credit_grants g SET left_fen = 0, expired_fen = g.expired_fen + due.left_fen
  FROM due WHERE g.grant_id = due.grant_id
  RETURNING g.grant_id, g.site_id, g.customer_id, g.order_id, due.left_fen, due.expired_fen
)
SELECT * FROM expired ORDER BY site_id, customer_id, grant_id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Credit to be given; its id is its key."""

    grant_id: str
    site_id: str
    customer_id: str
    reason: str
    """A code: why it is given."""
    amount_fen: int
    expires_at: datetime
    order_id: str = ""
    """The order that it makes up for; empty for a gift."""
    granted_by: str = ""
    """Whose hand gave it; empty: a rule's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Credit to be kept for an order; its id is its key."""

    hold_id: str
    site_id: str
    customer_id: str
    order_id: str
    amount_fen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Spent credit that is to go back; its id is its key."""

    refund_id: str
    hold_id: str
    amount_fen: int


async def available_fen(reader: Reader, site_id: str, customer_id: str, *, now: datetime) -> int:
    """What a customer may spend: granted, not held, not expired."""
    asked = {"site_id": site_id, "customer_id": customer_id, "now": now}
    fen: int = await reader.scalar(_AVAILABLE, asked)
    return fen


async def spendable(
    reader: Reader, site_id: str, customer_id: str, *, now: datetime
) -> Sequence[Row[Any]]:
    """The grants behind it, those that expire first, at most GRANTS_SHOWN."""
    asked = {"site_id": site_id, "customer_id": customer_id, "now": now}
    return await reader.all(_SHOWN, asked | {"limit": GRANTS_SHOWN})


async def grant(writer: Writer, wanted: Grant) -> Journal:
    """Give credit once; raises IdempotencyConflict when the id is known with other content."""
    fields = {name: getattr(wanted, name) for name in Grant.__slots__}
    if not await writer.run(_GRANT, fields):
        _require_same(await writer.first(_GRANTED, fields), fields)
    return journal(
        "credit_granted",
        site_id=wanted.site_id,
        customer_id=wanted.customer_id,
        order_id=wanted.order_id,
        grant_id=wanted.grant_id,
        amount_fen=wanted.amount_fen,
    )


async def hold(writer: Writer, wanted: Hold, *, now: datetime) -> None:
    """Keep credit for an order, that which expires first; an expiry later does not touch it.

    Raises:
        CreditTooLow: and the transaction must end without commit.
        CreditNotHeld: this hold was released already.
        IdempotencyConflict: the id is known with other content.
    """
    fields = {name: getattr(wanted, name) for name in Hold.__slots__}
    if not await writer.run(_HOLD, fields):
        known = await writer.first(_HELD, fields)
        _require_same(known, fields)
        if known is not None and known.state == "released":
            raise CreditNotHeld
        return
    spendable = await writer.all(_SPENDABLE, fields | {"now": now, "limit": GRANTS_MAX})
    left = [Part(source=row.grant_id, amount_fen=row.left_fen) for row in spendable]
    for line, part in enumerate(credit.take(left, wanted.amount_fen)):
        taken = {"grant_id": part.source, "fen": part.amount_fen}
        await writer.run(_TAKE, taken)
        await writer.run(_PART, taken | {"hold_id": wanted.hold_id, "line": line})


async def capture(writer: Writer, hold_id: str) -> Journal:
    """Spend what is held; raises CreditNotHeld after a release, NotFound."""
    held = await _lock(writer, hold_id)
    if held.state == "released":
        raise CreditNotHeld
    await writer.run(_STATE, {"hold_id": hold_id, "state": "captured"})
    return journal(
        "credit_spent",
        site_id=held.site_id,
        customer_id=held.customer_id,
        order_id=held.order_id,
        hold_id=hold_id,
        amount_fen=held.amount_fen,
    )


async def release_if_held(writer: Writer, hold_id: str) -> None:
    """Give back what is held, to the grants it came from; nothing if it was never held, or spent.

    What has expired meanwhile is the next `expire`'s.
    """
    held = await writer.first(_LOCKED, {"hold_id": hold_id})
    if held is None or held.state != "held":
        return
    await writer.run(_STATE, {"hold_id": hold_id, "state": "released"})
    for part in await writer.all(_PARTS, {"hold_id": hold_id}):
        await writer.run(_GIVE, {"grant_id": part.grant_id, "fen": part.amount_fen})


async def refund(
    writer: Writer,
    wanted: Refund,
    *,
    payer: str,
    merchant_id: str = "",
    now: datetime,
    renewed_until: datetime,
) -> Journal:
    """Give spent credit back to its grants, those that live longest first.

    Where a grant has expired, a new one until `renewed_until` takes its place. `payer` is an
    account of the chart; `merchant_id` whose it is if it is a merchant's.

    Raises:
        CreditNotHeld: it was never spent.
        CreditRefundTooMuch: more than was spent and has not gone back yet.
        IdempotencyConflict: the id is known with other content.
        NotFound: there is no such hold.
    """
    held = await _lock(writer, wanted.hold_id)
    fields = {name: getattr(wanted, name) for name in Refund.__slots__}
    known = await writer.first(_REFUNDED, fields)
    if known is not None:
        _require_same(known, fields)
    elif held.state != "captured":
        raise CreditNotHeld
    else:
        await _give_back(writer, held, wanted, now=now, renewed_until=renewed_until)
    return journal(
        "credit_refunded",
        site_id=held.site_id,
        customer_id=held.customer_id,
        order_id=held.order_id,
        refund_id=wanted.refund_id,
        payer=payer,
        merchant_id=merchant_id,
        amount_fen=wanted.amount_fen,
    )


async def expire(writer: Writer, *, now: datetime) -> Sequence[Journal]:
    """End what is left of grants whose time is over, at most EXPIRY_PAGE; ask until none is."""
    return [
        journal(
            "credit_expired",
            site_id=row.site_id,
            customer_id=row.customer_id,
            order_id=row.order_id,
            grant_id=row.grant_id,
            times=str(row.expired_fen),
            amount_fen=row.left_fen,
        )
        for row in await writer.all(_EXPIRE, {"now": now, "limit": EXPIRY_PAGE})
    ]


async def _give_back(
    writer: Writer, held: Row[Any], wanted: Refund, *, now: datetime, renewed_until: datetime
) -> None:
    fields = {name: getattr(wanted, name) for name in Refund.__slots__}
    parts = {str(part.line): part for part in reversed(await writer.all(_PARTS, fields))}
    spent = [
        Part(source=line, amount_fen=part.amount_fen - part.refunded_fen)
        for line, part in parts.items()
    ]
    try:
        shares = credit.take(spent, wanted.amount_fen)
    except CreditTooLow as error:
        raise CreditRefundTooMuch from error
    await writer.run(_REFUND, fields)
    for share in shares:
        part, fen = parts[share.source], share.amount_fen
        await writer.run(_PART_REFUNDED, {"hold_id": wanted.hold_id, "line": part.line, "fen": fen})
        if part.expires_at > now:
            await writer.run(_GIVE, {"grant_id": part.grant_id, "fen": fen})
            continue
        # Under the order of the grant it renews: that one's funding is undone if it expires.
        renewed = {
            "grant_id": f"{wanted.refund_id}/{part.line}",
            "site_id": held.site_id,
            "customer_id": held.customer_id,
            "order_id": part.order_id,
            "reason": "refund_of_expired",
            "granted_by": "",
            "amount_fen": fen,
            "expires_at": renewed_until,
        }
        await writer.run(_GRANT, renewed)


async def _lock(writer: Writer, hold_id: str) -> Row[Any]:
    held = await writer.first(_LOCKED, {"hold_id": hold_id})
    if held is None:
        raise NotFound
    return held


def _require_same(known: Row[Any] | None, fields: dict[str, Any]) -> None:
    """A key belongs to one content."""
    if known is None or any(getattr(known, name) != value for name, value in fields.items()):
        raise IdempotencyConflict
