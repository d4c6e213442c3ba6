"""Refunds: stored under their number before any gateway hears of them, followed to an end."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import text

from domain import ids
from domain.books import journal
from domain.channels import BankCard
from domain.contracts.refunds import RefundState
from domain.errors import ActionNotAllowed, NotFound
from services import events, facts, ledger, metrics, personal
from services.db import Reader, Writer
from services.events import Stream, dumps
from services.personal import Item
from services.split_returns import bear

PAYERS = {
    "held": "held",
    "suspense": "suspense",
    "merchant": "merchant",
    "platform": "expense",
}
"""Whose money a refund takes, and their account in the chart."""

Source = Literal["held", "merchant", "platform"]


class MerchantShort(Exception):
    """The merchant's balance can't carry this refund; spoils the transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A stored refund, and what of it the caller is to give back as credit, in its transaction."""

    out_refund_no: str
    credit_fen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunding:
    """A stored refund and its payee; credit alone has neither payment nor payee."""

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
    """The channel's part."""
    credit_fen: int
    total_fen: int
    state: str
    retries: int
    """How often people have sent it on its way again."""
    customer_id: str
    handles: dict[str, str]
    """The payment's, as its channel gave them."""


_ONE = text("""
SELECT r.out_refund_no, r.site_id, r.order_id, r.out_trade_no, o.merchant_id, r.account_id,
  coalesce(c.keys_ref, '') AS keys_ref, coalesce(c.mchid, '') AS mchid,
  coalesce(c.channel, '') AS channel, r.cause, r.source, r.reason, r.amount_fen, r.credit_fen,
  r.total_fen, r.state, r.retries, o.customer_id, coalesce(a.handles, '{}'::jsonb) AS handles
FROM refunds r JOIN orders o USING (order_id)
LEFT JOIN channel_accounts c ON c.account_id = r.account_id
LEFT JOIN payment_attempts a ON a.out_trade_no = r.out_trade_no
WHERE r.out_refund_no = :out_refund_no
""")
_PAID_ATTEMPT = text("""
SELECT a.out_trade_no, CAST(a.amount_fen - coalesce(sum(r.amount_fen), 0) AS bigint) AS left_fen
FROM payment_attempts a LEFT JOIN refunds r USING (out_trade_no)
WHERE a.order_id = :order_id AND a.state = 'paid' AND a.purpose = 'order'
GROUP BY a.out_trade_no
""")
_BY_CAUSE = text("""
SELECT out_refund_no FROM refunds WHERE order_id = :order_id AND cause = :cause
""")
_OPEN = text("""
INSERT INTO refunds (out_refund_no, site_id, order_id, out_trade_no, account_id, cause, source,
  reason, amount_fen, credit_fen, total_fen, state)
SELECT :out_refund_no, o.site_id, o.order_id, coalesce(a.out_trade_no, ''),
  coalesce(a.account_id, ''), :cause, :source, :reason, :amount_fen, :credit_fen,
  coalesce(CAST(:late_fen AS bigint), a.amount_fen, 0), 'created'
FROM orders o LEFT JOIN payment_attempts a ON a.out_trade_no = :out_trade_no
WHERE o.order_id = :order_id
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
_SEND_AGAIN = text("""
UPDATE refunds SET state = 'retrying', ended_at = NULL, retries = retries + 1
WHERE out_refund_no = :out_refund_no AND state = 'abnormal'
""")
_INBOX = text("""
INSERT INTO inbox (channel, account_id, event_id, site_id, order_id, kind, fact, body, applied_at)
VALUES (:channel, :account_id, :event_id, :site_id, :order_id, 'refund', CAST(:fact AS jsonb),
  :body, now())
ON CONFLICT (channel, account_id, event_id) DO NOTHING RETURNING id
""")
_TOTALS = text("""
SELECT coalesce(sum(credit_fen), 0) + coalesce(sum(amount_fen) FILTER (WHERE state = 'success'), 0)
    AS back_fen,
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
    source: Source = "held",
    late_out_trade_no: str = "",
) -> Opened | None:
    """Store a refund and book the channel's part as in flight; None where nothing is left.

    One cause has one refund, however often it is asked for. Late money goes back whole, from
    suspense; all else out of what the order holds or, once it has ended, of the merchant's or the
    platform's money: never more than was paid (law 1). What the channel has left goes back first,
    the rest is credit.

    Raises:
        MerchantShort: `source` is the merchant, whose balance is less than the amount.
    """
    known = await by_cause(writer, stream.order_id, cause)
    if known is not None:
        return Opened(out_refund_no=known)
    if not late_out_trade_no and not await writer.run(
        _LEFT,
        {"order_id": stream.order_id, "amount_fen": amount_fen, "held": source == "held"},
    ):
        return None
    trade, channel_fen = late_out_trade_no, amount_fen
    if not late_out_trade_no:
        trade, channel_fen = await _from_channel(writer, stream.order_id, amount_fen)
    number = ids.out_refund_no(
        stream.order_id, 1 + int(await writer.scalar(_COUNT, {"order_id": stream.order_id}))
    )
    await writer.run(
        _OPEN,
        {
            "out_refund_no": number,
            "order_id": stream.order_id,
            "out_trade_no": trade,
            "cause": cause,
            "source": "suspense" if late_out_trade_no else source,
            "reason": reason,
            "amount_fen": channel_fen,
            "credit_fen": amount_fen - channel_fen,
            # What came of it, which may be another amount than was asked for.
            "late_fen": amount_fen if late_out_trade_no else None,
        },
    )
    if source in {"merchant", "platform"}:
        await bear(writer, order_id=stream.order_id, out_refund_no=number)
    if channel_fen:
        await _book(writer, await refunding(writer, number))
    return Opened(out_refund_no=number, credit_fen=amount_fen - channel_fen)


