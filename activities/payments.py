"""Acts that take a customer's money: the number is stored before any gateway hears of it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.act import act
from domain.channels import Create, TradeState, Transaction
from domain.contracts import payments as contracts
from domain.contracts.orders import Done, Step
from domain.contracts.payments import Attempt, Found, OfOrder, Poll, Settle, Settled, StoreAttempt
from domain.errors import GatewayUnavailable, Invalid, NotFound, PaymentRefused
from domain.orders import Payment, Status
from domain.outcomes import Accepted, Refusal, Rejected, Unknown
from services import credit, events, ledger, orders, payments, personal, refunds, tickets, tips
from services.channel import Channel
from services.db import Database, Reader, Writer
from services.events import Stream
from services.gateways import Gateways
from services.orders import Change, Changed
from services.payments import Paying
from services.personal import Item

EXPIRY_MARGIN = timedelta(seconds=10)
"""Between the gateway's clock and ours."""


class PaymentActs:
    """The acts on payment attempts, over one database and the gateways."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self.database = database
        self.gateways = gateways

    @act(contracts.STORE_ATTEMPT)
    async def store_attempt(self, attempt: StoreAttempt) -> Attempt:
        """Store a further attempt's number."""
        async with self.database.write() as writer:
            number = await payments.store_attempt(writer, attempt)
        return Attempt(order_id=attempt.order_id, out_trade_no=number)

    @act(contracts.OPEN)
    async def open(self, attempt: Attempt) -> Attempt:
        """Create at the gateway; Unknown is raised as retryable, to be repeated as it was."""
        async with self.database.read() as reader:
            paying = await payments.paying(reader, attempt.out_trade_no)
            payer, device = await _who_pays(reader, paying)
        if paying.state not in {"created", "unknown"}:
            return attempt
        channel, account = self._at(paying)
        wishes = {name: wish for name, wish in paying.wishes.items() if name != "device_ref"}
        outcome = await channel.create(
            account,
            Create(
                method=paying.method,
                out_trade_no=paying.out_trade_no,
                amount_fen=paying.amount_fen,
                description=f"{paying.shop_name} #{paying.number}",
                notify_url=self.gateways.notify_url(paying.channel, paying.account_id),
                expires_at=paying.expires_at,
                payer=payer,
                client_ip=device,
                split=paying.split and channel.ability.splits,
                **wishes,
            ),
        )
        async with self.database.write() as writer:
            match outcome:
                case Accepted(value=opened):
                    await payments.opened(writer, paying.out_trade_no, opened.handles)
                case Rejected(code=code):
                    await payments.mark(writer, paying.out_trade_no, "failed", code)
                case Unknown():
                    await payments.mark(writer, paying.out_trade_no, "unknown")
        if isinstance(outcome, Rejected):
            raise PaymentRefused(f"the payment channel said {outcome.code}", code=outcome.code)
        if isinstance(outcome, Unknown):
            raise GatewayUnavailable("the payment channel gave no certain answer")
        return attempt

    @act(contracts.POLL)
    async def poll(self, poll: Poll) -> Found:
        """Ask after every open attempt; not paid yet is a retry on the advised schedule."""
        async with self.database.read() as reader:
            attempts = await payments.attempts(reader, poll.order_id, poll.out_trade_no)
        found = [
            notice_id
            for paying in attempts
            if paying.state in {"created", "unknown", "opened"}
            and (notice_id := await self._ask(paying)) is not None
        ]
        if found:
            return Found(notice_ids=tuple(found))
        tried = activity.info().attempt - 1
        wait = poll.waits_seconds[min(tried, len(poll.waits_seconds) - 1)]
        raise ApplicationError(
            "nothing paid yet", type="not_paid_yet", next_retry_delay=timedelta(seconds=wait)
        )

    @act(contracts.CAPTURE)
    async def capture(self, order: OfOrder) -> Found:
        """Take what the channel holds for the order; the fact of it is stored, not yet applied.

        Raises PaymentRefused when the hold is gone for good.
        """
        async with self.database.read() as reader:
            attempts = await payments.attempts(reader, order.order_id)
        found = [await self._capture(paying) for paying in attempts if paying.state == "authorized"]
        return Found(notice_ids=tuple(found))

    @act(contracts.CLOSE)
    async def close(self, order: OfOrder) -> Found:
        """Close or void each attempt at the gateway, query until certain (law 3).

        What is held for an order that was delivered all the same is taken; what may still be paid
        though the gateway knows nothing of it is to be closed again.
        """
        async with self.database.read() as reader:
            attempts = await payments.attempts(reader, order.order_id, order.out_trade_no)
        found: list[int] = []
        close_again_seconds = 0.0
        for paying in attempts:
            held = paying.state == "authorized"
            if paying.state in payments.OVER or (held and order.keep_held):
                continue
            if held and paying.order_status == Status.DELIVERED:
                try:
                    found.append(await self._capture(paying))
                except PaymentRefused as refused:
                    await self._lose_hold(paying, refused)
                continue
            channel, account = self._at(paying)
            await channel.close(account, out_trade_no=paying.out_trade_no, handles=paying.handles)
            try:
                notice_id = await self._ask(paying, sure=True)
            except _MayBePaid:
                left = paying.expires_at + EXPIRY_MARGIN - events.utc_now()
                close_again_seconds = max(close_again_seconds, left.total_seconds(), 1.0)
                state = "watched"
            else:
                state = "closed"
                if notice_id is not None:
                    found.append(notice_id)
                    continue
            async with self.database.write() as writer:
                await payments.mark(writer, paying.out_trade_no, state)
        return Found(notice_ids=tuple(found), close_again_seconds=close_again_seconds)

    @act(contracts.SETTLE)
    async def settle(self, settle: Settle) -> Settled:
        """Apply a stored fact: money for the order, or money that goes home."""
        async with self.database.write() as writer:
            stream = await payments.order_stream(writer, settle.order_id)
            fact = await payments.stored_fact(writer, settle.notice_id)
            if fact.order_id != settle.order_id or fact.kind != "payment":
                raise NotFound("no such fact of this order")
            if fact.applied_at is not None:
                going = await _refunds_of_late(writer, stream, fact.fact["out_trade_no"])
                return _settled(Changed(stream=stream, fresh=False).done(going), fact.outcome)
            paying = await payments.paying(writer, fact.fact["out_trade_no"])
            outcome, done = await _apply(writer, stream, paying, fact.fact)
            await payments.applied(writer, settle.notice_id, outcome)
            return _settled(done, outcome)

    def _at(self, paying: Paying) -> tuple[Channel[Any], Any]:
        """The attempt's channel and its payee's keys there."""
        channel = self.gateways.channel(paying.channel)
        return channel, self.gateways.account(paying.channel, paying.keys_ref)

    async def _capture(self, paying: Paying) -> int:
        channel, account = self._at(paying)
        outcome = await channel.capture(
            account,
            out_trade_no=paying.out_trade_no,
            amount_fen=paying.amount_fen,
            handles=paying.handles,
        )
        match outcome:
            case Accepted(value=transaction) if transaction.state is TradeState.PAID:
                return await self._store(paying, transaction)
            case Rejected(code=code, kind=Refusal.NEVER):
                raise PaymentRefused(f"the payment channel said {code}", code=code)
        raise GatewayUnavailable("the payment channel gave no certain answer")

    async def _lose_hold(self, paying: Paying, refused: PaymentRefused) -> None:
        """Delivered, and the channel holds nothing any more: whose loss it is, a person says."""
        key = f"hold_lost:{paying.out_trade_no}"
        async with self.database.write() as writer:
            stream = await payments.order_stream(writer, paying.order_id)
            await payments.mark(writer, paying.out_trade_no, "closed")
            await tickets.open_ticket(
                writer,
                site_id=paying.site_id,
                order_id=paying.order_id,
                kind="hold_lost",
                key=key,
                data={"out_trade_no": paying.out_trade_no, "said": str(refused)},
            )
            step = Step(order_id=paying.order_id, key=key, actor="gateway")
            columns = {"payment": Payment.UNPAID}
            lost = Change(type="payment.lost", data=columns, columns=columns)
            await orders.change(writer, step, stream, lost)

    async def _ask(self, paying: Paying, *, sure: bool = False) -> int | None:
        """What the gateway knows of an attempt, as a stored fact if money came or is held.

        `sure`: anything but money, a certain «closed» or «never made» is raised as retryable.

        Raises _MayBePaid (`sure`) where «never made» is not certain before it has expired.
        """
        channel, account = self._at(paying)
        outcome = await channel.query(
            account, out_trade_no=paying.out_trade_no, handles=paying.handles
        )
        news = {TradeState.PAID} if sure else {TradeState.PAID, TradeState.AUTHORIZED}
        match outcome:
            case Accepted(value=transaction) if transaction.state in news:
                return await self._store(paying, transaction)
            case Accepted(value=transaction) if sure and transaction.state is not TradeState.CLOSED:
                raise GatewayUnavailable(f"not closed yet: {transaction.state}")
            case Rejected(kind=Refusal.NOT_FOUND) if sure:
                final = channel.ability.not_found_is_final
                if not final and events.utc_now() < paying.expires_at + EXPIRY_MARGIN:
                    raise _MayBePaid
            case Rejected(code=code) if sure:
                raise GatewayUnavailable(f"the payment channel said {code}")
            case Unknown() if sure:
                raise GatewayUnavailable("the payment channel gave no certain answer")
        return None

    async def _store(self, paying: Paying, said: Transaction) -> int:
        async with self.database.write() as writer:
            notice_id, _ = await payments.store_fact(
                writer,
                paying,
                event_id=f"{said.state}:{paying.out_trade_no}:{said.transaction_id}",
                fact=said.fact(),
            )
        return notice_id


