"""Payment attempts and what gateways said of them: numbers stored first, facts applied once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Row, text

from domain import ids
from domain.books import journal
from domain.contracts.payments import StoreAttempt
from domain.errors import NotFound
from domain.ledger import CURRENCY
from services import codes, events, facts, ledger, metrics
from services.db import Reader, Writer
from services.events import dumps
from services.settlement import MAY_SPLIT

QUARANTINE_ROWS = 10_000
"""Older refused notices make room for newer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paying:
    """An attempt together with what its payee and its order are."""

    out_trade_no: str
    order_id: str
    site_id: str
    customer_id: str
    merchant_id: str
    shop_name: str
    number: int
    purpose: str
    """`order`, or `tip`: for its rider after delivery, paid to the platform."""
    attempt: int
    account_id: str
    keys_ref: str
    mchid: str
    appid: str
    channel: str
    method: str
    amount_fen: int
    state: str
    handles: dict[str, str]
    expires_at: datetime
    order_status: str
    credit_fen: int
    """What of the order credit pays beside this attempt."""
    wishes: dict[str, Any]
    """Instalments, a saved method… as `domain.contracts.life.PayWishes` names them."""
    failure_code: str
    created_at: datetime
    split: bool
    """The money waits at the channel to be shared out, where the channel can."""


ARRIVED = frozenset({"paid", "late", "frozen"})
"""States of attempts whose money came."""
OVER = ARRIVED | {"closed", "failed"}
"""States that nothing at the gateway changes any more; `watched` is not yet one of them."""

_PAYING = """
SELECT a.out_trade_no, a.order_id, a.site_id, o.customer_id, o.merchant_id,
  s.name AS shop_name, o.number, a.purpose, a.attempt, a.account_id, c.keys_ref, c.mchid, c.appid,
  a.channel, a.method, a.amount_fen, a.state, a.handles, a.expires_at,
  o.status AS order_status, o.credit_fen, a.wishes, a.failure_code, a.created_at, a.split
FROM payment_attempts a JOIN orders o USING (order_id) JOIN shops s USING (shop_id)
JOIN channel_accounts c ON c.account_id = a.account_id
"""
_ONE = text(_PAYING + " WHERE a.out_trade_no = :out_trade_no")
_ALL = text(
    _PAYING
    + """WHERE a.order_id = :order_id
  AND (a.out_trade_no = :out_trade_no OR (:out_trade_no = '' AND a.purpose = 'order'))
ORDER BY a.attempt LIMIT 20"""
)
_DISPUTED = text(
    _PAYING
    + """ WHERE a.account_id = :account_id AND (a.out_trade_no = :out_trade_no
  OR (:transaction_id <> '' AND a.transaction_id = :transaction_id)) LIMIT 1"""
)
_STORE_ATTEMPT = """
INSERT INTO payment_attempts (out_trade_no, site_id, order_id, attempt, account_id, channel,
  method, wishes, amount_fen, state, expires_at, split)
SELECT :out_trade_no, o.site_id, o.order_id, :attempt, c.account_id, :channel, :method,
  CAST(:wishes AS jsonb), o.total_fen - o.credit_fen, 'created', o.pay_by, {may_split}
FROM orders o JOIN channel_accounts c USING (site_id, merchant_id)
WHERE o.order_id = :order_id AND c.channel = :channel
ORDER BY c.account_id LIMIT 1
ON CONFLICT (out_trade_no) DO NOTHING
"""
_STORE = text(_STORE_ATTEMPT.format(may_split=MAY_SPLIT))
_OPENED = text("""
UPDATE payment_attempts SET state = 'opened', handles = CAST(:handles AS jsonb)
WHERE out_trade_no = :out_trade_no AND state IN ('created', 'unknown')
""")
_STATE = text("""
UPDATE payment_attempts SET state = :state, failure_code = :code
WHERE out_trade_no = :out_trade_no AND state NOT IN ('paid', 'late', 'frozen')
RETURNING channel
""")
_FAILED = text("""
UPDATE payment_attempts SET failure_code = :code
WHERE out_trade_no = :out_trade_no AND state IN ('created', 'unknown', 'opened')
RETURNING channel
""")
_INBOX = text("""
INSERT INTO inbox (channel, account_id, event_id, site_id, order_id, kind, fact, body)
VALUES (:channel, :account_id, :event_id, :site_id, :order_id, :kind, CAST(:fact AS jsonb), :body)
ON CONFLICT (channel, account_id, event_id) DO NOTHING RETURNING id
""")
_INBOX_ID = text("""
SELECT id FROM inbox
WHERE channel = :channel AND account_id = :account_id AND event_id = :event_id
""")
_FACT = text("SELECT * FROM inbox WHERE id = :id FOR UPDATE")
_APPLIED = text("""
UPDATE inbox SET applied_at = now(), outcome = :outcome WHERE id = :id
RETURNING channel, fact ->> 'succeeded_at' AS succeeded_at
""")
_PAID = text("""
UPDATE payment_attempts SET state = :state, transaction_id = :transaction_id, paid_at = now()
WHERE out_trade_no = :out_trade_no
""")
_RIDER = text("""
SELECT rider_id FROM delivery_tasks WHERE order_id = :order_id AND state = 'delivered'
""")
_QUARANTINE = text("""
WITH old AS (
  DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - :rows
)
INSERT INTO quarantine (channel, account_id, reason, body)
VALUES (:channel, :account_id, :reason, :body)
""")


