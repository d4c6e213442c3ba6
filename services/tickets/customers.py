"""What a customer complains about: a ticket of theirs and its first words, in one transaction."""

from sqlalchemy import text

from domain import ids
from domain.contracts.tickets import TicketStep
from domain.errors import ActionNotAllowed
from services import events
from services.db import Writer
from services.events import Stream
from services.tickets.changes import Entry, change, open_ticket
from services.tickets.papers import keep_message
from services.tickets.reads import Filter, Ticket, find

KIND = "customer"
OPEN_MAX = 5
"""Of one order at a time."""

_OTHERS = text("""
SELECT count(*) FROM tickets
WHERE order_id = :order_id AND kind = :kind AND state <> 'resolved' AND key <> :key
""")


async def complain(
    writer: Writer, stream: Stream, *, reason_code: str, words: str, request_id: str
) -> Ticket:
    """Open the customer's ticket about their order; a repeat of the request is the same ticket.

    Raises:
        ActionNotAllowed: the order has as many open ones as it may have.
    """
    await events.lock(writer, stream.order_id)
    key = f"{KIND}:{request_id}"
    named = {"order_id": stream.order_id, "kind": KIND, "key": key}
    if await writer.scalar(_OTHERS, named) >= OPEN_MAX:
        raise ActionNotAllowed(f"{OPEN_MAX} tickets of this order are open", most=OPEN_MAX)
    ticket_id = await open_ticket(
        writer,
        site_id=stream.site_id,
        order_id=stream.order_id,
        kind=KIND,
        key=key,
        customer_id=stream.customer_id,
        data={"reason_code": reason_code},
    )
    ticket = await find(writer, Filter(site_id=stream.site_id), ticket_id)
    message_id = ids.derive("message", str(ticket_id), request_id)
    await keep_message(writer, ticket, message_id=message_id, words=words)
    step = TicketStep(
        ticket_id=ticket_id,
        key=f"message:{message_id}",
        actor=f"customer:{stream.customer_id}",
        request_id=request_id,
        data={"message_id": message_id},
    )
    await change(writer, step, Entry.MESSAGE)
    return ticket
