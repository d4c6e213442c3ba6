"""What a rider has earned by an order, at the moment its goods are handed over or brought back."""

from domain.books import journal
from services import dispatch, ledger, settlement
from services.db import Writer
from services.events import Stream


async def pay_rider(writer: Writer, stream: Stream, rider_id: str) -> None:
    """Their part of the delivery fee, the search's bonus and the customer's tip."""
    contract, delivery_fee_fen = await settlement.contract_of(writer, stream.order_id)
    earned = {
        "rider_earned": contract.rider_fee(delivery_fee_fen),
        "rider_tipped": stream.view.get("tip_fen", 0),
        "rider_bonus": await dispatch.bonus_fen(writer, order_id=stream.order_id),
    }
    for event in filter(earned.get, earned):
        await ledger.post(
            writer,
            journal(
                event,
                site_id=stream.site_id,
                order_id=stream.order_id,
                rider_id=rider_id,
                amount_fen=earned[event],
            ),
        )
