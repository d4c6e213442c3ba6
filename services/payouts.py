"""Rows of payouts: proposed, decided by a second person, booked, ended line by line.

Riders and merchants are paid what they are owed. A line is on its way at most once: each has one
that is proposed or sent, its number is never used again, and each of its two journals has a key of
its own. What a channel's settlement is still to bring a merchant is no payout's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain import ids, payouts
from domain.books import account, journal
from domain.errors import ActionNotAllowed, NotFound
from domain.payouts import LINES_MAX, BatchState, LineState
from services import ledger
from services.db import Reader, Writer

OPEN_MAX = 200

_ACCOUNT = text("""
SELECT account_id FROM channel_accounts
WHERE site_id = :site_id AND channel = 'bank' AND merchant_id = ''
""")
_FREE = """
SELECT a.balance_fen - coalesce((SELECT sum(greatest(fen, 0)) FROM (
    SELECT sum(CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END) AS fen
    FROM settlements s JOIN ledger_journals j USING (site_id, order_id)
    JOIN ledger_entries e ON e.journal_id = j.id AND e.account = a.code
    WHERE s.site_id = m.site_id AND s.merchant_id = m.merchant_id AND s.ended_at IS NULL
    GROUP BY s.order_id) AS coming), 0)::bigint AS free_fen
FROM ledger_accounts a
WHERE a.site_id = m.site_id AND a.code = 'merchant\\:' || m.merchant_id || '\\:payable'
"""
_OWED_WHERE_FREE = """
SELECT * FROM (
  SELECT r.site_id, r.rider_id, '' AS merchant_id, r.payee, a.balance_fen AS amount_fen,
    0 AS set_off_fen
  FROM riders r JOIN ledger_accounts a
    ON a.site_id = r.site_id AND a.code = 'rider\\:' || r.rider_id || '\\:payable'
  WHERE r.site_id = :site_id
  UNION ALL
  SELECT m.site_id, '', m.merchant_id, m.payee, free_fen - coalesce(o.balance_fen, 0),
    coalesce(o.balance_fen, 0)
  FROM merchants m CROSS JOIN LATERAL ({free}) AS free
  LEFT JOIN ledger_accounts o
    ON o.site_id = m.site_id AND o.code = 'merchant\\:' || m.merchant_id || '\\:owes'
  WHERE m.site_id = :site_id
) AS owed
WHERE payee <> '' AND amount_fen >= :minimum_fen
  AND NOT EXISTS (SELECT FROM payout_lines l WHERE l.state IN ('proposed', 'sent')
    AND (l.site_id, l.rider_id, l.merchant_id)
      = (owed.site_id, owed.rider_id, owed.merchant_id))
ORDER BY amount_fen DESC, rider_id, merchant_id LIMIT :limit
"""
_OWED = text(_OWED_WHERE_FREE.format(free=_FREE))
_LOCK_PAYABLE = text("""
SELECT FROM ledger_accounts WHERE site_id = :site_id AND code = :code FOR UPDATE
""")
_ONE_WHERE_FREE = """
SELECT free_fen FROM merchants m CROSS JOIN LATERAL ({free}) AS free
WHERE m.site_id = :site_id AND m.merchant_id = :merchant_id
"""
_FREE_OF_ONE = text(_ONE_WHERE_FREE.format(free=_FREE))
_PROPOSE = text("""
INSERT INTO payout_batches (batch_id, site_id, account_id, proposed_by)
VALUES (:batch_id, :site_id, :account_id, :actor) ON CONFLICT DO NOTHING
""")
_LINE = text("""
INSERT INTO payout_lines (line_id, site_id, batch_id, rider_id, merchant_id, payee, amount_fen,
  set_off_fen)
VALUES (:line_id, :site_id, :batch_id, :rider_id, :merchant_id, :payee, :amount_fen, :set_off_fen)
ON CONFLICT DO NOTHING
""")
_BATCH = """
SELECT b.batch_id, b.site_id, b.account_id, b.state, b.proposed_by, b.decided_by, b.proposed_at,
  b.decided_at, b.ended_at, (SELECT count(*) FROM payout_lines l WHERE l.batch_id = b.batch_id)
    AS lines, (SELECT coalesce(sum(amount_fen), 0)::bigint FROM payout_lines l
    WHERE l.batch_id = b.batch_id AND l.state <> 'dropped') AS amount_fen
FROM payout_batches b
"""
_ONE = text(_BATCH + "WHERE b.batch_id = :batch_id AND b.site_id = :site_id")
_PAGE = text(
    _BATCH
    + """WHERE b.site_id = :site_id AND (:state = '' OR b.state = :state)
