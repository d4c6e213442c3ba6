"""A tap becomes an order: what can be refused is refused first, then the workflow is started."""

from contextlib import suppress

from starlette.responses import Response

from api import views
from api.market import foretold, market
from api.parts import Parts, utc_now
from api.payers import prepare
from api.paying import ensure_offered, parameters, refusal, usual, ways
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

RETRY_SECONDS = 2


async def place(
    parts: Parts, who: Identity, order_id: str, wanted: NewOrder, *, device: str, first: bool
) -> Response:
    """Place the order of this key, unless an earlier try did; then say how to pay it."""
    # A refused payment is no end of the order: its row says why, and other ways are left.
    with suppress(PaymentRefused):
        if first or not await parts.durable.placed(order_id):
            await _begin(parts, who, order_id, wanted, device)
    return await payment(parts, who, order_id)


async def payment(parts: Parts, who: Identity, order_id: str, out_trade_no: str = "") -> Response:
    """The order with what to pay it with: 201, or 202 while the gateway's answer is unknown.

    By its newest attempt, or the one of that number; raises PaymentRefused with the ways left.
    """
    stream = await parts.refresh(order_id)
    if stream is None:
        raise Unavailable
    async with parts.database.read() as reader:
        attempts = await payments.attempts(reader, order_id)
    paying = next((one for one in attempts if one.out_trade_no == out_trade_no), None)
    paying = paying or (attempts[-1] if attempts else None)
    answer = views.order(stream, who, parts.handover_key)
    if stream.view["status"] != Status.AWAITING_PAYMENT or paying is None:
        return reply(answer, 201)
    if paying.state == "failed":
        async with parts.database.read() as reader:
            left = await ways(parts, reader, who, stream.merchant_id)
        raise refusal(paying, left)
    if paying.state == "opened":
        return reply(answer | parameters(parts, paying), 201)
    pending = {
        "order_id": order_id,
        "status": stream.view["status"],
        "payment": Payment.UNKNOWN,
        "retry_after_seconds": RETRY_SECONDS,
    }
    return reply(pending, 202, {"Retry-After": str(RETRY_SECONDS)})


async def _begin(parts: Parts, who: Identity, order_id: str, wanted: NewOrder, device: str) -> None:
    async with parts.database.read() as reader:
        quote = await quotes.find(
            reader, site_id=who.site_id, customer_id=who.subject, quote_id=wanted.quote_id
        )
        if quote.address_id != wanted.address_id:
            raise Invalid("the quote is for another address: ask for a new one")
        here = await market(reader, who, quote.shop_id, quote.address_id)
        merchant_id = here.market.shop.merchant_id
        offered = await ways(parts, reader, who, merchant_id)
        available_fen = await credit.available_fen(reader, who.site_id, who.subject, now=utc_now())
    paying = None
    if wanted.credit_fen != quote.total_fen:
        paying = wanted.payment or await usual(parts, who, merchant_id, offered)
        ensure_offered(offered, paying)
    changed = quotes.price_again(quote, here.market)
    if changed is not None:
        # Only now: what goes on there makes no price, but the new quote promises by it.
        async with parts.database.read() as reader:
            changed = quotes.price_again(quote, await foretold(parts, reader, here))
    if changed is None and wanted.credit_fen > min(available_fen, quote.total_fen):
        raise CreditTooLow(
            available_fen=available_fen, most_fen=min(available_fen, quote.total_fen)
        )
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
    shop, wishes = here.market.shop, PayWishes()
    if paying is not None:
        wishes = await prepare(parts, who, merchant_id, paying, ref=order_id, device=device)
    order = quotes.order(
        quote,
        shop,
        order_id=order_id,
        credit_fen=wanted.credit_fen,
        channel=paying.channel if paying else "",
        method=paying.method if paying else "",
        wishes=wishes,
        tableware=wanted.tableware,
        speed=here.site.speed,
        overrides=here.site.timers,
        approval_limit_fen=parts.settings.approval_limit_fen,
        now=utc_now(),
    )
    await parts.durable.place(order, summary=f"{shop.name} #{order_id[-6:]}")