async def attempts(reader: Reader, order_id: str, out_trade_no: str = "") -> list[Paying]:
    """Every attempt to pay an order, oldest first; or only this one, which may be a tip's."""
    rows = await reader.all(_ALL, {"order_id": order_id, "out_trade_no": out_trade_no})
    return [Paying(**row._mapping) for row in rows]  # noqa: SLF001


async def paying(reader: Reader, out_trade_no: str) -> Paying:
    """One attempt by our number."""
    row = await reader.first(_ONE, {"out_trade_no": out_trade_no})
    if row is None:
        raise NotFound
    return Paying(**row._mapping)  # noqa: SLF001


async def disputed(
    reader: Reader, account_id: str, *, out_trade_no: str, transaction_id: str
) -> Paying:
    """The payment that a dispute is about, by either number; raises NotFound."""
    numbers = {"out_trade_no": out_trade_no, "transaction_id": transaction_id}
    row = await reader.first(_DISPUTED, numbers | {"account_id": account_id})
    if row is None:
        raise NotFound
    return Paying(**row._mapping)  # noqa: SLF001


async def store_attempt(writer: Writer, wanted: StoreAttempt) -> str:
    """Store an attempt's number before the gateway hears of it; a repeat changes nothing.

    The payee is the order's merchant at that channel.
    """
    number = ids.out_trade_no(wanted.order_id, wanted.attempt)
    new = await writer.run(
        _STORE,
        {
            "out_trade_no": number,
            "order_id": wanted.order_id,
            "attempt": wanted.attempt,
            "channel": wanted.channel,
            "method": wanted.method,
            "wishes": dumps(wanted.wishes),
        },
    )
    if new:
        writer.after_commit.append(metrics.PAYMENT_ATTEMPTS.labels(wanted.channel).inc)
    return number


async def opened(writer: Writer, out_trade_no: str, handles: dict[str, str]) -> None:
    """The gateway took the order: keep what the customer pays with."""
    await writer.run(_OPENED, {"out_trade_no": out_trade_no, "handles": dumps(handles)})


async def mark(writer: Writer, out_trade_no: str, state: str, code: str = "") -> None:
    """`unknown`, `failed` (with the gateway's code), `closed`, or `watched`: it may be paid yet.

    Never over money that came.
    """
    name = {"out_trade_no": out_trade_no, "state": state, "code": code}
    _count_failure(writer, await writer.scalar(_STATE, name), code)


async def failed(writer: Writer, out_trade_no: str, code: str) -> None:
    """A try to pay failed, the attempt stays open: remember why."""
    if code:
        name = {"out_trade_no": out_trade_no, "code": code}
        _count_failure(writer, await writer.scalar(_FAILED, name), code)


async def store_fact(
    writer: Writer,
    paid: Paying,
    *,
    event_id: str,
    fact: dict[str, Any],
    body: bytes = b"",
) -> tuple[int, bool]:
    """Store what a gateway said of an attempt; its inbox id and whether it is new."""
    name = {"channel": paid.channel, "account_id": paid.account_id, "event_id": event_id}
    new = await writer.scalar(
        _INBOX,
        name
        | {
            "site_id": paid.site_id,
            "order_id": paid.order_id,
            "kind": "payment",
            "fact": dumps(fact),
            "body": body,
        },
    )
    return (new, True) if new is not None else (await writer.scalar(_INBOX_ID, name), False)