class _MayBePaid(Exception):
    """The gateway knows nothing of it, and it can be paid all the same."""


async def _who_pays(reader: Reader, paying: Paying) -> tuple[str, str]:
    """The payer as the channel must know them, and their device's address; "" where not known."""
    subject = f"customer:{paying.customer_id}"
    linked = Item(paying.site_id, subject, "openid", paying.channel)
    keeper = Item(paying.site_id, subject, "payer", paying.account_id)
    device = Item(paying.site_id, subject, "device", paying.wishes.get("device_ref", ""))
    found = await personal.get_many(reader, [linked, keeper, device])
    # Only then is it sent: the same number must always come with the same payer.
    keeps = paying.wishes.get("save") or paying.wishes.get("saved_method")
    payer = (found.get(keeper) if keeps else None) or found.get(linked) or {}
    return payer.get("openid", ""), found.get(device, {}).get("address", "")


async def _apply(
    writer: Writer, stream: Stream, paying: Paying, fact: dict[str, Any]
) -> tuple[str, Done]:
    held = fact["state"] == TradeState.AUTHORIZED
    if not held and fact["state"] != TradeState.PAID:
        raise Invalid("no money in this fact", state=str(fact["state"]))
    if paying.state in payments.ARRIVED or (held and paying.state == "authorized"):
        repeated = Changed(stream=stream, fresh=False)
        refund_nos = await _refunds_of_late(writer, stream, paying.out_trade_no)
        return ("repeat", repeated.done(refund_nos))
    wrong = payments.mismatches(paying, fact)
    if wrong:
        return "frozen", await _freeze(writer, stream, paying, fact, wrong)
    unpaid = stream.view["status"] == Status.AWAITING_PAYMENT
    tip = paying.purpose == "tip"
    if held:
        if not unpaid:
            # Nothing was taken: closing the attempt gives it back.
            return "unwanted", Changed(stream=stream, fresh=False).done()
        return "authorized", await _authorize(writer, stream, paying, fact)
    taken = paying.state == "authorized" and not orders.has_ended(stream)
    # A tip's rider gets it till the order is settled, of which it is no part.
    wanted = stream.view["status"] == Status.DELIVERED if tip else unpaid or taken
    await payments.book(writer, paying, fact, wanted=wanted)
    await payments.took(writer, paying, fact, "paid" if wanted else "late")
    if not wanted:
        return "late", await _send_home(writer, stream, paying, fact)
    if tip:
        await tips.told(writer, stream, paying)
        changed = Changed(stream=stream, fresh=False)
    else:
        changed = await pay(
            writer,
            stream,
            channel_fen=paying.amount_fen,
            credit_fen=paying.credit_fen,
            actor="gateway",
            first=unpaid,
        )
    return "paid", changed.done()


