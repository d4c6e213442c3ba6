"""Platform credit: what a customer has of it, and what support gives."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import Row
from starlette.responses import Response

from api import cursors, replies, schemas
from api.identity import Customer, Support, Supporter
from api.once import NeededKey, key_of, once
from api.orders import Cursor, Limit
from api.parts import Held, Parts, utc_now
from api.replies import reply
from api.schemas import Id
from domain import ids
from domain.errors import Invalid
from services import credit, gifts
from services.credit import Grant
from services.gifts import Caps
from services.identity import Identity

GIFTS = "/v1/support/credit"
GIFT_LONGEST = timedelta(days=366)

router = APIRouter(prefix="/v1")
State = Annotated[Literal["given", "proposed", "declined"] | None, Query()]


@router.get("/credit", response_model=schemas.Credit, tags=["customer"])
async def get_credit(parts: Held, who: Customer) -> Response:
    """What the caller may spend, and until when; at most 100 grants are shown."""
    now = utc_now()
    async with parts.database.read() as reader:
        available_fen = await credit.available_fen(reader, who.site_id, who.subject, now=now)
        grants = await credit.spendable(reader, who.site_id, who.subject, now=now)
    shown = [dict(row._mapping) for row in grants]  # noqa: SLF001
    return reply({"available_fen": available_fen, "items": shown, "next_cursor": None})


@router.post("/support/credit", response_model=schemas.Gift, status_code=201, tags=["support"])
async def give_credit(
    parts: Held, who: Support, gift: schemas.NewGift, idempotency_key: NeededKey
) -> Response:
    """Give a customer credit; above a day's caps it is `proposed` and a second person decides."""
    key = key_of(who, idempotency_key, GIFTS, gift)
    grant_id = ids.derive("gift", who.site_id, who.actor, idempotency_key)
    caps = Caps(
        once_fen=parts.settings.approval_limit_fen,
        supporter_day_fen=parts.settings.gift_supporter_day_fen,
        customer_day_fen=parts.settings.gift_customer_day_fen,
    )

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        if not timedelta() < gift.expires_at - utc_now() <= GIFT_LONGEST:
            raise Invalid("it expires in the future, within a year", field="expires_at")
        wanted = Grant(
            grant_id=grant_id,
            site_id=who.site_id,
            customer_id=gift.customer_id,
            reason=gift.reason_code,
            amount_fen=gift.amount_fen,
            expires_at=gift.expires_at,
            granted_by=who.actor,
        )
        async with parts.database.write() as writer:
            given = await gifts.give(writer, wanted, caps)
        return reply(_told(given), 201)

    return await once(parts, key, GIFTS, go)


@router.get("/support/credit", response_model=schemas.Gifts, tags=["support"])
async def list_gifts(
    parts: Held, who: Supporter, *, state: State = None, cursor: Cursor = None, limit: Limit = 20
) -> Response:
    """Support's gifts, newest first."""
    after = None
    if cursor:
        at, grant_id = cursors.decode(cursor, str, str)
        after = (cursors.moment(at), str(grant_id))
    async with parts.database.read() as reader:
        rows = await gifts.page(
            reader, who.site_id, state=state or "", after=after, limit=limit + 1
        )
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    more = cursors.encode(last.proposed_at, last.grant_id) if last else None
    return replies.page([_told(row) for row in shown], more)


@router.post("/support/credit/{grant_id}/approve", response_model=schemas.Gift, tags=["support"])
async def approve_gift(parts: Held, who: Support, grant_id: Id) -> Response:
    """A second person agrees: the customer has it. Again changes nothing."""
    return await _decide(parts, who, grant_id, approve=True)


@router.post("/support/credit/{grant_id}/decline", response_model=schemas.Gift, tags=["support"])
async def decline_gift(parts: Held, who: Support, grant_id: Id) -> Response:
    """A second person says no: nothing is given. Again changes nothing."""
    return await _decide(parts, who, grant_id, approve=False)


async def _decide(parts: Parts, who: Identity, grant_id: str, *, approve: bool) -> Response:
    async with parts.database.write() as writer:
        gift = await gifts.decide(
            writer,
            site_id=who.site_id,
            grant_id=grant_id,
            actor=who.actor,
            approve=approve,
            now=utc_now(),
        )
    return reply(_told(gift))


def _told(gift: Row[Any]) -> dict[str, Any]:
    return {name: getattr(gift, name) for name in schemas.Gift.model_fields}
