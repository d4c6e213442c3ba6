"""Channels' fees in the books: what a day's bill takes of each payment, and gives back."""

from collections.abc import Mapping

from domain import ids
from domain.books import journal
from domain.reconciliation import Key
from services import ledger
from services.db import Writer
from services.reconciliation.bills import Payee, booked_at


async def book_fees(writer: Writer, who: Payee, fees: Mapping[Key, int]) -> None:
    """Book each fee in fen of a day's bill, less what is booked of it; a repeat books nothing.

    Whoever calls holds the account's lock.
    """
    orders = {number: ids.order_of(number) for _, number in fees}
    booked = await booked_at(writer, who, "fees", set(orders.values()))
    for (kind, number), fee_fen in fees.items():
        before = booked.get((kind, number), ())
        more_fen = fee_fen + sum(before)
        if not more_fen:
            continue
        fee = journal(
            "channel_fee" if more_fen > 0 else "channel_fee_returned",
            site_id=who.site_id,
            order_id=orders[number],
            merchant_id=who.merchant_id,
            channel=who.channel,
            mchid=who.mchid,
            about=kind,
            number=number,
            times=str(len(before) + 1),
            amount_fen=abs(more_fen),
        )
        await ledger.post(writer, fee)
