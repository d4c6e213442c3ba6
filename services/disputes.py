"""Disputes at channels (投诉, 拒付): each is a ticket, and what a bank took back is booked."""

from sqlalchemy import text

from domain.books import journal
from domain.channels import DisputeNotice
from services import events, ledger, payments, tickets
from services.db import Writer
from services.events import dumps
from services.ledger import Posted
from services.payments import Paying

DECISIONS = {"won": "dispute_won", "lost": "dispute_lost"}
"""How a dispute that took money can end, and what is booked."""

_SETTLED = text("""
SELECT EXISTS (SELECT FROM settlements WHERE order_id = :order_id AND ended_at IS NOT NULL)
""")
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
        await events.lock(writer, about.order_id)
        await _book(writer, about, notice)


async def _book(writer: Writer, about: Paying, notice: DisputeNotice) -> None:
    """What was taken, and once it is decided who has it; its start may never have been told.

    Of an order that is settled the bank takes the merchant's money: it is owed to them again, and
    theirs once it is back.
    """
    settled = await writer.scalar(_SETTLED, {"order_id": about.order_id})
    opened = await _post(writer, "dispute_opened", about, notice)
    if settled and opened.status == "applied":
        await _post(writer, "merchant_returned", about, notice)
    decided = DECISIONS.get(notice.state)
    if decided is None:
        return
    ended = await _post(writer, decided, about, notice)
    if settled and ended.status == "applied" and decided == "dispute_won":
        received = await _post(writer, "dispute_received", about, notice)
        if received.status == "declined":
            # They were paid otherwise meanwhile: what came back is the platform's.
            await _post(writer, "dispute_owed", about, notice)


async def _post(writer: Writer, event: str, about: Paying, notice: DisputeNotice) -> Posted:
    return await ledger.post(
        writer,
        journal(
            event,
            site_id=about.site_id,
            order_id=about.order_id,
            merchant_id=about.merchant_id,
            channel=about.channel,
            mchid=about.mchid,
            dispute_id=notice.dispute_id,
            reference=f"dispute/{notice.dispute_id}",
            amount_fen=notice.taken_fen,
        ),
    )
