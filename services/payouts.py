"""Rows of payouts to riders: proposed, decided by a second person, booked, ended line by line.

A line is on its way at most once: a rider has one that is proposed or sent, its number is never
used again, and each of its two journals has a key of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from domain import ids, payouts
from domain.books import journal
from domain.errors import ActionNotAllowed, NotFound
from domain.payouts import LINES_MAX, BatchState, LineState
from services import ledger
from services.db import Reader, Writer

OPEN_MAX = 200

_ACCOUNT = text("""
SELECT account_id FROM channel_accounts
WHERE site_id = :site_id AND channel = 'bank' AND merchant_id = ''
""")
_OWED = text("""
SELECT r.rider_id, r.payee, a.balance_fen AS amount_fen
FROM riders r JOIN ledger_accounts a
  ON a.site_id = r.site_id AND a.code = 'rider\\:' || r.rider_id || '\\:payable'
WHERE r.site_id = :site_id AND r.payee <> '' AND a.balance_fen >= :minimum_fen
  AND NOT EXISTS (SELECT FROM payout_lines l WHERE l.site_id = r.site_id
    AND l.rider_id = r.rider_id AND l.state IN ('proposed', 'sent'))
ORDER BY a.balance_fen DESC, r.rider_id LIMIT :limit
""")
_PROPOSE = text("""
INSERT INTO payout_batches (batch_id, site_id, account_id, proposed_by)
VALUES (:batch_id, :site_id, :account_id, :actor) ON CONFLICT DO NOTHING
""")
_LINE = text("""
INSERT INTO payout_lines (line_id, site_id, batch_id, rider_id, payee, amount_fen)
VALUES (:line_id, :site_id, :batch_id, :rider_id, :payee, :amount_fen) ON CONFLICT DO NOTHING
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
SELECT line_id, rider_id, payee, amount_fen, state, transfer_id, reason, ended_at
FROM payout_lines WHERE batch_id = :batch_id ORDER BY rider_id LIMIT :limit
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
RETURNING line_id, site_id, rider_id, amount_fen
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
    """Propose to pay riders all they are owed, from `minimum_fen` on, the most first.

    Who has no payee token, or a payout under way, is left out. A repeat of the id finds the batch.

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
            line["line_id"] = ids.payout_line(batch_id, owed.rider_id)
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
    """All lines of a batch, by rider."""
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
    """Take each line of an approved batch out of what its rider is owed; the batch's state.

    A rider who is no longer owed as much is dropped. Afterwards the lines never change, so that
    the bank always hears the same ones. A repeat changes nothing.
    """
    batch = await _locked(writer, batch_id)
    if batch.state != BatchState.APPROVED:
        return str(batch.state)
    for line in await lines(writer, batch_id):
        sent = journal(
            "rider_payout_sent",
            site_id=batch.site_id,
            rider_id=line.rider_id,
            line_id=line.line_id,
            amount_fen=line.amount_fen,
        )
        posted = await ledger.post(writer, sent)
        state = LineState.DROPPED if posted.status == "declined" else LineState.SENT
        booked = {"line_id": line.line_id, "state": state, "reason": posted.reason or ""}
        await writer.run(_BOOKED, booked)
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
        event = "payout_settled" if one.paid else "rider_payout_failed"
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
