"""What a customer has left with us for paying: ways used, cards kept at channels by consent."""

from fastapi import APIRouter
from starlette.responses import Response

from api import payers, schemas
from api.identity import Customer
from api.parts import Held
from api.replies import reply
from api.schemas import Id
from services import payees

router = APIRouter(prefix="/v1/me", tags=["me"])


@router.get("/payment-methods", response_model=schemas.PaymentMethods)
async def list_payment_methods(parts: Held, who: Customer) -> Response:
    """The way last used, and saved cards: a token and what may be shown, never a number."""
    async with parts.database.read() as reader:
        used = await payees.used(reader, who.site_id, who.subject)
    found, complete = await payers.kept(parts, who)
    return reply(
        {
            "last_used": {"channel": used[0].channel, "method": used[0].method} if used else None,
            "saved": [
                {
                    "saved_method": one.token,
                    "channel": payee.channel,
                    "merchant_id": payee.merchant_id,
                    "brand": one.brand,
                    "last4": one.last4,
                    "expires": one.expires,
                }
                for payee, one in found
            ],
            "complete": complete,
        }
    )


@router.delete("/payment-methods/{saved_method}", status_code=204)
async def forget_payment_method(parts: Held, who: Customer, saved_method: Id) -> Response:
    """Have the channel forget a saved card; payments made by it are not touched."""
    await payers.forget(parts, who, saved_method)
    return Response(status_code=204)
