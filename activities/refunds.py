"""Acts that bring money home: asked under a stored number, queried until certain, booked once."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.act import act
from activities.returning import take_back
from domain.channels import RefundSaid as Said
from domain.contracts import refunds as contracts
from domain.contracts.orders import Step
from domain.contracts.refunds import (
    REFUND_ENDS,
    EndRefund,
    FollowRefund,
    RefundOf,
    RefundSaid,
    RefundState,
)
from domain.credit import RENEWED
from domain.errors import GatewayUnavailable
from domain.ids import order_workflow
from domain.orders import Payment
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from services import after_sales, credit, events, facts, ledger, orders, refunds, tickets
from services.channel import Channel, Resender
from services.db import Database, Writer
from services.events import Stream
from services.gateways import Gateways
from services.orders import Change
from services.refunds import MerchantShort, Refunding, Source

PATIENT_ATTEMPTS = 5
"""After so many refusals a person is told; the asking goes on."""


class RefundActs:
    """The acts on refunds, over one database and the gateways."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self.database = database
        self.gateways = gateways

    @act(contracts.REQUEST)
    async def request(self, refund: RefundOf) -> RefundSaid:
        """Ask the gateway under the stored number; after any doubt query first, never renumber.

        What the refund needs of a share that was split off comes back first.
        """
        stored = await self._stored(refund.out_refund_no)
        if RefundState(stored.state) in REFUND_ENDS:
            return RefundSaid(state=stored.state)
        if not stored.amount_fen:
            return RefundSaid(state=RefundState.SUCCESS)
        if stored.state == RefundState.RETRYING:
            return await self._send_again(stored)
        channel, account = self._at(stored)
        if activity.info().attempt > 1 or stored.state == RefundState.PROCESSING:
            known = await channel.query_refund(
                account,
                out_trade_no=stored.out_trade_no,
                out_refund_no=stored.out_refund_no,
                handles=stored.handles,
            )
            if not (isinstance(known, Rejected) and known.kind is Refusal.NOT_FOUND):
                return await self._heard(stored, known)
        await take_back(self.database, channel, account, stored)
        outcome = await channel.refund(
            account,
            out_trade_no=stored.out_trade_no,
            out_refund_no=stored.out_refund_no,
            refund_fen=stored.amount_fen,
            total_fen=stored.total_fen,
            reason=stored.reason,
            handles=stored.handles,
            notify_url=self.gateways.notify_url(stored.channel, stored.account_id),
        )
        if isinstance(outcome, Rejected) and outcome.kind is Refusal.NEVER:
            return RefundSaid(state=RefundState.ABNORMAL)
        return await self._heard(stored, outcome)

    async def _send_again(self, stored: Refunding) -> RefundSaid:
        """To another card, unless the channel has it on its way there already."""
        channel, account = self._at(stored)
        known = await channel.query_refund(
            account,
            out_trade_no=stored.out_trade_no,
            out_refund_no=stored.out_refund_no,
            handles=stored.handles,
        )
        if not (isinstance(known, Accepted) and known.value.state == RefundState.ABNORMAL):
            return await self._heard(stored, known)
        async with self.database.read() as reader:
            card = await refunds.card_of(reader, stored)
        if card is None or not isinstance(channel, Resender):
            return RefundSaid(state=RefundState.ABNORMAL)
        outcome = await channel.retry_refund(
            account,
            out_refund_no=stored.out_refund_no,
            refund_id=known.value.refund_id,
            card=card,
        )
        if isinstance(outcome, Rejected) and outcome.kind is Refusal.NEVER:
            return RefundSaid(state=RefundState.ABNORMAL)
        return await self._heard(stored, outcome)

    @act(contracts.FOLLOW)
    async def follow(self, refund: FollowRefund) -> RefundSaid:
        """Query until the refund has ended; not yet is a retry on the advised schedule."""
        stored = await self._stored(refund.out_refund_no)
        if RefundState(stored.state) in REFUND_ENDS:
            return RefundSaid(state=stored.state)
        channel, account = self._at(stored)
        outcome = await channel.query_refund(
            account,
            out_trade_no=stored.out_trade_no,
            out_refund_no=stored.out_refund_no,
            handles=stored.handles,
        )
        if isinstance(outcome, Accepted) and outcome.value.state != RefundState.PROCESSING:
            return RefundSaid(state=outcome.value.state)
        tried = activity.info().attempt - 1
        wait = refund.waits_seconds[min(tried, len(refund.waits_seconds) - 1)]
        raise ApplicationError(
            "still on its way", type="not_refunded_yet", next_retry_delay=timedelta(seconds=wait)
        )

    @act(contracts.FINISH)
    async def finish(self, refund: EndRefund) -> RefundSaid:
        """Book the end and tell the customer; where the gateway gave up, a person must look."""
        state = RefundState(refund.state)
        async with self.database.write() as writer:
            stored = await refunds.refunding(writer, refund.out_refund_no)
            again = f":{stored.retries}" if stored.retries else ""
            key = f"refund:{stored.out_refund_no}:{state}{again}"
            step = Step(order_id=stored.order_id, key=key)
            stream, repeated = await orders.begin(writer, step)
            if repeated or not await refunds.ended(writer, stored, state):
                return RefundSaid(state=(await self._state(writer, stored)))
            change = await _what_it_means(writer, stored, state)
            change = _with(change, await after_sales.refund_ended(writer, stored.cause, state))
            changed = await orders.change(writer, step, stream, change)
            if state is not RefundState.SUCCESS:
                await tickets.open_ticket(
                    writer,
                    site_id=stream.site_id,
                    order_id=stream.order_id,
                    kind=f"refund_{state}",
                    key=step.key,
                    data={"out_refund_no": stored.out_refund_no},
                )
            if stored.retries:
                await refunds.forget_card(writer, stored)
            if not orders.has_ended(stream):
                await facts.tell(
                    writer,
                    site_id=stored.site_id,
                    order_id=stored.order_id,
                    workflow_id=order_workflow(stored.order_id),
                    name="refund_ended",
                    body={
                        "out_refund_no": stored.out_refund_no,
                        "state": state,
                        "payment": changed.stream.view["payment"],
                    },
                )
        return RefundSaid(state=state)

    def _at(self, stored: Refunding) -> tuple[Channel[Any], Any]:
        """The refund's channel and its payee's keys there."""
        channel = self.gateways.channel(stored.channel)
        return channel, self.gateways.account(stored.channel, stored.keys_ref)

    async def _stored(self, out_refund_no: str) -> Refunding:
        async with self.database.read() as reader:
            return await refunds.refunding(reader, out_refund_no)

    @staticmethod
    async def _state(writer: Writer, stored: Refunding) -> str:
        return (await refunds.refunding(writer, stored.out_refund_no)).state

    async def _tell_a_person(self, stored: Refunding, code: str) -> None:
        async with self.database.write() as writer:
            stream, _ = await orders.begin(writer, Step(order_id=stored.order_id, key=""))
            await tickets.open_ticket(
                writer,
                site_id=stream.site_id,
                order_id=stream.order_id,
                kind="refund_refused",
                key=f"refund_refused:{stored.out_refund_no}",
                data={"out_refund_no": stored.out_refund_no, "code": code},
            )

    async def _heard(self, stored: Refunding, outcome: Outcome[Said]) -> RefundSaid:
        match outcome:
            case Accepted(value=answer):
                async with self.database.write() as writer:
                    await refunds.asked(writer, stored.out_refund_no, refund_id=answer.refund_id)
                return RefundSaid(state=answer.state)
            case Rejected(code=code):
                if activity.info().attempt >= PATIENT_ATTEMPTS:
                    await self._tell_a_person(stored, code)
                raise GatewayUnavailable(f"the payment channel said {code}")
            case Unknown():
                raise GatewayUnavailable("the payment channel gave no certain answer")


