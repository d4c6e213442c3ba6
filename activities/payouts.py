"""Acts on batches of payouts: booked first, then handed to the bank, then followed to the end."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.act import act
from domain.contracts import payouts as contracts
from domain.contracts.payouts import FollowPayout, PayoutOf, PayoutSaid, SendPayout
from domain.errors import GatewayUnavailable
from domain.outcomes import Accepted, Outcome, Refusal, Rejected, Unknown
from domain.payouts import BatchState, LineState
from services import payouts, tickets
from services.bank.payouts import Batch, BatchSaid, Transfer, TransferState
from services.db import Database
from services.gateways import Gateways
from services.payouts import End

PATIENT_ATTEMPTS = 5
"""After so many asks without a certain answer a person is told; the asking goes on."""
IN_DOUBT = frozenset({"LINE_REUSED"})
"""Refusals of a batch after which its lines may be under way all the same."""


class PayoutActs:
    """The acts on payouts, over one database and the bank."""

    def __init__(self, database: Database, gateways: Gateways) -> None:
        self.database = database
        self.gateways = gateways

    @act(contracts.BOOK)
    async def book(self, payout: PayoutOf) -> PayoutSaid:
        """Book every line in one transaction, before the bank hears of any."""
        async with self.database.write() as writer:
            return PayoutSaid(state=await payouts.book(writer, payout.batch_id))

    @act(contracts.SEND)
    async def send(self, payout: SendPayout) -> PayoutSaid:
        """Hand the batch in under its stored ids; after any doubt query first, never renumber."""
        stored, batch = await self._stored(payout.batch_id)
        if stored.state != BatchState.SENT:
            return PayoutSaid(state=stored.state)
        bank, account = self.gateways.payouts, self._account(stored)
        if activity.info().attempt > 1:
            known = await bank.query(account, batch)
            if not (isinstance(known, Rejected) and known.kind is Refusal.NOT_FOUND):
                return await self._heard(stored, known)
        outcome = await bank.submit(account, batch)
        if isinstance(outcome, Rejected) and outcome.code not in IN_DOUBT:
            late = datetime.now(UTC) - stored.decided_at
            if outcome.kind is Refusal.NEVER or late.total_seconds() > payout.give_up_seconds:
                refused = (
                    End(line_id=one.line_id, paid=False, reason=outcome.code)
                    for one in batch.transfers
                )
                return await self._end(stored, refused)
        return await self._heard(stored, outcome)

    @act(contracts.FOLLOW)
    async def follow(self, payout: FollowPayout) -> PayoutSaid:
        """Query and book what has ended; not all yet is a retry on the advised schedule."""
        stored, batch = await self._stored(payout.batch_id)
        if stored.state != BatchState.SENT:
            return PayoutSaid(state=stored.state)
        outcome = await self.gateways.payouts.query(self._account(stored), batch)
        said = await self._heard(stored, outcome)
        if said.state == BatchState.SENT:
            waits = payout.waits_seconds
            wait = waits[min(activity.info().attempt, len(waits)) - 1]
            raise ApplicationError(
                "lines are on their way",
                type="not_paid_out_yet",
                next_retry_delay=timedelta(seconds=wait),
            )
        return said

    def _account(self, stored: Row[Any]) -> Any:  # noqa: ANN401 - the channel's own
        return self.gateways.account(stored.channel, stored.keys_ref)

    async def _stored(self, batch_id: str) -> tuple[Row[Any], Batch]:
        """The batch's row, and as the bank hears of it: always the same lines."""
        async with self.database.read() as reader:
            stored = await payouts.on_its_way(reader, batch_id)
            rows = await payouts.lines(reader, batch_id)
        transfers = tuple(
            Transfer(line_id=row.line_id, payee=row.payee, amount_fen=row.amount_fen)
            for row in rows
            if row.state != LineState.DROPPED
        )
        return stored, Batch(batch_id=batch_id, transfers=transfers)

    async def _heard(self, stored: Row[Any], outcome: Outcome[BatchSaid]) -> PayoutSaid:
        match outcome:
            case Accepted(value=said):
                ends = [
                    End(
                        line_id=one.transfer.line_id,
                        paid=one.state is TransferState.SUCCESS,
                        transfer_id=one.transfer_id,
                        reason=one.reason,
                    )
                    for one in said.transfers
                    if one.state is not TransferState.PROCESSING
                ]
                return await self._end(stored, ends)
            case Rejected(code=code):
                await self._tell_a_person(stored, code)
                raise GatewayUnavailable(f"the bank said {code}")
            case Unknown(reason=reason):
                await self._tell_a_person(stored, reason)
                raise GatewayUnavailable("the bank gave no certain answer")

    async def _end(self, stored: Row[Any], ends: Iterable[End]) -> PayoutSaid:
        """Book ends; each line that failed is a ticket, and owed again."""
        async with self.database.write() as writer:
            state, failed = await payouts.end(writer, stored.batch_id, ends)
            for one in failed:
                await tickets.open_ticket(
                    writer,
                    site_id=stored.site_id,
                    order_id="",
                    kind="payout_failed",
                    key=f"payout/{one.line_id}/failed",
                    data={
                        "batch_id": stored.batch_id,
                        "line_id": one.line_id,
                        "reason": one.reason,
                    },
                )
        return PayoutSaid(state=state)

    async def _tell_a_person(self, stored: Row[Any], code: str) -> None:
        if activity.info().attempt < PATIENT_ATTEMPTS:
            return
        async with self.database.write() as writer:
            await tickets.open_ticket(
                writer,
                site_id=stored.site_id,
                order_id="",
                kind="payout_stuck",
                key=f"payout/{stored.batch_id}/stuck",
                data={"batch_id": stored.batch_id, "code": code},
            )


def build(database: Database, gateways: Gateways) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = PayoutActs(database, gateways)
    return [acts.book, acts.send, acts.follow]