async def _authorize(writer: Writer, stream: Stream, paying: Paying, fact: dict[str, Any]) -> Done:
    """The customer's money is held: enough for the shop to be asked."""
    await payments.took(writer, paying, fact, "authorized")
    step = Step(order_id=paying.order_id, key="authorized", actor="gateway")
    columns = {"status": Status.AWAITING_ACCEPTANCE, "payment": Payment.AUTHORIZED}
    what = Change(type="order.authorized", data=columns, columns=columns)
    return (await orders.change(writer, step, stream, what)).done()


async def pay(
    writer: Writer,
    stream: Stream,
    *,
    channel_fen: int,
    credit_fen: int,
    actor: str,
    first: bool = True,
) -> Changed:
    """The order is paid: the credit it holds is spent together with the channel's money.

    `first` False: its shop was asked already, on what the channel held.
    """
    if credit_fen:
        await ledger.post(writer, await credit.capture(writer, stream.order_id))
    step = Step(order_id=stream.order_id, key="paid", actor=actor)
    columns: dict[str, Any] = {"payment": Payment.PAID, "paid_fen": channel_fen + credit_fen}
    if first:
        columns["status"] = Status.AWAITING_ACCEPTANCE
    what = Change(type="order.paid", data=columns, columns=columns | {"paid_at": events.NOW})
    return await orders.change(writer, step, stream, what)


