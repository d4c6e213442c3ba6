"""Platform credit: what a customer has of it, and what support gives."""

from datetime import timedelta

from fastapi import APIRouter
from starlette.responses import Response

from api import schemas
from api.identity import Customer, Support
from api.once import NeededKey, key_of, once
from api.parts import Held, utc_now
from api.replies import reply
from domain import ids
from domain.errors import ActionNotAllowed, Invalid
from services import credit, ledger
from services.credit import Grant

GIFTS = "/v1/support/credit"
GIFT_LONGEST = timedelta(days=366)

router = APIRouter(prefix="/v1")


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
    """Give a customer credit; at most what one person of support may give back by themselves."""
    key = key_of(who, idempotency_key, GIFTS, gift)
    grant_id = ids.derive("gift", who.site_id, who.actor, idempotency_key)

    async def go(_: bool) -> Response:  # noqa: FBT001 - a callback's one word
        if not timedelta() < gift.expires_at - utc_now() <= GIFT_LONGEST:
            raise Invalid("it expires in the future, within a year", field="expires_at")
        limit_fen = parts.settings.approval_limit_fen
        if gift.amount_fen > limit_fen:
            raise ActionNotAllowed(
                "more than one person may give", reason="above_limit", limit_fen=limit_fen
            )
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
            await ledger.post(writer, await credit.grant(writer, wanted))
        given = {name: getattr(wanted, name) for name in schemas.Gift.model_fields}
        return reply(given, 201)

    return await once(parts, key, GIFTS, go)
