"""Refunds: stored under their number before any gateway hears of them, followed to an end."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import text

from domain import ids
from domain.books import journal
from domain.contracts.refunds import RefundState
from domain.errors import NotFound
from services import facts, ledger
from services.db import Reader, Writer
from services.events import Stream, dumps
from services.split_returns import bear

PAYERS = {
    "held": "held",
    "suspense": "suspense",
    "merchant": "merchant",
    "platform": "expense",
}
"""Whose money a refund takes, and their account in the chart."""


class MerchantShort(Exception):
    """The merchant's balance can't carry this refund; spoils the transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunding:
    """A stored refund and its payee."""

    out_refund_no: str
    site_id: str
    order_id: str
    out_trade_no: str
    merchant_id: str
    account_id: str
    keys_ref: str
    mchid: str
    channel: str
    cause: str
    source: str
    reason: str
    amount_fen: int
    total_fen: int
    state: str
    handles: dict[str, str]
    """The payment's, as its channel gave them."""


_ONE = text("""
SELECT r.out_refund_no, r.site_id, r.order_id, r.out_trade_no, o.merchant_id, r.account_id,
  c.keys_ref, c.mchid, c.channel, r.cause, r.source, r.reason, r.amount_fen, r.total_fen, r.state,
  a.handles
FROM refunds r JOIN orders o USING (order_id) JOIN channel_accounts c ON c.account_id = r.account_id
JOIN payment_attempts a ON a.out_trade_no = r.out_trade_no
WHERE r.out_refund_no = :out_refund_no
""")
_PAID_ATTEMPT = text("""
SELECT out_trade_no FROM payment_attempts WHERE order_id = :order_id AND state = 'paid'
""")
_BY_CAUSE = text("""
SELECT out_refund_no FROM refunds WHERE order_id = :order_id AND cause = :cause
""")
_OPEN = text("""
INSERT INTO refunds (out_refund_no, site_id, order_id, out_trade_no, account_id, cause, source,
  reason, amount_fen, total_fen, state)
SELECT :out_refund_no, a.site_id, a.order_id, a.out_trade_no, a.account_id, :cause, :source,
  :reason, :amount_fen, :total_fen, 'created'
FROM payment_attempts a WHERE a.out_trade_no = :out_trade_no
""")
_COUNT = text("SELECT count(*) FROM refunds WHERE order_id = :order_id")
_LEFT = text("""
UPDATE orders SET refunded_fen = refunded_fen + :amount_fen
WHERE order_id = :order_id AND refunded_fen + :amount_fen <= paid_fen
  AND (ended_at IS NULL) = :held
""")
_PROCESSING = text("""
UPDATE refunds SET state = :state, refund_id = :refund_id
WHERE out_refund_no = :out_refund_no AND ended_at IS NULL
""")
_ENDED = text("""
UPDATE refunds SET state = :state, ended_at = now()
WHERE out_refund_no = :out_refund_no
  AND (ended_at IS NULL OR (state IN ('abnormal', 'closed') AND :state = 'success'))
""")
_INBOX = text("""
INSERT INTO inbox (channel, account_id, event_id, site_id, order_id, kind, fact, body, applied_at)
VALUES (:channel, :account_id, :event_id, :site_id, :order_id, 'refund', CAST(:fact AS jsonb),
  :body, now())
ON CONFLICT (channel, account_id, event_id) DO NOTHING RETURNING id
""")
_TOTALS = text("""
SELECT coalesce(sum(amount_fen) FILTER (WHERE state = 'success'), 0) AS back_fen,
  count(*) FILTER (WHERE ended_at IS NULL) AS open
FROM refunds WHERE order_id = :order_id AND source <> 'suspense'
""")


async def refunding(reader: Reader, out_refund_no: str) -> Refunding:
    """One refund by our number."""
    row = await reader.first(_ONE, {"out_refund_no": out_refund_no})
    if row is None:
        raise NotFound
    return Refunding(**row._mapping)  # noqa: SLF001


async def store_notice(
    writer: Writer, *, account_id: str, event_id: str, out_refund_no: str, state: str, body: bytes
) -> None:
    """Store a verified notice of a refund and have its workflow told; a repeat changes nothing.

    Raises:
        NotFound: this payee has no such refund.
    """
    refund = await refunding(writer, out_refund_no)
    if refund.account_id != account_id:
        raise NotFound
    new = await writer.scalar(
        _INBOX,
        {
            "channel": refund.channel,
            "account_id": account_id,
            "event_id": event_id,
            "site_id": refund.site_id,
            "order_id": refund.order_id,
            "fact": dumps({"out_refund_no": out_refund_no, "state": state}),
            "body": body,
        },
    )
    if new is not None:
        await facts.tell(
            writer,
            site_id=refund.site_id,
            order_id=refund.order_id,
            workflow_id=ids.refund_workflow(out_refund_no),
            name="refund_settled",
            body={"state": state},
        )