async def _send_home(writer: Writer, stream: Stream, paying: Paying, fact: dict[str, Any]) -> Done:
    """Refund all that came, tell the customer, and open a ticket that ends with the refund."""
    key = f"late:{paying.out_trade_no}"
    opened = await refunds.open_refund(
        writer,
        stream,
        cause=key,
        reason="late_payment",
        amount_fen=int(fact["amount_fen"]),
        late_out_trade_no=paying.out_trade_no,
    )
    number = opened.out_refund_no if opened else ""
    await tickets.open_ticket(
        writer,
        site_id=stream.site_id,
        order_id=stream.order_id,
        kind="late_payment",
        key=key,
        data={"out_trade_no": paying.out_trade_no, "out_refund_no": number},
    )
    step = Step(order_id=paying.order_id, key=key, actor="gateway")
    what = Change(type="payment.returning", data={"late_payment": "refunding"}, columns={})
    changed = await orders.change(writer, step, stream, what)
    return changed.done((number,) if number else ())


async def _freeze(
    writer: Writer, stream: Stream, paying: Paying, fact: dict[str, Any], wrong: Sequence[str]
) -> Done:
    """Nothing is delivered for it: to suspense, and home where only its amount is wrong."""
    await payments.book(writer, paying, fact, wanted=False)
    await payments.took(writer, paying, fact, "frozen")
    told: dict[str, Any] = {
        "site_id": stream.site_id,
        "order_id": stream.order_id,
        "key": f"frozen:{paying.out_trade_no}",
        "data": {"out_trade_no": paying.out_trade_no, "differs": ",".join(wrong)},
    }
    await tickets.open_ticket(writer, kind="payment_mismatch", **told)
    await events.note(writer, kind="payment_frozen", **told)
    if list(wrong) == ["amount_fen"]:
        return await _send_home(writer, stream, paying, fact)
    return Changed(stream=stream, fresh=False).done()


async def _refunds_of_late(writer: Writer, stream: Stream, out_trade_no: str) -> tuple[str, ...]:
    number = await refunds.by_cause(writer, stream.order_id, f"late:{out_trade_no}")
    return (number,) if number else ()


def _settled(done: Done, outcome: str) -> Settled:
    return Settled(
        seq=done.seq,
        status=done.status,
        payment=done.payment,
        kitchen=done.kitchen,
        refund_nos=done.refund_nos,
        outcome=outcome,
    )


def build(database: Database, gateways: Gateways) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = PaymentActs(database, gateways)
    return [acts.store_attempt, acts.open, acts.poll, acts.capture, acts.close, acts.settle]
