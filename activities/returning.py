"""Taking the platform's share of an order back before its refund; part of the refund's own act."""

from typing import Any

from sqlalchemy import Row

from domain.channels import Share, ShareState, SplitSaid
from domain.errors import GatewayUnavailable
from domain.outcomes import Accepted, Outcome, Refusal, Rejected
from domain.settlement import SplitState
from services import events, split_returns, tickets
from services.channel import Channel
from services.db import Database
from services.refunds import Refunding


async def take_back(
    database: Database,
    channel: Channel[Any],
    account: Any,  # noqa: ANN401 - each channel's own
    refund: Refunding,
) -> None:
    """Return what the refund needs of a share, under its stored number; at once if there is none.

    Raises:
        GatewayUnavailable: not yet. Where the channel has refused for good, finance has a ticket,
            and when that is resolved the return is tried under its next number.
    """
    async with database.read() as reader:
        wanted = await split_returns.last_of(reader, refund.out_refund_no)
    if wanted is None or wanted.state == SplitState.SUCCESS:
        return
    if wanted.state == SplitState.CLOSED:
        if wanted.looked_at:
            async with database.write() as writer:
                await events.lock(writer, wanted.order_id)
                await split_returns.again(writer, wanted)
        raise GatewayUnavailable("the share was not given back")
    state, reason = _result(await _said(channel, account, wanted))
    async with database.write() as writer:
        await events.lock(writer, wanted.order_id)
        fresh = await split_returns.mark(writer, wanted.out_return_no, state, reason)
        if fresh and state is SplitState.SUCCESS:
            await split_returns.book(writer, wanted, channel=refund.channel, mchid=refund.mchid)
        if fresh and state is SplitState.CLOSED:
            await tickets.open_ticket(
                writer,
                site_id=refund.site_id,
                order_id=refund.order_id,
                kind="split_failed",
                key=f"split_return:{wanted.out_return_no}",
                data={"out_return_no": wanted.out_return_no, "code": reason},
            )
    if state is not SplitState.SUCCESS:
        raise GatewayUnavailable("the share is not back yet")


async def _said(
    channel: Channel[Any],
    account: Any,  # noqa: ANN401 - each channel's own
    wanted: Row[Any],
) -> Outcome[SplitSaid]:
    """Query first: it may have been asked for before, and never is under another number."""
    numbers = {"out_order_no": wanted.out_order_no, "out_return_no": wanted.out_return_no}
    known = await channel.query_return(account, **numbers)
    if not (isinstance(known, Rejected) and known.kind is Refusal.NOT_FOUND):
        return known
    share = Share(receiver=wanted.receiver, amount_fen=wanted.amount_fen, description="分账回退")
    return await channel.return_split(account, **numbers, share=share)


def _result(outcome: Outcome[SplitSaid]) -> tuple[SplitState, str]:
    """Where the return is; raises GatewayUnavailable where that is in doubt."""
    match outcome:
        case Accepted(value=said):
            result = said.results[0]
            if result.state is ShareState.SUCCESS:
                return SplitState.SUCCESS, ""
            if result.state is ShareState.CLOSED:
                return SplitState.CLOSED, result.reason
            return SplitState.ASKED, ""
        case Rejected(code=code, kind=Refusal.NEVER):
            return SplitState.CLOSED, code
    raise GatewayUnavailable("the payment channel gave no certain answer about a share")