async def open_refund(
    writer: Writer,
    stream: Stream,
    *,
    cause: str,
    reason: str,
    amount_fen: int,
    source: Source = "held",
) -> str | None:
    """Store a refund; what of it is credit goes back at once. Its number; None: nothing is left.

    Raises:
        MerchantShort: `source` is the merchant, whose balance is less than the amount.
    """
    opened = await refunds.open_refund(
        writer, stream, cause=cause, reason=reason, amount_fen=amount_fen, source=source
    )
    if opened is None:
        return None
    if opened.credit_fen:
        now = events.utc_now()
        wanted = credit.Refund(
            refund_id=opened.out_refund_no,
            hold_id=stream.order_id,
            amount_fen=opened.credit_fen,
        )
        given = await credit.refund(
            writer,
            wanted,
            payer=refunds.PAYERS[source],
            merchant_id=stream.merchant_id,
            now=now,
            renewed_until=now + RENEWED,
        )
        if (await ledger.post(writer, given)).status == "declined":
            raise MerchantShort
    return opened.out_refund_no


async def _what_it_means(writer: Writer, stored: Refunding, state: RefundState) -> Change:
    """The order's public change when a refund ends."""
    if stored.source == "suspense":
        return Change(type="payment.returned", data={"late_payment": state}, columns={})
    if state is not RefundState.SUCCESS:
        return Change(type="order.refund_delayed", data={"refund": state}, columns={})
    totals = await refunds.totals(writer, stored.order_id)
    row = await orders.find(writer, stored.order_id)
    if totals.open:
        payment = Payment.REFUNDING
    elif totals.back_fen >= row.paid_fen:
        payment = Payment.REFUNDED
    else:
        payment = Payment.PARTIALLY_REFUNDED
    return Change(
        type="order.refunded",
        data={"payment": payment, "refunded_fen": int(totals.back_fen)},
        columns={"payment": payment},
    )


def _with(change: Change, after_sale: Mapping[str, str]) -> Change:
    """The same change, told with the after-sale that it ends."""
    if not after_sale:
        return change
    columns = {**change.columns, "after_sale": after_sale["after_sale"]}
    return replace(change, data={**change.data, **after_sale}, columns=columns)


def build(database: Database, gateways: Gateways) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = RefundActs(database, gateways)
    return [acts.request, acts.follow, acts.finish]
