"""Disputes at channels (投诉, 拒付): each is a ticket, and what a bank took back is booked."""

from sqlalchemy import text

from domain.books import journal
from domain.channels import DisputeNotice
from services import ledger, payments, tickets
from services.db import Writer
from services.events import dumps
from services.payments import Paying

DECISIONS = {"won": "dispute_won", "lost": "dispute_lost"}
"""How a dispute that took money can end, and what is booked."""

_HEARD = text("""
UPDATE tickets SET data = data || CAST(:data AS jsonb)
WHERE ticket_id = :ticket_id AND data ->> 'state' NOT IN ('won', 'lost', 'closed')
""")


async def heard(writer: Writer, account_id: str, notice: DisputeNotice) -> None:
    """Keep what a channel says of a dispute; a repeat or an older notice changes nothing.

    Raises:
        NotFound: this payee has no such payment.
    """
    about = await payments.disputed(
        writer,
        account_id,
        out_trade_no=notice.out_trade_no,
        transaction_id=notice.transaction_id,
    )
    data = {
        "dispute_id": notice.dispute_id,
        "channel": about.channel,
        "state": notice.state,
        "out_trade_no": about.out_trade_no,
        "amount_fen": notice.amount_fen,
        "due_at": notice.due_at,
        **notice.data,
    }
    ticket_id = await tickets.open_ticket(
        writer,
        site_id=about.site_id,
        order_id=about.order_id,
        kind="complaint" if notice.kind == "complaint" else "dispute",
        key=f"dispute:{notice.dispute_id}",
        data=data,
        due_at=notice.due_at,
    )
    await writer.run(_HEARD, {"ticket_id": ticket_id, "data": dumps(data)})
    if notice.taken_fen:
        await _book(writer, about, notice)


async def _book(writer: Writer, about: Paying, notice: DisputeNotice) -> None:
    """What was taken, and once it is decided who has it; its start may never have been told."""
    for event in ("dispute_opened", DECISIONS.get(notice.state)):
        if event is not None:
            await ledger.post(
                writer,
                journal(
                    event,
                    site_id=about.site_id,
                    order_id=about.order_id,
                    channel=about.channel,
                    mchid=about.mchid,
                    dispute_id=notice.dispute_id,
                    amount_fen=notice.taken_fen,
                ),
            )
