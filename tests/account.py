"""A channel account for tests, and what we know of its days as real rows."""

from sqlalchemy import insert

from domain import books, ids
from domain.ledger import Journal, Posting, Side
from domain.reconciliation import Record
from services import ledger, tables
from services.db import Database
from services.reconciliation import Payee
from tests.bills import Town


async def open_account(database: Database, site_id: str) -> Payee:
    """A payee of WeChat's of this site, without keys."""
    who = Payee(
        account_id=f"{site_id}-payee",
        site_id=site_id,
        channel="wechat",
        mchid=f"m{site_id}",
        keys_ref="keys",
        merchant_id="m",
    )
    row = {name: getattr(who, name) for name in Payee.__slots__}
    async with database.write() as writer:
        await writer.run(insert(tables.channel_accounts).values(**row, appid="a"))
    return who


async def live(database: Database, who: Payee, made: Town) -> None:
    """Write what we know of a day: attempts, refunds and the ledger."""
    attempts = [_attempt(who, one) for one in made.records.values() if one.kind == "payment"]
    refunds = [_refund(who, one) for one in made.records.values() if one.kind == "refund"]
    ours = books.account("clearing", channel=who.channel, mchid=who.mchid)
    other = books.account("clearing", channel=who.channel, mchid=f"{who.mchid}-other")
    async with database.write() as writer:
        await writer.run(insert(tables.payment_attempts), attempts)
        if refunds:
            await writer.run(insert(tables.refunds), refunds)
        for (kind, number), entries in made.booked.items():
            for place, fen in enumerate(entries):
                sides = (Side.DEBIT, Side.CREDIT) if fen > 0 else (Side.CREDIT, Side.DEBIT)
                journal = Journal(
                    key=f"{kind}/{number}/{place}",
                    event="test",
                    site_id=who.site_id,
                    order_id=ids.order_of(number),
                    postings=(
                        Posting(account=ours, side=sides[0], amount_fen=abs(fen)),
                        Posting(account=other, side=sides[1], amount_fen=abs(fen)),
                    ),
                )
                await ledger.post(writer, journal)


def _attempt(who: Payee, one: Record) -> dict[str, object]:
    paid = one.state == "success"
    return {
        "out_trade_no": one.number,
        "site_id": who.site_id,
        "order_id": one.order_id,
        "attempt": 1,
        "account_id": who.account_id,
        "channel": who.channel,
        "method": "native",
        "amount_fen": one.amount_fen,
        "state": "paid" if paid else "opened",
        "transaction_id": one.name if paid else "",
        "expires_at": one.at,
        "paid_at": one.at if paid else None,
    }


def _refund(who: Payee, one: Record) -> dict[str, object]:
    return {
        "out_refund_no": one.number,
        "site_id": who.site_id,
        "order_id": one.order_id,
        "out_trade_no": ids.out_trade_no(one.order_id, 1),
        "account_id": who.account_id,
        "cause": one.number,
        "source": "held",
        "reason": "test",
        "amount_fen": one.amount_fen,
        "total_fen": one.amount_fen,
        "state": "success" if one.state == "success" else "abnormal",
        "refund_id": one.name,
        "ended_at": one.at,
    }
