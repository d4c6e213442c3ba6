"""Support's gifts of credit: given at once within a day's caps, above them by a second person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain.errors import ActionNotAllowed, NotFound
from domain.payouts import SecondPersonNeeded
from services import credit, ledger, tickets
from services.credit import Grant
from services.db import Reader, Writer

GIVEN, PROPOSED, DECLINED = "given", "proposed", "declined"

# The site's row is locked: one gift after the other sees what its day has left.
_DAY = text("""
SELECT to_char(now() AT TIME ZONE time_zone, 'YYYY-MM-DD') AS day FROM sites
WHERE site_id = :site_id FOR NO KEY UPDATE
""")
_CUSTOMER = text("""
SELECT FROM customers WHERE site_id = :site_id AND customer_id = :customer_id
""")
_SPENT = text("""
SELECT coalesce(sum(amount_fen) FILTER (WHERE proposed_by = :actor), 0)::bigint AS by_one_fen,
  coalesce(sum(amount_fen) FILTER (WHERE customer_id = :customer_id), 0)::bigint AS to_one_fen
FROM credit_gifts
WHERE site_id = :site_id AND business_day = :day AND state = 'given' AND decided_by = ''
""")
_ADD = text("""
INSERT INTO credit_gifts (grant_id, site_id, customer_id, business_day, amount_fen, reason,
  expires_at, state, proposed_by)
VALUES (:grant_id, :site_id, :customer_id, :day, :amount_fen, :reason, :expires_at, :state, :actor)
""")
_ONE = text("SELECT * FROM credit_gifts WHERE grant_id = :grant_id AND site_id = :site_id")
_LOCK = text("""
SELECT * FROM credit_gifts WHERE grant_id = :grant_id AND site_id = :site_id FOR UPDATE
""")
_DECIDE = text("""
UPDATE credit_gifts SET state = :state, decided_by = :actor, decided_at = now()
WHERE grant_id = :grant_id
""")
_PAGE = text("""
SELECT * FROM credit_gifts WHERE site_id = :site_id AND (:state = '' OR state = :state)
AND (proposed_at, grant_id) < (:at, :id) ORDER BY proposed_at DESC, grant_id DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What one person may give by themselves, fen."""

    once_fen: int
    supporter_day_fen: int
    """All that one of support gives in a business day."""
    customer_day_fen: int
    """All that one customer is given in a business day, by whomever."""


async def give(writer: Writer, wanted: Grant, caps: Caps) -> Row[Any]:
    """Give it, or propose it to a second person; a repeat of its id finds the gift.

    Raises:
        NotFound: the site has no such customer.
    """
    named = {"site_id": wanted.site_id, "customer_id": wanted.customer_id}
    day = await writer.scalar(_DAY, named)
    if day is None or await writer.first(_CUSTOMER, named) is None:
        raise NotFound("there is no such customer")
    named |= {"grant_id": wanted.grant_id, "actor": wanted.granted_by, "day": day}
    known = await writer.first(_ONE, named)
    if known is not None:
        return known
    spent = await writer.first(_SPENT, named)
    assert spent is not None  # noqa: S101 - sums
    alone = (
        wanted.amount_fen <= caps.once_fen
        and spent.by_one_fen + wanted.amount_fen <= caps.supporter_day_fen
        and spent.to_one_fen + wanted.amount_fen <= caps.customer_day_fen
    )
    gift = {"amount_fen": wanted.amount_fen, "expires_at": wanted.expires_at}
    gift |= {"reason": wanted.reason, "state": GIVEN if alone else PROPOSED}
    await writer.run(_ADD, named | gift)
    if alone:
        await ledger.post(writer, await credit.grant(writer, wanted))
    else:
        await tickets.open_ticket(
            writer,
            site_id=wanted.site_id,
            order_id="",
            kind="gift",
            key=f"gift/{wanted.grant_id}",
            data={"grant_id": wanted.grant_id, "amount_fen": wanted.amount_fen},
        )
    return await read(writer, wanted.site_id, wanted.grant_id)


async def decide(
    writer: Writer, *, site_id: str, grant_id: str, actor: str, approve: bool, now: datetime
) -> Row[Any]:
    """A second person gives it or declines; the same decision again changes nothing.

    Raises:
        SecondPersonNeeded: they proposed it themselves.
        ActionNotAllowed: it is decided already, or it would have expired.
        NotFound: the site has no such gift.
    """
    gift = await writer.first(_LOCK, {"grant_id": grant_id, "site_id": site_id})
    if gift is None:
        raise NotFound("there is no such gift")
    after = GIVEN if approve else DECLINED
    if gift.state == after and gift.decided_by == actor:
        return gift
    if gift.state != PROPOSED:
        raise ActionNotAllowed(f"the gift is {gift.state} already", state=gift.state)
    if gift.proposed_by == actor:
        raise SecondPersonNeeded("another person decides about a gift")
    if approve:
        if gift.expires_at <= now:
            raise ActionNotAllowed("it would have expired", state=gift.state)
        wanted = Grant(
            grant_id=grant_id,
            site_id=site_id,
            customer_id=gift.customer_id,
            reason=gift.reason,
            amount_fen=gift.amount_fen,
            expires_at=gift.expires_at,
            granted_by=gift.proposed_by,
        )
        await ledger.post(writer, await credit.grant(writer, wanted))
    await writer.run(_DECIDE, {"grant_id": grant_id, "state": after, "actor": actor})
    return await read(writer, site_id, grant_id)


async def read(reader: Reader, site_id: str, grant_id: str) -> Row[Any]:
    """A gift of the site; raises NotFound."""
    row = await reader.first(_ONE, {"site_id": site_id, "grant_id": grant_id})
    if row is None:
        raise NotFound("there is no such gift")
    return row


async def page(
    reader: Reader, site_id: str, *, state: str, after: tuple[datetime, str] | None, limit: int
) -> Sequence[Row[Any]]:
    """Gifts of a site, newest first, beyond (proposed_at, grant_id); `state` empty: all."""
    at, grant_id = after or ("infinity", "")
    where = {"site_id": site_id, "state": state, "at": at, "id": grant_id, "limit": limit}
    return await reader.all(_PAGE, where)
