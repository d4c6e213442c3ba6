"""Acts that share an order's money out: each number is stored first, asked, followed, booked."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Row
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.act import act
from domain.channels import Share, ShareState
from domain.channels import SplitSaid as Said
from domain.contracts import settlement as contracts
from domain.contracts.settlement import (
    FollowSplit,
    Settlement,
    SettlementOf,
    SplitNow,
    Splitting,
)
from domain.errors import GatewayUnavailable
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from domain.settlement import SPLITS_MAX, SplitState, to_split
from services import events, personal, settlement, tickets
from services.channel import Channel
from services.db import Database, Writer
from services.gateways import Gateways
from services.settlement import Settling

PATIENT_ATTEMPTS = 10
"""After so many refusals, minutes apart in all, a number is given up for certain."""
SHIP_ATTEMPTS = 3
log = structlog.get_logger(__name__)
NOTHING = SplitNow(state=Splitting.NONE)
ENDED = {SplitState.SUCCESS: Splitting.SUCCESS, SplitState.CLOSED: Splitting.CLOSED}


class SettlementActs:
    """The acts on settlements, over one database and the gateways."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self.database = database
        self.gateways = gateways

    @act(contracts.SPLIT)
    async def split(self, order: SettlementOf) -> SplitNow:
        """Ask for the platform's share under the newest number that may still bring it."""
        of, channel, account = await self._of(order.order_id)
        if channel.ability.ships and of.shipped_at is None:
            await self._ship(of, channel, account)
        if not (of.split and channel.ability.splits):
            return NOTHING
        async with self.database.write() as writer:
            number = await _number_to_split(writer, order.order_id, channel)
        if isinstance(number, SplitNow):
            return number

        async def ask() -> Outcome[Said]:
            may = await channel.ensure_receiver(
                account, receiver=number.receiver, name=of.receiver_name
            )
            if not isinstance(may, Accepted):
                return may
            share = Share(
                receiver=number.receiver,
                amount_fen=number.amount_fen,
                description=f"{of.shop_name} #{of.number}",
            )
            # Without `finish`: the share could never be tried again if its receiver is closed.
            return await channel.split(
                account,
                transaction_id=of.transaction_id,
                out_order_no=number.out_order_no,
                shares=(share,),
                finish=False,
            )

        return await self._ask(of, channel, account, number, ask)

    @act(contracts.UNFREEZE)
    async def unfreeze(self, order: SettlementOf) -> SplitNow:
        """Give the payee what is left, under a number of its own; taken on, it can't fail."""
        of, channel, account = await self._of(order.order_id)
        async with self.database.write() as writer:
            number = await _number_to_unfreeze(writer, order.order_id)
        if isinstance(number, SplitNow):
            return number

        async def ask() -> Outcome[Said]:
            return await channel.unfreeze(
                account, transaction_id=of.transaction_id, out_order_no=number.out_order_no
            )

        said = await self._ask(of, channel, account, number, ask)
        if said.state != Splitting.ASKED:
            return said
        await self._mark(number, SplitState.SUCCESS)
        return SplitNow(state=Splitting.SUCCESS, out_order_no=number.out_order_no)

    @act(contracts.FOLLOW)
    async def follow(self, wanted: FollowSplit) -> SplitNow:
        """Query until the number has its own result; finished alone says nothing (law 2)."""
        of, channel, account = await self._of(wanted.order_id)
        outcome = await channel.query_split(
            account, transaction_id=of.transaction_id, out_order_no=wanted.out_order_no
        )
        if isinstance(outcome, Accepted):
            ended = await self._heard(of, wanted.out_order_no, outcome.value)
            if ended is not None:
                return ended
        tried = activity.info().attempt - 1
        wait = wanted.waits_seconds[min(tried, len(wanted.waits_seconds) - 1)]
        raise ApplicationError(
            "not shared out yet", type="not_split_yet", next_retry_delay=timedelta(seconds=wait)
        )

    @act(contracts.FINISH)
    async def finish(self, order: SettlementOf) -> Settlement:
        """What the payee has is the merchant's; a share that did not come is told to finance."""
        async with self.database.write() as writer:
            await events.lock(writer, order.order_id)
            of = await settlement.settling(writer, order.order_id)
            numbers = await settlement.splits(writer, order.order_id)
            share_fen = _share(numbers)
            ability = self.gateways.channel(of.channel).ability
            await settlement.end(writer, of, share_fen=share_fen, returnable=ability.returns_shares)
            closed = [one for one in numbers if one.state == SplitState.CLOSED]
            if closed and (not share_fen or closed[-1].kind == "unfreeze"):
                await tickets.open_ticket(
                    writer,
                    site_id=of.site_id,
                    order_id=of.order_id,
                    kind="split_failed",
                    key="split_failed",
                    data={"out_order_no": closed[-1].out_order_no, "code": closed[-1].reason},
                )
        return Settlement(share_fen=share_fen)

    async def _of(self, order_id: str) -> tuple[Settling, Channel[Any], Any]:
        """A settlement, its channel, and its payee's keys there."""
        async with self.database.read() as reader:
            of = await settlement.settling(reader, order_id)
        account = self.gateways.account(of.channel, of.keys_ref)
        return of, self.gateways.channel(of.channel), account

    async def _ship(self, of: Settling, channel: Channel[Any], account: Any) -> None:  # noqa: ANN401
        """Tell the channel of the delivery: it keeps the money frozen until then.

        Never for long in the way: what stays frozen is told by the split's own refusal.
        """
        async with self.database.read() as reader:
            payer = await personal.get(
                reader,
                site_id=of.site_id,
                subject=f"customer:{of.customer_id}",
                kind="openid",
                ref=of.channel,
            )
        outcome = await channel.upload_shipping(
            account,
            transaction_id=of.transaction_id,
            payer=payer["openid"] if payer else "",
            description=f"{of.shop_name} #{of.number}",
        )
        match outcome:
            case Accepted():
                async with self.database.write() as writer:
                    await settlement.shipped(writer, of.order_id)
            case Unknown() if activity.info().attempt < SHIP_ATTEMPTS:
                raise GatewayUnavailable("the payment channel gave no certain answer")
            case Rejected(code=said) | Unknown(reason=said):
                log.warning("shipping not told", order_id=of.order_id, code=said)

    async def _ask(
        self,
        of: Settling,
        channel: Channel[Any],
        account: Any,  # noqa: ANN401 - each channel's own
        number: Row[Any],
        ask: Callable[[], Any],
    ) -> SplitNow:
        """Ask under a stored number; after any doubt query first, never renumber."""
        now = SplitNow(state=Splitting.ASKED, out_order_no=number.out_order_no)
        if number.state == SplitState.ASKED:
            return now
        attempt = activity.info().attempt
        if attempt > 1:
            known = await channel.query_split(
                account, transaction_id=of.transaction_id, out_order_no=number.out_order_no
            )
            if isinstance(known, Accepted):
                await self._mark(number, SplitState.ASKED, name=known.value.name)
                return now
            if not (isinstance(known, Rejected) and known.kind is Refusal.NOT_FOUND):
                raise GatewayUnavailable("the payment channel gave no certain answer")
        outcome: Outcome[Said] = await ask()
        match outcome:
            case Accepted(value=said):
                await self._mark(number, SplitState.ASKED, name=said.name)
                return now
            case Rejected(code=code, kind=kind):
                if kind is not Refusal.NEVER and attempt < PATIENT_ATTEMPTS:
                    raise GatewayUnavailable(f"the payment channel said {code}")
                await self._mark(number, SplitState.CLOSED, code)
                return SplitNow(state=Splitting.CLOSED, out_order_no=number.out_order_no)
            case Unknown():
                raise GatewayUnavailable("the payment channel gave no certain answer")

    async def _mark(
        self, number: Row[Any], state: SplitState, reason: str = "", *, name: str = ""
    ) -> None:
        async with self.database.write() as writer:
            await settlement.mark(writer, number.out_order_no, state, reason, name=name)

    async def _heard(self, of: Settling, out_order_no: str, said: Said) -> SplitNow | None:
        """Write and book a number's own result; None while there is none."""
        async with self.database.write() as writer:
            await events.lock(writer, of.order_id)
            known = await settlement.splits(writer, of.order_id)
            number = next(one for one in known if one.out_order_no == out_order_no)
            if number.state not in ENDED:
                state, reason = _result(number, said)
                if state is None:
                    return None
                await settlement.mark(writer, out_order_no, state, reason, name=said.name)
                if state is SplitState.SUCCESS:
                    await settlement.book_share(writer, of, number)
            else:
                state = SplitState(number.state)
        return SplitNow(state=ENDED[state], out_order_no=out_order_no)


