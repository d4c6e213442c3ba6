"""What an order still holds goes to those who earned it, by contract; for the acts that end it."""

from typing import Any

from sqlalchemy import Row

from domain.books import journal
from services import after_sales, credit, ledger, refunds, settlement
from services.db import Writer
from services.events import Stream


async def divide(writer: Writer, stream: Stream, order: Row[Any]) -> None:
    """Book the parts of an order's row, and store what its channel has to make of them."""
    await credit.release_if_held(writer, order.order_id)
    borne = await after_sales.borne_by_merchant(writer, order.order_id)
    shares = await settlement.divide(writer, order, borne_fen=borne)
    await refunds.pay_merchant(writer, stream, amount_fen=shares.subsidy_fen)
    if order.paid_fen <= order.refunded_fen:
        return
    await settlement.open_settlement(writer, order.order_id, shares)
    await ledger.post(
        writer,
        journal(
            "order_settled",
            site_id=order.site_id,
            order_id=order.order_id,
            merchant_id=order.merchant_id,
            merchant_fen=shares.merchant_fen,
            commission_fen=shares.commission_fen,
            delivery_fen=shares.delivery_fen,
        ),
    )
