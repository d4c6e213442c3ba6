"""Acts on tips after delivery, but for their money: that moves as any payment's does."""

from collections.abc import Callable
from typing import Any

from activities.act import act
from domain.contracts import tips as contracts
from domain.contracts.payments import Attempt
from domain.contracts.tips import GiveTip
from services import payments, tips
from services.db import Database


class TipActs:
    """The acts on tips, over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @act(contracts.STORE)
    async def store(self, tip: GiveTip) -> Attempt:
        """Check what is given against what may be, and keep its number."""
        async with self.database.write() as writer:
            stream = await payments.order_stream(writer, tip.order_id)
            await tips.store(writer, stream, tip)
        return Attempt(order_id=tip.order_id, out_trade_no=tip.out_trade_no)


def build(database: Database) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    return [TipActs(database).store]