async def store_notice(
    writer: Writer, *, account_id: str, event_id: str, fact: dict[str, Any], body: bytes
) -> None:
    """Store a verified notice of a payment and have its order told; a repeat changes nothing.

    Raises:
        NotFound: this payee has no such payment.
    """
    paid = await paying(writer, fact["out_trade_no"])
    if paid.account_id != account_id:
        raise NotFound
    notice_id, new = await store_fact(writer, paid, event_id=event_id, fact=fact, body=body)
    if new:
        _time_lag(writer, paid.channel, "stored", fact.get("succeeded_at"))
        tip = paid.purpose == "tip"
        await facts.tell(
            writer,
            site_id=paid.site_id,
            order_id=paid.order_id,
            workflow_id=ids.payment_workflow(paid.order_id, paid.out_trade_no if tip else ""),
            name="payment_settled",
            body={"notice_id": notice_id},
        )


async def quarantine(
    writer: Writer, *, channel: str, account_id: str, reason: str, body: bytes
) -> None:
    """Keep a refused notice where people can look at it; the newest `QUARANTINE_ROWS` stay."""
    await writer.run(
        _QUARANTINE,
        {
            "channel": channel,
            "account_id": account_id,
            "reason": reason,
            "body": body,
            "rows": QUARANTINE_ROWS,
        },
    )


async def stored_fact(writer: Writer, notice_id: int) -> Row[Any]:
    """A stored fact, locked until the transaction ends."""
    row = await writer.first(_FACT, {"id": notice_id})
    if row is None:
        raise NotFound
    return row


async def applied(writer: Writer, notice_id: int, outcome: str) -> None:
    """The fact has had its effect."""
    row = await writer.first(_APPLIED, {"id": notice_id, "outcome": outcome})
    if row is not None:
        _time_lag(writer, row.channel, "applied", row.succeeded_at)


def mismatches(paid: Paying, said: dict[str, Any]) -> Sequence[str]:
    """Which of amount, currency, mchid and appid a fact has different from our record."""
    ours = {
        "amount_fen": paid.amount_fen,
        "currency": CURRENCY,
        "mchid": paid.mchid,
        "appid": paid.appid,
    }
    return [name for name, value in ours.items() if said.get(name) != value]


async def book(writer: Writer, paid: Paying, said: dict[str, Any], *, wanted: bool) -> None:
    """Book money that arrived: for the order or rider that wants it, else to suspense; once."""
    event, rider_id = "payment_captured" if wanted else "late_payment", ""
    if wanted and paid.purpose == "tip":
        event = "tip_captured"
        rider_id = await writer.scalar(_RIDER, {"order_id": paid.order_id})
    await ledger.post(
        writer,
        journal(
            event,
            site_id=paid.site_id,
            order_id=paid.order_id,
            channel=paid.channel,
            mchid=paid.mchid,
            rider_id=rider_id,
            out_trade_no=paid.out_trade_no,
            amount_fen=int(said["amount_fen"]),
        ),
    )


async def took(writer: Writer, paid: Paying, said: dict[str, Any], state: str) -> None:
    """The attempt's money came: `paid`, `late` or `frozen`."""
    await writer.run(
        _PAID,
        {
            "out_trade_no": paid.out_trade_no,
            "state": state,
            "transaction_id": said["transaction_id"],
        },
    )
    writer.after_commit.append(metrics.PAYMENTS.labels(paid.channel, state).inc)


async def order_stream(writer: Writer, order_id: str) -> events.Stream:
    """The order's stream, locked: every act on it begins here."""
    stream = await events.lock(writer, order_id)
    if stream is None:
        raise NotFound
    return stream


def _count_failure(writer: Writer, channel: str | None, code: str) -> None:
    if channel and code:
        failed = metrics.PAYMENT_FAILURES.labels(channel, codes.bounded(code))
        writer.after_commit.append(failed.inc)


def _time_lag(writer: Writer, channel: str, stage: str, succeeded_at: str | None) -> None:
    if succeeded_at:
        lag = datetime.now(UTC) - datetime.fromisoformat(succeeded_at)
        # Gateways tell whole seconds, and their clock may be ahead of ours.
        observe = metrics.NOTICE_LAG.labels(channel, stage).observe
        writer.after_commit.append(partial(observe, max(0.0, lag.total_seconds())))
