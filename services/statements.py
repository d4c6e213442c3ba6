"""对账单: what an account opened with, moved and closed with in any time; kept figures of days.

Times are half-open, [since, until): what one statement closes with, the next opens with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text

from domain import books
from domain.errors import NotFound
from domain.ledger import CURRENCY
from domain.reconciliation import span
from services.db import Reader, Writer


class Party(StrEnum):
    """Whose statement it is."""

    MERCHANT = "merchant"
    """商家: what is payable to them."""
    RIDER = "rider"
    """骑手: what is payable to them."""
    CHANNEL = "channel"
    """渠道收款方: a channel account, by its id; what the channel holds for it."""
    ACCOUNT = "account"
    """科目: any account of the site, by its code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whose:
    """An account of the books and whose it is."""

    site_id: str
    party: Party
    party_id: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An account's time in figures, fen on its normal side: opening + in - out = closing."""

    opening_fen: int
    in_fen: int
    out_fen: int
    closing_fen: int
    lines: int


Place = tuple[datetime, int, int]
"""Where a page ended: a line's time, journal and number in it."""

_KNOWN = {
    Party.MERCHANT: text("""
SELECT merchant_id FROM merchants WHERE site_id = :site_id AND merchant_id = :id
"""),
    Party.RIDER: text("SELECT rider_id FROM riders WHERE site_id = :site_id AND rider_id = :id"),
    Party.CHANNEL: text("""
SELECT channel, mchid FROM channel_accounts WHERE site_id = :site_id AND account_id = :id
"""),
    Party.ACCOUNT: text("""
SELECT code FROM ledger_accounts
WHERE site_id = :site_id AND code = :id AND currency = :currency
"""),
}
_FIGURES = """
SELECT CASE a.normal_side WHEN 'D' THEN before ELSE -before END AS opening_fen,
  CASE a.normal_side WHEN 'D' THEN m.debit_fen ELSE m.credit_fen END AS in_fen,
  CASE a.normal_side WHEN 'D' THEN m.credit_fen ELSE m.debit_fen END AS out_fen,
  m.lines{more}
FROM ledger_accounts a
CROSS JOIN LATERAL ledger_movement(a.site_id, a.code, a.currency, :since, :until) m
CROSS JOIN LATERAL ledger_balance(a.site_id, a.code, a.currency, :since) before
WHERE a.site_id = :site_id AND a.currency = :currency
"""
_STATEMENT = text(_FIGURES.format(more="") + "AND a.code = :account")
_LINES = text("""
SELECT e.posted_at AS at, e.journal_id, e.line, j.event, j.key, j.order_id,
  CASE WHEN e.side = a.normal_side THEN e.amount_fen ELSE 0 END AS in_fen,
  CASE WHEN e.side = a.normal_side THEN 0 ELSE e.amount_fen END AS out_fen,
  coalesce(p.transaction_id, r.refund_id, l.transfer_id, nullif(s.gateway_number, ''),
    s.out_order_no, nullif(b.gateway_number, ''), b.out_return_no, kept.transaction_id, '')
    AS gateway_number
FROM (
  SELECT * FROM ledger_entries
  WHERE site_id = :site_id AND account = :account AND currency = :currency
    AND posted_at >= :at AND posted_at < :until
    AND (posted_at, journal_id, line) > (:at, :journal_id, :line)
  ORDER BY posted_at, journal_id, line LIMIT :limit
) e
JOIN ledger_accounts a ON (a.site_id, a.code, a.currency) = (e.site_id, e.account, e.currency)
JOIN ledger_journals j ON j.id = e.journal_id
LEFT JOIN payment_attempts p
  ON split_part(j.key, '/', 1) = 'payment' AND p.out_trade_no = split_part(j.key, '/', 2)
LEFT JOIN refunds r
  ON split_part(j.key, '/', 1) = 'refund' AND r.out_refund_no = split_part(j.key, '/', 2)
LEFT JOIN payout_lines l
  ON split_part(j.key, '/', 1) = 'payout' AND l.line_id = split_part(j.key, '/', 2)
LEFT JOIN splits s
  ON split_part(j.key, '/', 1) = 'split' AND s.out_order_no = split_part(j.key, '/', 2)
LEFT JOIN split_returns b
  ON split_part(j.key, '/', 1) = 'split' AND b.out_return_no = split_part(j.key, '/', 2)
LEFT JOIN LATERAL (SELECT transaction_id FROM payment_attempts k
  WHERE j.order_id <> '' AND k.order_id = j.order_id AND k.state = 'paid'
    AND k.purpose = 'order' LIMIT 1) kept ON true
ORDER BY e.posted_at, e.journal_id, e.line
""")
_DAY_LOCK = text("SELECT pg_advisory_xact_lock(ledger_day_lock(:site_id, :since))")
_KEEP = text(
    "WITH found AS ("
    + _FIGURES.format(more=", m.sha256, a.code")
    + """
  AND (a.code LIKE 'merchant\\:%\\:payable' OR a.code LIKE 'rider\\:%\\:payable')
  AND m.lines > 0
)
INSERT INTO statements (site_id, party, party_id, day, opening_fen, in_fen, out_fen, closing_fen,
  lines, sha256)
SELECT :site_id, split_part(code, '\\:', 1), substring(code FROM '\\:(.*)\\:'), :day,
  opening_fen, in_fen, out_fen, opening_fen + in_fen - out_fen, lines, sha256
FROM found ON CONFLICT DO NOTHING
"""
)
_KEPT = text("""
SELECT day, opening_fen, in_fen, out_fen, closing_fen, lines, sha256, kept_at FROM statements
WHERE site_id = :site_id AND party = :party AND party_id = :party_id
  AND (:before = '' OR day < :before)
ORDER BY day DESC LIMIT :limit
""")
_SITE = text("SELECT site_id FROM sites WHERE site_id > :after ORDER BY site_id LIMIT 1")


