"""What an order's end books for those who earned it: its rider, and by contract everybody else."""

from typing import Any

from sqlalchemy import Row

from domain.books import journal
from services import after_sales, ledger, refunds, settlement
from services.db import Writer
from services.events import Stream


async def pay_rider(writer: Writer, stream: Stream, rider_id: str) -> None:
    """The rider has earned their part of the delivery fee."""
    contract, delivery_fee_fen = await settlement.contract_of(writer, stream.order_id)
    earned = contract.rider_fee(delivery_fee_fen)
    if earned:
        await ledger.post(
            writer,
            journal(
                "rider_earned",
                site_id=stream.site_id,
                order_id=stream.order_id,
                rider_id=rider_id,
                amount_fen=earned,
            ),
        )


async def divide(writer: Writer, stream: Stream, row: Row[Any]) -> None:
    """What the order still holds goes to those who earned it, by contract."""
    borne = await after_sales.borne_by_merchant(writer, row.order_id)
    shares = await settlement.divide(writer, row, borne_fen=borne)
    await refunds.pay_merchant(writer, stream, amount_fen=shares.subsidy_fen)
    if row.paid_fen > row.refunded_fen:
        await settlement.open_settlement(writer, row.order_id, shares)
        await ledger.post(
            writer,
            journal(
                "order_settled",
                site_id=row.site_id,
                order_id=row.order_id,
                merchant_id=row.merchant_id,
                merchant_fen=shares.merchant_fen,
                commission_fen=shares.commission_fen,
                delivery_fen=shares.delivery_fen,
            ),
        )