AND (b.proposed_at, b.batch_id) < (:at, :id) ORDER BY b.proposed_at DESC, b.batch_id DESC
LIMIT :limit"""
)
_LOCK = text("SELECT * FROM payout_batches WHERE batch_id = :batch_id FOR UPDATE")
_DECIDE = text("""
UPDATE payout_batches SET state = :state, decided_by = :actor, decided_at = now(),
  ended_at = CASE WHEN :state = 'declined' THEN now() END
WHERE batch_id = :batch_id
""")
_DROP_ALL = text("""
UPDATE payout_lines SET state = 'dropped', reason = 'declined', ended_at = now()
WHERE batch_id = :batch_id
""")
_LINES = text("""
SELECT line_id, rider_id, merchant_id, payee, amount_fen, set_off_fen, state, transfer_id, reason,
  ended_at
FROM payout_lines WHERE batch_id = :batch_id ORDER BY merchant_id, rider_id LIMIT :limit
""")
_BOOKED = text("""
UPDATE payout_lines SET state = :state, reason = :reason,
  ended_at = CASE WHEN :state = 'dropped' THEN now() END
WHERE line_id = :line_id
""")
_END = text("""
UPDATE payout_lines SET state = :state, transfer_id = :transfer_id, reason = :reason,
  ended_at = now()
WHERE line_id = :line_id AND batch_id = :batch_id AND state = 'sent'
RETURNING line_id, site_id, rider_id, merchant_id, amount_fen
""")
_MOVE_ON = text("""
UPDATE payout_batches b SET state = n.state,
  ended_at = CASE WHEN n.state = 'finished' THEN now() END
FROM (SELECT CASE WHEN EXISTS (SELECT FROM payout_lines
  WHERE batch_id = :batch_id AND state = 'sent') THEN 'sent' ELSE 'finished' END AS state) n
WHERE b.batch_id = :batch_id RETURNING b.state
""")
_ON_ITS_WAY = text("""
SELECT b.batch_id, b.site_id, b.state, b.decided_at, c.channel, c.keys_ref
FROM payout_batches b JOIN channel_accounts c USING (account_id) WHERE b.batch_id = :batch_id
""")
_OPEN = text("""
SELECT batch_id FROM payout_batches WHERE state IN ('approved', 'sent')
ORDER BY decided_at LIMIT :limit
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a line ended, for certain."""

    line_id: str
    paid: bool
    transfer_id: str = ""
    reason: str = ""
    """A code, where it was not paid."""


async def propose(
    writer: Writer, *, site_id: str, batch_id: str, actor: str, minimum_fen: int
) -> Row[Any]:
    """Propose to pay all that is owed to riders and merchants from `minimum_fen` on, most first.

    What a merchant owes is set off first. Who has no payee token, or a payout under way, is left
    out. A repeat of the id finds the batch.

    Raises:
        ActionNotAllowed: nobody is owed so much, or the site has no bank account of its own.
    """
    batch = {"batch_id": batch_id, "site_id": site_id, "actor": actor}
    account_id = await writer.scalar(_ACCOUNT, batch)
    if account_id is None:
        raise ActionNotAllowed("the site has no bank account of its own")
    if await writer.run(_PROPOSE, batch | {"account_id": account_id}):
        wanted = {"minimum_fen": max(minimum_fen, 1), "limit": LINES_MAX}
        added = 0
        for owed in await writer.all(_OWED, batch | wanted):
            line = dict(owed._mapping)  # noqa: SLF001
            party = ("rider", owed.rider_id) if owed.rider_id else ("merchant", owed.merchant_id)
            line["line_id"] = ids.payout_line(batch_id, *party)
            added += await writer.run(_LINE, batch | line)
        if not added:
            raise ActionNotAllowed("nobody is owed so much", minimum_fen=minimum_fen)
    return await read(writer, site_id, batch_id)


async def read(reader: Reader, site_id: str, batch_id: str) -> Row[Any]:
    """A batch of the site: its columns, how many lines, their sum; raises NotFound."""
    row = await reader.first(_ONE, {"batch_id": batch_id, "site_id": site_id})
    if row is None:
        raise NotFound
    return row


async def page(
    reader: Reader,
    site_id: str,
    *,
    state: str = "",
    after: tuple[datetime, str] | None = None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Batches of a site, newest first, beyond (proposed_at, batch_id); `state` empty: all."""
    at, batch_id = after or ("infinity", "")
    where = {"site_id": site_id, "state": state, "at": at, "id": batch_id, "limit": limit}
    return await reader.all(_PAGE, where)


