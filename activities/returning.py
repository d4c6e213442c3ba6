"""Taking the platform's share of an order back before its refund; part of the refund's own act."""

from typing import Any

from sqlalchemy import Row
from temporalio import activity

from domain.channels import Share, ShareState
from domain.errors import GatewayUnavailable
from domain.outcomes import Accepted, Refusal, Rejected
from domain.settlement import SplitState
from services import events, split_returns, tickets
from services.channel import Channel
from services.db import Database
from services.refunds import Refunding

PATIENT_ATTEMPTS = 5
"""After so many refusals the return is given up for certain, until a person has looked."""
STATES = {
    ShareState.PENDING: SplitState.ASKED,
    ShareState.SUCCESS: SplitState.SUCCESS,
    ShareState.CLOSED: SplitState.CLOSED,
}


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
    state, reason, name = await _result(channel, account, wanted)
    async with database.write() as writer:
        await events.lock(writer, wanted.order_id)
        fresh = await split_returns.mark(writer, wanted.out_return_no, state, reason, name=name)
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


async def _result(
    channel: Channel[Any],
    account: Any,  # noqa: ANN401 - each channel's own
    wanted: Row[Any],
) -> tuple[SplitState, str, str]:
    """Query first: it may have been asked for before, and never is under another number.

    Raises GatewayUnavailable while the channel's answer is in doubt, or may still change.
    """
    numbers = {"out_order_no": wanted.out_order_no, "out_return_no": wanted.out_return_no}
    known = await channel.query_return(account, **numbers)
    if isinstance(known, Rejected) and known.kind is Refusal.NOT_FOUND:
        share = Share(
            receiver=wanted.receiver, amount_fen=wanted.amount_fen, description="分账回退"
        )
        known = await channel.return_split(account, **numbers, share=share)
        if isinstance(known, Rejected) and (
            known.kind is Refusal.NEVER or activity.info().attempt >= PATIENT_ATTEMPTS
        ):
            return SplitState.CLOSED, known.code, ""
    if not isinstance(known, Accepted):
        raise GatewayUnavailable("the payment channel gave no certain answer about a share")
    result = known.value.results[0]
    return STATES[result.state], result.reason, known.value.name
