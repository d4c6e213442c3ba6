"""Refunds of orders that are settled: whose received money they take, and shares taken back first.

A return's number is stored with its refund. Whoever writes here holds the order's stream lock.
"""

from typing import Any

from sqlalchemy import Row, text

from domain import ids, settlement
from domain.books import journal
from domain.settlement import SplitState
from services import ledger
from services.db import Reader, Writer

_SETTLED = text("""
SELECT s.*, a.channel, c.mchid, p.out_order_no, p.receiver, r.out_refund_no, r.source,
  r.amount_fen, r.credit_fen,
  (SELECT count(*) FROM split_returns b WHERE b.order_id = s.order_id) AS returns
FROM settlements s JOIN refunds r ON r.out_refund_no = :out_refund_no
JOIN payment_attempts a ON a.out_trade_no = s.out_trade_no
JOIN channel_accounts c ON c.account_id = s.account_id
LEFT JOIN splits p ON p.order_id = s.order_id AND p.kind = 'split' AND p.state = 'success'
WHERE s.order_id = :order_id AND s.ended_at IS NOT NULL
FOR UPDATE OF s
""")
_TAKE = text("""
UPDATE settlements SET borne_fen = borne_fen + :borne_fen, waived_fen = waived_fen + :waived_fen,
  returnable_fen = returnable_fen - :back_fen
WHERE order_id = :order_id
""")
_NEW = text("""
INSERT INTO split_returns (out_return_no, site_id, order_id, number, out_order_no, out_refund_no,
  receiver, amount_fen, state)
VALUES (:out_return_no, :site_id, :order_id, :number, :out_order_no, :out_refund_no, :receiver,
  :amount_fen, 'created')
""")
_LAST = text("""
SELECT b.*, t.state = 'resolved' AS looked_at FROM split_returns b
LEFT JOIN tickets t ON t.order_id = b.order_id AND t.key = 'split_return:' || b.out_return_no
WHERE b.out_refund_no = :out_refund_no ORDER BY b.number DESC LIMIT 1
""")
_COUNT = text("SELECT count(*) FROM split_returns WHERE order_id = :order_id")
_MARK = text("""
UPDATE split_returns SET state = :state, reason = :reason,
  gateway_number = coalesce(nullif(:name, ''), gateway_number),
  ended_at = CASE WHEN :state IN ('success', 'closed') THEN now() END
WHERE out_return_no = :number AND state IN ('created', 'asked')
""")


async def bear(writer: Writer, *, order_id: str, out_refund_no: str) -> None:
    """Book where the money of a stored refund comes from, if its order was settled before.

    A merchant gets the commission on what they give back; the channel takes the platform's part
    out of its share, where it can, and the rest out of what the merchant had received.
    """
    named = {"order_id": order_id, "out_refund_no": out_refund_no}
    row = await writer.first(_SETTLED, named)
    if row is None:
        return
    borne = waived = 0
    wanted = row.amount_fen
    if row.source == "merchant":
        borne = row.amount_fen + row.credit_fen
        base = row.merchant_fen + row.commission_fen
        whole = settlement.waived(
            row.commission_fen, base_fen=base, borne_fen=row.borne_fen + borne
        )
        wanted = waived = whole - row.waived_fen
    # Credit alone asks no channel: nothing is returned for it.
    back = min(row.returnable_fen, wanted, row.amount_fen)
    taken = {"borne_fen": borne, "waived_fen": waived, "back_fen": back}
    await writer.run(_TAKE, taken | {"order_id": order_id})
    await _book(writer, "merchant_returned", row, row.amount_fen - back)
    await _book(writer, "commission_waived", row, waived)
    if back:
        await _store(writer, row, back, number=row.returns + 1)


async def last_of(reader: Reader, out_refund_no: str) -> Row[Any] | None:
    """The newest return of a refund; `looked_at`: a person has resolved its ticket."""
    return await reader.first(_LAST, {"out_refund_no": out_refund_no})


async def again(writer: Writer, closed: Row[Any]) -> None:
    """Another number for a return that was closed for certain."""
    count = int(await writer.scalar(_COUNT, {"order_id": closed.order_id}))
    await _store(writer, closed, closed.amount_fen, number=count + 1)


async def mark(
    writer: Writer, out_return_no: str, state: SplitState, reason: str = "", *, name: str = ""
) -> bool:
    """Write where a return is, and the channel's `name` of it, if told; False if it had ended."""
    said = {"number": out_return_no, "state": state, "reason": reason, "name": name}
    return bool(await writer.run(_MARK, said))


async def book(writer: Writer, returned: Row[Any], *, channel: str, mchid: str) -> None:
    """The share is with the payee again."""
    await ledger.post(
        writer,
        journal(
            "platform_share_returned",
            site_id=returned.site_id,
            order_id=returned.order_id,
            channel=channel,
            mchid=mchid,
            out_return_no=returned.out_return_no,
            amount_fen=returned.amount_fen,
        ),
    )


async def _store(writer: Writer, row: Row[Any], amount_fen: int, *, number: int) -> None:
    """Store a return's number before the channel hears of it."""
    await writer.run(
        _NEW,
        {
            "out_return_no": ids.out_return_no(row.order_id, number),
            "site_id": row.site_id,
            "order_id": row.order_id,
            "number": number,
            "out_order_no": row.out_order_no,
            "out_refund_no": row.out_refund_no,
            "receiver": row.receiver,
            "amount_fen": amount_fen,
        },
    )


async def _book(writer: Writer, event: str, row: Row[Any], amount_fen: int) -> None:
    if not amount_fen:
        return
    await ledger.post(
        writer,
        journal(
            event,
            site_id=row.site_id,
            order_id=row.order_id,
            merchant_id=row.merchant_id,
            channel=row.channel,
            mchid=row.mchid,
            reference=row.out_refund_no,
            out_refund_no=row.out_refund_no,
            amount_fen=amount_fen,
        ),
    )
