"""What people say and show about a ticket: encrypted under the key of whom it concerns."""

import hashlib
from collections.abc import Collection
from typing import Any, NamedTuple

from sqlalchemy import Row, text

from domain import ids, tickets
from domain.errors import ActionNotAllowed, Invalid, NotFound
from domain.tickets import EVIDENCE_MAX
from services import personal
from services.db import Reader, Writer
from services.personal import Item
from services.tickets.reads import Ticket

MESSAGE = "ticket_message"
EVIDENCE = "ticket_evidence"


class Photo(NamedTuple):
    """A photo as it was sent."""

    media_type: str
    content: bytes


_FULL = text("""
SELECT count(*) >= :most FROM ticket_evidence
WHERE ticket_id = :ticket_id AND added_at IS NOT NULL AND evidence_id <> :evidence_id
""")
_KEEP = text("""
INSERT INTO ticket_evidence (evidence_id, site_id, ticket_id, subject, media_type, sealed)
VALUES (:evidence_id, :site_id, :ticket_id, :subject, :media_type, :sealed)
ON CONFLICT (evidence_id) DO NOTHING
""")
_DROP = text("DELETE FROM ticket_evidence WHERE evidence_id = :evidence_id AND added_at IS NULL")
_SHOW = text("""
SELECT site_id, subject, media_type, sealed FROM ticket_evidence
WHERE evidence_id = :evidence_id AND ticket_id = :ticket_id AND added_at IS NOT NULL
""")


_ARE_SHOWN = text("""
SELECT count(*) FROM ticket_evidence e JOIN tickets t USING (ticket_id)
WHERE t.order_id = :order_id AND t.customer_id = :customer_id
AND e.evidence_id = ANY(:evidence_ids) AND e.added_at IS NOT NULL
""")
_OF_ORDER = text("""
SELECT e.site_id, e.subject, e.media_type, e.sealed
FROM ticket_evidence e JOIN tickets t USING (ticket_id)
WHERE t.order_id = :order_id AND e.evidence_id = :evidence_id AND e.added_at IS NOT NULL
""")


async def keep_message(writer: Writer, ticket: Ticket, *, message_id: str, words: str) -> None:
    """Keep what somebody wrote; the ticket's entry names it by its id."""
    item = Item(ticket.site_id, ticket.subject, MESSAGE, message_id)
    await personal.put(writer, **item._asdict(), value={"text": words})


async def messages(reader: Reader, ticket: Ticket, message_ids: Collection[str]) -> dict[str, str]:
    """By id the words that there are; erased ones are left out."""
    items = [Item(ticket.site_id, ticket.subject, MESSAGE, one) for one in message_ids]
    found = await personal.get_many(reader, items)
    return {item.ref: str(value["text"]) for item, value in found.items()}


async def keep_evidence(writer: Writer, ticket: Ticket, content: bytes) -> str:
    """Keep a photo; the same photo of the same ticket is kept once. Its id.

    Raises:
        Invalid: no photo by its content, or too large.
        ActionNotAllowed: the ticket has all the photos it may have.
    """
    media_type = tickets.ensure_photo(content)
    digest = hashlib.sha256(content).hexdigest()
    evidence_id = ids.derive("evidence", str(ticket.ticket_id), digest)
    named = {"ticket_id": ticket.ticket_id, "evidence_id": evidence_id}
    if await writer.scalar(_FULL, named | {"most": EVIDENCE_MAX}):
        raise ActionNotAllowed(f"a ticket has at most {EVIDENCE_MAX} photos", most=EVIDENCE_MAX)
    item = Item(ticket.site_id, ticket.subject, EVIDENCE, evidence_id)
    sealed = await personal.seal(writer, item, content)
    kept = {"site_id": ticket.site_id, "subject": ticket.subject}
    await writer.run(_KEEP, named | kept | {"media_type": media_type, "sealed": sealed})
    return evidence_id


async def drop_evidence(writer: Writer, evidence_id: str) -> None:
    """Forget a photo that did not become part of its ticket."""
    await writer.run(_DROP, {"evidence_id": evidence_id})


async def evidence(reader: Reader, ticket: Ticket, evidence_id: str) -> Photo:
    """One of the ticket's photos; raises NotFound, also once its person was erased."""
    named = {"ticket_id": ticket.ticket_id, "evidence_id": evidence_id}
    return await _photo(reader, await reader.first(_SHOW, named), evidence_id)


async def evidence_of_order(reader: Reader, order_id: str, evidence_id: str) -> Photo:
    """A photo of any ticket of an order; raises NotFound, also once its person was erased."""
    named = {"order_id": order_id, "evidence_id": evidence_id}
    return await _photo(reader, await reader.first(_OF_ORDER, named), evidence_id)


async def ensure_shown(
    reader: Reader, order_id: str, customer_id: str, evidence_ids: Collection[str]
) -> None:
    """Refuse names of what is no photo that this customer has shown of this order: Invalid."""
    wanted = set(evidence_ids)
    named = {"order_id": order_id, "customer_id": customer_id, "evidence_ids": list(wanted)}
    if wanted and await reader.scalar(_ARE_SHOWN, named) < len(wanted):
        raise Invalid("evidence names photos of the order's own tickets", field="evidence")


async def _photo(reader: Reader, row: Row[Any] | None, evidence_id: str) -> Photo:
    if row is not None:
        item = Item(row.site_id, row.subject, EVIDENCE, evidence_id)
        content = await personal.unseal(reader, item, bytes(row.sealed))
        if content is not None:
            return Photo(row.media_type, content)
    raise NotFound("there is no such photo")
