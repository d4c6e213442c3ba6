"""A tap becomes an order: what can be refused is refused first, then the workflow is started."""

from starlette.responses import Response

from api import views
from api.market import market
from api.parts import Parts, utc_now
from api.paying import Way, ensure_offered, parameters, ways
from api.replies import reply
from api.schemas import NewOrder
from domain.contracts.life import PayWishes
from domain.errors import (
    CreditTooLow,
    Invalid,
    PaymentRefused,
    QuoteChanged,
    Unavailable,
)
from domain.orders import Payment, Status
from services import addresses, credit, payments, quotes
from services.identity import Identity
from services.quotes import Quote

RETRY_SECONDS = 2


async def place(
    parts: Parts, who: Identity, order_id: str, wanted: NewOrder, *, first: bool
) -> Response:
    """Place the order of this key, unless an earlier try did; then say how to pay it."""
    if first or not await parts.durable.placed(order_id):
        await _begin(parts, who, order_id, wanted)
    return await payment(parts, who, order_id)


async def payment(parts: Parts, who: Identity, order_id: str) -> Response:
    """The order with what to pay it with: 201, or 202 while the gateway's answer is unknown."""
    stream = await parts.refresh(order_id)
    if stream is None:
        raise Unavailable
    async with parts.database.read() as reader:
        paying = await payments.payable(reader, order_id)
    answer = views.order(stream, who, parts.handover_key)
    if stream.view["status"] != Status.AWAITING_PAYMENT or paying is None:
        return reply(answer, 201)
    if paying.state == "failed":
        raise PaymentRefused
    if paying.state == "opened":
        return reply(answer | parameters(parts, paying), 201)
    pending = {
        "order_id": order_id,
        "status": stream.view["status"],
        "payment": Payment.UNKNOWN,
        "retry_after_seconds": RETRY_SECONDS,
    }
    return reply(pending, 202, {"Retry-After": str(RETRY_SECONDS)})


async def _begin(parts: Parts, who: Identity, order_id: str, wanted: NewOrder) -> None:
    async with parts.database.read() as reader:
        quote = await quotes.find(
            reader, site_id=who.site_id, customer_id=who.subject, quote_id=wanted.quote_id
        )
        if quote.address_id != wanted.address_id:
            raise Invalid("the quote is for another address: ask for a new one")
        here = await market(reader, who, quote.shop_id, quote.address_id)
        offered = await ways(parts, reader, who, here.market.shop.merchant_id)
        available_fen = await credit.available_fen(reader, who.site_id, who.subject, now=utc_now())
    changed = quotes.price_again(quote, here.market)
    if changed is None:
        _ensure_paid(quote, wanted, offered, available_fen)
    async with parts.database.write() as writer:
        if changed is None:
            await addresses.copy_to_order(
                writer,
                site_id=who.site_id,
                customer_id=who.subject,
                order_id=order_id,
                address=here.address,
                remark=wanted.remark,
            )
        else:
            await quotes.store(writer, changed)
    if changed is not None:
        raise QuoteChanged(quote=views.quote(changed, offered, credit_fen=available_fen))
    shop, paying = here.market.shop, wanted.payment
    order = quotes.order(
        quote,
        shop,
        order_id=order_id,
        credit_fen=wanted.credit_fen,
        channel=paying.channel if paying else "",
        method=paying.method if paying else "",
        wishes=paying.wishes() if paying else PayWishes(),
        tableware=wanted.tableware,
        speed=here.site.speed,
        overrides=here.site.timers,
        approval_limit_fen=parts.settings.approval_limit_fen,
        now=utc_now(),
    )
    await parts.durable.place(order, summary=f"{shop.name} #{order_id[-6:]}")


def _ensure_paid(quote: Quote, wanted: NewOrder, offered: list[Way], available_fen: int) -> None:
    """Refuse more credit than there is or than is needed, and a rest that nothing pays."""
    most_fen = min(available_fen, quote.total_fen)
    if wanted.credit_fen > most_fen:
        raise CreditTooLow(available_fen=available_fen, most_fen=most_fen)
    if wanted.credit_fen == quote.total_fen:
        return
    if wanted.payment is None:
        raise Invalid("say how the rest is paid", field="payment")
    ensure_offered(offered, wanted.payment)