async def lines(reader: Reader, batch_id: str) -> Sequence[Row[Any]]:
    """All lines of a batch, riders first."""
    return await reader.all(_LINES, {"batch_id": batch_id, "limit": LINES_MAX})


async def decide(
    writer: Writer, *, site_id: str, batch_id: str, actor: str, approve: bool
) -> Row[Any]:
    """A second person approves or declines; the same decision again changes nothing.

    Raises:
        SecondPersonNeeded: they proposed it themselves.
        ActionNotAllowed: it is decided already.
        NotFound: the site has no such batch.
    """
    batch = await _locked(writer, batch_id)
    if batch.site_id != site_id:
        raise NotFound
    if not payouts.decided(
        state=batch.state,
        proposed_by=batch.proposed_by,
        decided_by=batch.decided_by,
        actor=actor,
        approve=approve,
    ):
        state = BatchState.APPROVED if approve else BatchState.DECLINED
        await writer.run(_DECIDE, {"batch_id": batch_id, "state": state, "actor": actor})
        if not approve:
            await writer.run(_DROP_ALL, {"batch_id": batch_id})
    return await read(writer, site_id, batch_id)


async def book(writer: Writer, batch_id: str) -> str:
    """Take each line of an approved batch out of what its payee is owed; the batch's state.

    Who is no longer owed as much is dropped. Afterwards the lines never change, so that
    the bank always hears the same ones. A repeat changes nothing.
    """
    batch = await _locked(writer, batch_id)
    if batch.state != BatchState.APPROVED:
        return str(batch.state)
    for line in await lines(writer, batch_id):
        reason = await _book_line(writer, batch.site_id, line)
        state = LineState.DROPPED if reason else LineState.SENT
        await writer.run(_BOOKED, {"line_id": line.line_id, "state": state, "reason": reason})
    return str(await writer.scalar(_MOVE_ON, {"batch_id": batch_id}))


async def end(writer: Writer, batch_id: str, ends: Iterable[End]) -> tuple[str, list[End]]:
    """Book how lines ended, each once: the batch's state, and which have failed just now."""
    batch = await _locked(writer, batch_id)
    failed = []
    for one in ends:
        state = LineState.SUCCESS if one.paid else LineState.FAILED
        fields = {name: getattr(one, name) for name in ("line_id", "transfer_id", "reason")}
        row = await writer.first(_END, fields | {"batch_id": batch_id, "state": state})
        if row is None:
            continue
        party = "rider" if row.rider_id else "merchant"
        event = "payout_settled" if one.paid else f"{party}_payout_failed"
        await ledger.post(writer, journal(event, **row._mapping))  # noqa: SLF001
        if not one.paid:
            failed.append(one)
    if batch.state == BatchState.SENT:
        return str(await writer.scalar(_MOVE_ON, {"batch_id": batch_id})), failed
    return str(batch.state), failed


async def on_its_way(reader: Reader, batch_id: str) -> Row[Any]:
    """A batch with its payer at the bank: site, state, when decided, channel, keys' reference."""
    row = await reader.first(_ON_ITS_WAY, {"batch_id": batch_id})
    if row is None:
        raise NotFound
    return row


async def open_batches(reader: Reader) -> list[str]:
    """Batches that are approved and not finished, the oldest first."""
    return [row.batch_id for row in await reader.all(_OPEN, {"limit": OPEN_MAX})]


async def _locked(writer: Writer, batch_id: str) -> Row[Any]:
    row = await writer.first(_LOCK, {"batch_id": batch_id})
    if row is None:
        raise NotFound
    return row


async def _book_line(writer: Writer, site_id: str, line: Row[Any]) -> str:
    """Book a line as sent; why not, else empty."""
    sent = journal(
        "rider_payout_sent" if line.rider_id else "merchant_payout_sent",
        site_id=site_id,
        rider_id=line.rider_id,
        merchant_id=line.merchant_id,
        line_id=line.line_id,
        amount_fen=line.amount_fen,
        set_off_fen=line.set_off_fen,
    )
    if line.merchant_id:
        # The ledger would let the line take what an open settlement is to bring.
        payable = account("merchant", merchant_id=line.merchant_id).code
        await writer.run(_LOCK_PAYABLE, {"site_id": site_id, "code": payable})
        which = {"site_id": site_id, "merchant_id": line.merchant_id}
        if await writer.scalar(_FREE_OF_ONE, which) < line.amount_fen + line.set_off_fen:
            return "overdraft"
    return (await ledger.post(writer, sent)).reason or ""
