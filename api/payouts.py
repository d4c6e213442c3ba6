"""Payouts: one of finance proposes a batch, another decides; a workflow does the rest."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import Row
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Finance
from api.once import NeededKey, key_of, once
from api.orders import Cursor, Limit
from api.parts import Held, Parts
from api.replies import reply
from api.schemas import Id
from domain import ids
from services import payouts
from services.identity import Identity

PATH = "/v1/finance/payouts"
router = APIRouter(prefix=PATH, tags=["finance"])
State = Annotated[Literal["proposed", "declined", "approved", "sent", "finished"] | None, Query()]


@router.post("", response_model=schemas.PayoutBatch, status_code=201)
async def propose_payouts(
    parts: Held, who: Finance, wanted: schemas.ProposePayouts, idempotency_key: NeededKey
) -> Response:
    """Propose to pay all that is owed; who has no payee token at the bank is left out.

    Merchants are owed here what no channel brings them; what they owe is set off first.
    """
    batch_id = ids.payout_batch(who.site_id, who.actor, idempotency_key)

    async def propose(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        async with parts.database.write() as writer:
            batch = await payouts.propose(
                writer,
                site_id=who.site_id,
                batch_id=batch_id,
                actor=who.actor,
                minimum_fen=wanted.minimum_fen,
            )
        return reply(_told(batch), 201)

    return await once(parts, key_of(who, idempotency_key, PATH, wanted), batch_id, propose)


@router.get("", response_model=schemas.PayoutBatches)
async def list_payouts(
    parts: Held, who: Finance, *, state: State = None, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """Batches of the site, newest first."""
    after = None
    if cursor:
        at, batch_id = cursors.decode(cursor, str, str)
        after = (cursors.moment(at), str(batch_id))
    async with parts.database.read() as reader:
        rows = await payouts.page(
            reader, who.site_id, state=state or "", after=after, limit=limit + 1
        )
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode(last.proposed_at, last.batch_id) if last else None
    return replies.page([_told(row) for row in shown], more)


@router.get("/{batch_id}", response_model=schemas.PayoutDetails)
async def read_payouts(parts: Held, who: Finance, batch_id: Id) -> Response:
    """A batch with each payee's line."""
    async with parts.database.read() as reader:
        batch = await payouts.read(reader, who.site_id, batch_id)
        lines = [dict(row._mapping) for row in await payouts.lines(reader, batch_id)]  # noqa: SLF001
    for line in lines:
        del line["payee"]
    return reply({**_told(batch), "items": lines})


@router.post("/{batch_id}/approve", response_model=schemas.PayoutBatch)
async def approve_payouts(parts: Held, who: Finance, batch_id: Id) -> Response:
    """A second person agrees: the batch goes out within a minute. Again changes nothing."""
    return await _decide(parts, who, batch_id, approve=True)


@router.post("/{batch_id}/decline", response_model=schemas.PayoutBatch)
async def decline_payouts(parts: Held, who: Finance, batch_id: Id) -> Response:
    """A second person says no: nothing is moved. Again changes nothing."""
    return await _decide(parts, who, batch_id, approve=False)


async def _decide(parts: Parts, who: Identity, batch_id: str, *, approve: bool) -> Response:
    async with parts.database.write() as writer:
        batch = await payouts.decide(
            writer, site_id=who.site_id, batch_id=batch_id, actor=who.actor, approve=approve
        )
    return reply(_told(batch))


def _told(row: Row[Any]) -> dict[str, Any]:
    hidden = {"site_id", "account_id"}
    return {name: value for name, value in row._mapping.items() if name not in hidden}  # noqa: SLF001
