"""Journals of days gone by: written as rows, since the ledger itself dates everything now."""

from datetime import datetime

from sqlalchemy import text

from domain.ledger import Journal, Keeping
from services.db import Writer

ACCOUNT = text("""
INSERT INTO ledger_accounts AS a
  (site_id, code, currency, normal_side, keeping, may_go_negative, balance_fen)
VALUES (:site_id, :code, 'CNY', :normal, :keeping, :may_go_negative, :fen)
ON CONFLICT (site_id, code, currency) DO UPDATE SET balance_fen = a.balance_fen + :fen
""")
JOURNAL = text("""
INSERT INTO ledger_journals
  (key, body_hash, outcome, event, order_id, site_id, currency, posted_at)
VALUES (:key, '', 'applied', :event, :order_id, :site_id, 'CNY', :at) RETURNING id
""")
ENTRY = text("""
INSERT INTO ledger_entries
  (journal_id, line, site_id, account, currency, side, amount_fen, posted_at)
VALUES (:id, :line, :site_id, :code, 'CNY', :side, :fen, :at)
""")


async def post_at(writer: Writer, journal: Journal, at: datetime) -> None:
    """Book a journal as if it had been posted then."""
    named = {"site_id": journal.site_id, "at": at, "key": journal.key, "event": journal.event}
    journal_id = await writer.scalar(JOURNAL, named | {"order_id": journal.order_id})
    for line, leg in enumerate(journal.postings, 1):
        account = leg.account
        change = leg.amount_fen if leg.side is account.normal else -leg.amount_fen
        row = named | {"code": account.code, "normal": account.normal, "keeping": account.keeping}
        row |= {"may_go_negative": account.may_go_negative}
        locked = account.keeping is Keeping.LOCKED
        await writer.run(ACCOUNT, row | {"fen": change if locked else None})
        entry = {"id": journal_id, "line": line, "side": leg.side, "fen": leg.amount_fen}
        await writer.run(ENTRY, row | entry)
