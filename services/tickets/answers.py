"""What a dispute's channel has yet to hear of its ticket: the words of our desks, and its end."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from services import personal
from services.db import Reader, Writer
from services.personal import Item
from services.tickets.papers import MESSAGE

PAGE_ROWS = 200

_WAITING = text("""
SELECT DISTINCT ticket_id FROM ticket_entries WHERE channel_heard = 'waiting'
ORDER BY ticket_id LIMIT :limit
""")
_NEXT = text("""
SELECT e.id, e.kind, e.data ->> 'message_id' AS message_id, t.ticket_id, t.site_id, t.order_id,
  t.data ->> 'dispute_id' AS dispute_id, t.data ->> 'state' AS state, c.channel, c.keys_ref,
  coalesce('customer:' || s.customer_id, 'ticket:' || t.ticket_id) AS subject
FROM ticket_entries e JOIN tickets t USING (ticket_id)
JOIN payment_attempts a ON a.out_trade_no = t.data ->> 'out_trade_no'
JOIN channel_accounts c USING (account_id)
LEFT JOIN order_streams s ON s.order_id = t.order_id
WHERE e.ticket_id = :ticket_id AND e.channel_heard = 'waiting' ORDER BY e.id LIMIT 1
""")
_HEARD = text("UPDATE ticket_entries SET channel_heard = :heard WHERE id = :id")


async def unanswered(reader: Reader) -> Sequence[int]:
    """The oldest tickets of which a channel has yet to hear something."""
    return [row.ticket_id for row in await reader.all(_WAITING, {"limit": PAGE_ROWS})]


async def next_answer(reader: Reader, ticket_id: int) -> Row[Any] | None:
    """The first thing that the channel has yet to hear, its payee's keys, and the dispute."""
    return await reader.first(_NEXT, {"ticket_id": ticket_id})


async def words(reader: Reader, answer: Row[Any]) -> str | None:
    """What was written; None once it was erased."""
    item = Item(answer.site_id, answer.subject, MESSAGE, answer.message_id)
    found = await personal.get(reader, **item._asdict())
    return None if found is None else str(found["text"])


async def heard(writer: Writer, answer: Row[Any], *, refused: bool = False) -> None:
    """The channel has it, or will never take it."""
    await writer.run(_HEARD, {"id": answer.id, "heard": "refused" if refused else "told"})