async def by_cause(reader: Reader, order_id: str, cause: str) -> str | None:
    """The number of the refund that this cause has opened, if it has."""
    known = await reader.scalar(_BY_CAUSE, {"order_id": order_id, "cause": cause})
    return None if known is None else str(known)


async def open_refund(
    writer: Writer,
    stream: Stream,
    *,
    cause: str,
    reason: str,
    amount_fen: int,
    source: Literal["held", "merchant", "platform"] = "held",
    late_out_trade_no: str = "",
    late_total_fen: int = 0,
) -> str | None:
    """Store a refund and book it as in flight; its number, or None where nothing is left.

    One cause has one refund, however often it is asked for. Late money goes back whole, from
    suspense; all else out of what the order holds or, once it has ended, of the merchant's or the
    platform's money: never more than was paid (law 1).

    Raises:
        MerchantShort: `source` is the merchant, whose balance is less than the amount.
    """
    known = await by_cause(writer, stream.order_id, cause)
    if known is not None:
        return known
    if not late_out_trade_no and not await writer.run(
        _LEFT,
        {"order_id": stream.order_id, "amount_fen": amount_fen, "held": source == "held"},
    ):
        return None
    trade = late_out_trade_no or await writer.scalar(_PAID_ATTEMPT, {"order_id": stream.order_id})
    number = ids.out_refund_no(
        stream.order_id, 1 + int(await writer.scalar(_COUNT, {"order_id": stream.order_id}))
    )
    taken_from = "suspense" if late_out_trade_no else source
    await writer.run(
        _OPEN,
        {
            "out_refund_no": number,
            "out_trade_no": trade,
            "cause": cause,
            "source": taken_from,
            "reason": reason,
            "amount_fen": amount_fen,
            "total_fen": late_total_fen or stream.view["total_fen"],
        },
    )
    stored = await refunding(writer, number)
    if taken_from in {"merchant", "platform"}:
        await bear(writer, order_id=stored.order_id, out_refund_no=number)
    booked = await ledger.post(
        writer,
        journal(
            "refund_opened",
            site_id=stored.site_id,
            order_id=stored.order_id,
            channel=stored.channel,
            merchant_id=stored.merchant_id,
            out_refund_no=number,
            payer=PAYERS[taken_from],
            amount_fen=amount_fen,
        ),
    )
    if booked.status == "declined":
        raise MerchantShort
    return number


async def pay_merchant(writer: Writer, stream: Stream, *, amount_fen: int) -> None:
    """The platform pays the shop what refunds that were not its fault have left short."""
    if amount_fen <= 0:
        return
    await ledger.post(
        writer,
        journal(
            "merchant_paid_by_platform",
            site_id=stream.site_id,
            order_id=stream.order_id,
            merchant_id=stream.merchant_id,
            amount_fen=amount_fen,
        ),
    )


async def asked(writer: Writer, out_refund_no: str, *, refund_id: str) -> None:
    """The gateway took the refund and works on it."""
    await writer.run(
        _PROCESSING,
        {
            "out_refund_no": out_refund_no,
            "state": RefundState.PROCESSING,
            "refund_id": refund_id,
        },
    )


async def ended(writer: Writer, refund: Refunding, state: RefundState) -> bool:
    """Write a refund's end and book it if the customer has the money; False if it had ended."""
    if not await writer.run(_ENDED, {"out_refund_no": refund.out_refund_no, "state": state}):
        return False
    if state is RefundState.SUCCESS:
        await ledger.post(
            writer,
            journal(
                "refund_settled",
                site_id=refund.site_id,
                order_id=refund.order_id,
                channel=refund.channel,
                mchid=refund.mchid,
                out_refund_no=refund.out_refund_no,
                amount_fen=refund.amount_fen,
            ),
        )
    return True


async def totals(reader: Reader, order_id: str) -> Any:  # noqa: ANN401
    """`back_fen` that customers have again, and how many refunds are still `open`."""
    return await reader.first(_TOTALS, {"order_id": order_id})