async def whose(reader: Reader, site_id: str, party: Party, party_id: str) -> Whose:
    """The account of a party of the site; raises NotFound."""
    row = await reader.first(
        _KNOWN[party], {"site_id": site_id, "id": party_id, "currency": CURRENCY}
    )
    if row is None:
        raise NotFound("the site has no such party")
    code = party_id
    if party is not Party.ACCOUNT:
        kind = "clearing" if party is Party.CHANNEL else party.value
        code = books.account(kind, **row._mapping).code  # noqa: SLF001
    return Whose(site_id=site_id, party=party, party_id=party_id, account=code)


async def statement(reader: Reader, who: Whose, since: datetime, until: datetime) -> Statement:
    """The figures of a time; a party that has never had an account moved nothing."""
    row = await reader.first(_STATEMENT, _named(who) | {"since": since, "until": until})
    if row is None:
        return Statement(opening_fen=0, in_fen=0, out_fen=0, closing_fen=0, lines=0)
    return Statement(
        **row._mapping,  # noqa: SLF001
        closing_fen=row.opening_fen + row.in_fen - row.out_fen,
    )


async def lines(
    reader: Reader,
    who: Whose,
    since: datetime,
    until: datetime,
    *,
    after: Place | None = None,
    limit: int,
) -> Sequence[Row[Any]]:
    """A page of a time's lines, oldest first.

    Each with time, event, journal, order, the gateway's number (of what the journal is about, else
    of the payment its order kept; ours of a share where the gateway gives none; empty where no
    gateway was), in and out.
    """
    at, journal_id, line = max(after, (since, 0, 0)) if after else (since, 0, 0)
    page = {"at": at, "journal_id": journal_id, "line": line, "limit": limit}
    return await reader.all(_LINES, _named(who) | {"until": until} | page)


async def keep_day(writer: Writer, site_id: str, day: date) -> int:
    """Keep the figures of each merchant and rider who moved on a day that is over; how many new.

    Waits for whoever still posts into that day.
    """
    since, until = span(day)
    time = {"site_id": site_id, "since": since, "until": until}
    await writer.run(_DAY_LOCK, time)
    return await writer.run(_KEEP, time | {"currency": CURRENCY, "day": str(day)})


async def kept(reader: Reader, who: Whose, *, before: str = "", limit: int) -> Sequence[Row[Any]]:
    """A party's kept days, newest first, before an ISO day."""
    named = {"site_id": who.site_id, "party": who.party, "party_id": who.party_id}
    return await reader.all(_KEPT, named | {"before": before, "limit": limit})


async def next_site(reader: Reader, after: str) -> str:
    """The site after one, by id; empty after the last."""
    return await reader.scalar(_SITE, {"after": after}) or ""


def _named(who: Whose) -> dict[str, str]:
    return {"site_id": who.site_id, "account": who.account, "currency": CURRENCY}