async def _from_channel(writer: Writer, order_id: str, amount_fen: int) -> tuple[str, int]:
    """The payment that an amount goes back to, and how much of it; credit alone has none."""
    paid = await writer.first(_PAID_ATTEMPT, {"order_id": order_id})
    if paid is None or not paid.left_fen:
        return "", 0
    return paid.out_trade_no, min(amount_fen, paid.left_fen)


async def _book(writer: Writer, stored: Refunding) -> None:
    booked = await ledger.post(
        writer,
        journal(
            "refund_opened",
            site_id=stored.site_id,
            order_id=stored.order_id,
            channel=stored.channel,
            merchant_id=stored.merchant_id,
            out_refund_no=stored.out_refund_no,
            payer=PAYERS[stored.source],
            amount_fen=stored.amount_fen,
        ),
    )
    if booked.status == "declined":
        raise MerchantShort
    writer.after_commit.append(metrics.REFUNDS.labels(stored.channel, "created").inc)


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


async def send_again(
    writer: Writer, out_refund_no: str, card: BankCard, *, actor: str, request_id: str, reason: str
) -> Refunding:
    """A person sends an abnormal refund to another card of its customer; the sweep follows it.

    A repeat of the request changes nothing.

    Raises:
        NotFound: there is no such refund.
        ActionNotAllowed: it is not abnormal.
    """
    stored = await refunding(writer, out_refund_no)
    await events.lock(writer, stored.order_id)
    if not await events.note(
        writer,
        order_id=stored.order_id,
        site_id=stored.site_id,
        kind="refund_retried",
        key=f"refund_retried:{request_id}",
        data={"out_refund_no": out_refund_no, "reason_code": reason},
        actor=actor,
        request_id=request_id,
    ):
        return await refunding(writer, out_refund_no)
    if not await writer.run(_SEND_AGAIN, {"out_refund_no": out_refund_no}):
        raise ActionNotAllowed("only an abnormal refund is sent again", refund=stored.state)
    await personal.put(writer, **_card(stored)._asdict(), value=asdict(card))
    return await refunding(writer, out_refund_no)


async def card_of(reader: Reader, refund: Refunding) -> BankCard | None:
    """Where an abnormal refund is to go instead; None once its customer was erased."""
    found = await personal.get(reader, **_card(refund)._asdict())
    return BankCard(**found) if found else None


async def forget_card(writer: Writer, refund: Refunding) -> None:
    """The refund has ended: nobody needs the card any more."""
    await personal.drop(writer, _card(refund))


def _card(refund: Refunding) -> Item:
    subject = f"customer:{refund.customer_id}"
    return Item(refund.site_id, subject, "refund_card", refund.out_refund_no)


async def ended(writer: Writer, refund: Refunding, state: RefundState) -> bool:
    """Write a refund's end and book it if the customer has the money; False if it had ended."""
    if not await writer.run(_ENDED, {"out_refund_no": refund.out_refund_no, "state": state}):
        return False
    if refund.channel:
        writer.after_commit.append(metrics.REFUNDS.labels(refund.channel, state).inc)
    if state is RefundState.SUCCESS and refund.amount_fen:
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
