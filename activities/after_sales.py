"""Acts on a customer's wish for money back: each one transaction under the order's lock."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Row

from activities.act import act
from activities.refunds import open_refund
from domain import allocation, refund_rules
from domain.after_sale import State, choose, ensure_follows, first_state
from domain.channels import Ability
from domain.contracts import after_sales as contracts
from domain.contracts.after_sales import AfterSaleSaid, AfterSaleStep, Ask
from domain.contracts.orders import Step
from domain.errors import ActionNotAllowed
from domain.ids import order_workflow
from domain.orders import Payment
from domain.refund_rules import Bearer, reason_of
from services import after_sales, facts, orders, tickets
from services.after_sales import CAUSE, MAX_OF_ORDER, Sold
from services.db import Database, Writer
from services.events import Stream
from services.orders import Change
from services.refunds import MerchantShort, Source


class AfterSaleActs:
    """The acts on after-sales, over one database and what each channel can do."""

    def __init__(self, database: Database, abilities: Mapping[str, Ability]) -> None:
        self.database = database
        self.abilities = abilities

    @act(contracts.ASK)
    async def ask(self, ask: Ask) -> AfterSaleSaid:
        """Check what is asked against rules and rests, and keep it."""
        step = Step(
            order_id=ask.order_id,
            key=f"{CAUSE}{ask.after_sale_id}:asked",
            actor=ask.actor,
            request_id=ask.request_id,
        )
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return await _said(writer, stream, ask.after_sale_id)
            reason = reason_of(ask.reason_code)
            sold = await after_sales.sold(writer, ask.order_id)
            self._ensure_in_time(sold, reason)
            parts = choose(sold.left, ask.lines, delivery_fee=ask.delivery_fee, reason=reason)
            state = first_state(reason)
            await after_sales.insert(
                writer, ask, site_id=sold.site_id, reason=reason, state=state, parts=parts
            )
            if state is State.ESCALATED:
                await _ticket(writer, stream, step, ask.after_sale_id, "after_sale")
            asked = {
                "after_sale": state,
                "after_sale_id": ask.after_sale_id,
                "reason_code": reason.code,
                "bearer": reason.bearer,
                "after_sale_fen": allocation.paid_fen(parts),
            }
            return await _tell(writer, stream, step, asked)

    @act(contracts.APPROVE)
    async def approve(self, step: AfterSaleStep) -> AfterSaleSaid:
        """Open the refund; where the merchant's balance is short, the platform stands in."""
        try:
            return await self._approve(step)
        except MerchantShort:
            return await self._approve(step, stands_in=True)

    @act(contracts.REJECT)
    async def reject(self, step: AfterSaleStep) -> AfterSaleSaid:
        """The merchant says no; the customer may turn to support."""
        return await self._move(step, State.REJECTED)

    @act(contracts.ESCALATE)
    async def escalate(self, step: AfterSaleStep) -> AfterSaleSaid:
        """Support is asked to decide."""
        return await self._move(step, State.ESCALATED, ticket="after_sale")

    @act(contracts.REQUEST_APPROVAL)
    async def request_approval(self, step: AfterSaleStep) -> AfterSaleSaid:
        """One of support agrees; a second person must."""
        return await self._move(step, State.AWAITING_APPROVAL)

    @act(contracts.DECLINE)
    async def decline(self, step: AfterSaleStep) -> AfterSaleSaid:
        """The last word: nothing goes back."""
        return await self._move(step, State.DECLINED)

    @act(contracts.REMIND)
    async def remind(self, step: AfterSaleStep) -> AfterSaleSaid:
        """Support was silent: another ticket."""
        async with self.database.write() as writer:
            stream, _ = await orders.begin(writer, step)
            await _ticket(writer, stream, step, step.after_sale_id, "after_sale_overdue")
            return await _said(writer, stream, step.after_sale_id)

    def _ensure_in_time(self, sold: Sold, reason: refund_rules.Reason) -> None:
        refund_rules.ensure_in_window(
            reason, delivered_at=sold.delivered_at, now=sold.now, speed=sold.speed
        )
        refund_rules.ensure_channel_takes(
            self.abilities.get(sold.channel, refund_rules.USUAL),
            paid_at=sold.paid_at,
            refunds=sold.refunds,
            refunded_at=sold.refunded_at,
            now=sold.now,
        )
        if sold.asked >= MAX_OF_ORDER:
            raise ActionNotAllowed("this was asked too often", reason="too_many_wishes")

    async def _move(self, step: AfterSaleStep, state: State, *, ticket: str = "") -> AfterSaleSaid:
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return await _said(writer, stream, step.after_sale_id)
            wish = await after_sales.find(writer, step.after_sale_id)
            ensure_follows(State(wish.state), state)
            await _answer(writer, step, state)
            if ticket:
                await _ticket(writer, stream, step, step.after_sale_id, ticket)
            data = {"after_sale": state, "after_sale_id": step.after_sale_id}
            return await _tell(writer, stream, step, data)

    async def _approve(self, step: AfterSaleStep, *, stands_in: bool = False) -> AfterSaleSaid:
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            wish = await after_sales.find(writer, step.after_sale_id)
            if repeated:
                return await _said(writer, stream, step.after_sale_id)
            ensure_follows(State(wish.state), State.APPROVED)
            sold = await after_sales.sold(writer, step.order_id)
            parts = after_sales.parts_of(wish)
            if sold.left_fen < wish.amount_fen:
                # Support has given money back since it was asked.
                parts = allocation.amount(parts, sold.left_fen)
            amount_fen = allocation.paid_fen(parts)
            if not amount_fen:
                await _answer(writer, step, State.DECLINED)
                gone = {"after_sale": State.DECLINED, "after_sale_id": step.after_sale_id}
                return await _tell(writer, stream, step, gone)
            number = await open_refund(
                writer,
                stream,
                cause=f"{CAUSE}{step.after_sale_id}",
                reason=wish.reason_code,
                amount_fen=amount_fen,
                source=_source(sold, Bearer(wish.bearer), stands_in=stands_in),
            )
            if number is None:
                raise ActionNotAllowed("nothing is left of the payment", reason="nothing_left")
            await after_sales.pay(writer, step.after_sale_id, out_refund_no=number, parts=parts)
            await _answer(writer, step, State.APPROVED)
            if stands_in:
                await _ticket(writer, stream, step, step.after_sale_id, "merchant_owes")
            if sold.ended_at is None:
                await _tell_order(writer, stream, number)
            data = {
                "after_sale": State.APPROVED,
                "after_sale_id": step.after_sale_id,
                "after_sale_fen": amount_fen,
                "payment": Payment.REFUNDING,
            }
            return await _tell(writer, stream, step, data)


