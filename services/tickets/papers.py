"""What people say and show about a ticket: encrypted under the key of whom it concerns."""

import hashlib
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import text

from domain import ids, tickets
from domain.errors import ActionNotAllowed, Invalid, NotFound
from domain.tickets import EVIDENCE_BYTES_MAX, EVIDENCE_MAX
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
SELECT subject, media_type, sealed FROM ticket_evidence
WHERE evidence_id = :evidence_id AND ticket_id = :ticket_id AND added_at IS NOT NULL
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
    media_type = tickets.photo_type(content)
    if media_type is None or len(content) > EVIDENCE_BYTES_MAX:
        raise Invalid(
            f"a photo is JPEG, PNG or WebP of at most {EVIDENCE_BYTES_MAX} bytes",
            most_bytes=EVIDENCE_BYTES_MAX,
        )
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
    row = await reader.first(_SHOW, {"ticket_id": ticket.ticket_id, "evidence_id": evidence_id})
    if row is not None:
        item = Item(ticket.site_id, row.subject, EVIDENCE, evidence_id)
        content = await personal.unseal(reader, item, bytes(row.sealed))
        if content is not None:
            return Photo(row.media_type, content)
    raise NotFound("there is no such photo")