async def _number_to_split(
    writer: Writer, order_id: str, channel: Channel[Any]
) -> Row[Any] | SplitNow:
    """The number to ask under, stored by now; or why there is none."""
    await events.lock(writer, order_id)
    of = await settlement.settling(writer, order_id)
    known = await settlement.splits(writer, order_id)
    last = known[-1] if known else None
    if last is not None and last.kind == "unfreeze":
        return SplitNow(state=Splitting.GIVEN_UP)
    if last is not None and last.state == SplitState.SUCCESS:
        return SplitNow(state=Splitting.SUCCESS, out_order_no=last.out_order_no)
    if last is not None and last.state != SplitState.CLOSED:
        return last
    amount_fen = to_split(
        of.commission_fen + of.delivery_fen,
        paid_fen=of.paid_fen,
        left_fen=of.left_fen,
        merchant_fen=await settlement.due(writer, of),
        cap_bp=channel.ability.split_cap_bp,
    )
    if not (of.receiver and amount_fen) or len(known) >= SPLITS_MAX:
        return SplitNow(state=Splitting.GIVEN_UP)
    number = len(known) + 1
    await settlement.new_split(writer, of, kind="split", number=number, amount_fen=amount_fen)
    return (await settlement.splits(writer, order_id))[-1]


async def _number_to_unfreeze(writer: Writer, order_id: str) -> Row[Any] | SplitNow:
    """The number to unfreeze under, stored by now; or why there is none to ask."""
    await events.lock(writer, order_id)
    of = await settlement.settling(writer, order_id)
    known = await settlement.splits(writer, order_id)
    if not known or known[-1].kind != "unfreeze":
        if of.left_fen <= _share(known):
            return NOTHING  # all of it was split or goes back
        await settlement.new_split(writer, of, kind="unfreeze", number=len(known) + 1)
        known = await settlement.splits(writer, order_id)
    last = known[-1]
    if last.state in ENDED:
        return SplitNow(state=ENDED[last.state], out_order_no=last.out_order_no)
    return last


def _share(numbers: Sequence[Row[Any]]) -> int:
    """What the platform has got, fen."""
    return sum(one.amount_fen for one in numbers if one.state == SplitState.SUCCESS)


def _result(number: Row[Any], said: Said) -> tuple[SplitState | None, str]:
    """The state of this number's own receiver; finished alone says nothing of them."""
    own = [one for one in said.results if one.receiver == number.receiver]
    if not own or own[0].state is ShareState.PENDING:
        return None, ""
    if own[0].state is ShareState.CLOSED:
        return SplitState.CLOSED, own[0].reason
    return SplitState.SUCCESS, ""


def build(database: Database, gateways: Gateways) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = SettlementActs(database, gateways)
    return [acts.split, acts.unfreeze, acts.follow, acts.finish]