def _source(sold: Sold, bearer: Bearer, *, stands_in: bool) -> Source:
    """Whose money: the order's while it holds some, then the merchant's or the platform's."""
    if sold.ended_at is None:
        return "held"
    return "merchant" if bearer is Bearer.MERCHANT and not stands_in else "platform"


async def _answer(writer: Writer, step: AfterSaleStep, state: State) -> None:
    await after_sales.move(
        writer, step.after_sale_id, state, actor=step.actor, reason_code=step.reason_code
    )


async def _tell(
    writer: Writer, stream: Stream, step: Step, data: Mapping[str, Any]
) -> AfterSaleSaid:
    """Say it as an event of the order, which may have ended long ago."""
    columns = {name: data[name] for name in ("after_sale", "payment") if name in data}
    what = Change(type=f"after_sale.{data['after_sale']}", data=data, columns=columns)
    changed = await orders.change(writer, step, stream, what)
    return await _said(writer, changed.stream, data["after_sale_id"])


async def _tell_order(writer: Writer, stream: Stream, number: str) -> None:
    """The order's own workflow believes what it is told."""
    await facts.tell(
        writer,
        site_id=stream.site_id,
        order_id=stream.order_id,
        workflow_id=order_workflow(stream.order_id),
        name="refund_ended",
        body={"out_refund_no": number, "state": "created", "payment": Payment.REFUNDING},
    )


async def _ticket(
    writer: Writer, stream: Stream, step: Step, after_sale_id: str, kind: str
) -> None:
    await tickets.open_ticket(
        writer,
        site_id=stream.site_id,
        order_id=stream.order_id,
        kind=kind,
        key=step.key,
        data={"after_sale_id": after_sale_id},
    )


async def _said(writer: Writer, stream: Stream, after_sale_id: str) -> AfterSaleSaid:
    wish: Row[Any] = await after_sales.find(writer, after_sale_id)
    return AfterSaleSaid(
        after_sale_id=after_sale_id,
        order_id=wish.order_id,
        state=wish.state,
        amount_fen=wish.amount_fen,
        seq=stream.seq,
        refund_nos=(wish.out_refund_no,) if wish.out_refund_no else (),
        agreed_by=wish.answered_by if wish.state == State.AWAITING_APPROVAL else "",
    )


def build(database: Database, abilities: Mapping[str, Ability]) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = AfterSaleActs(database, abilities)
    return [
        acts.ask,
        acts.approve,
        acts.reject,
        acts.escalate,
        acts.request_approval,
        acts.decline,
        acts.remind,
    ]
