"""Acts on orders that their customers fetch: each one transaction, recognised by its step's key."""

from collections.abc import Callable
from typing import Any

from activities.act import act
from activities.dividing import divide
from domain.contracts import orders as contracts
from domain.contracts.orders import Done, Step
from domain.errors import ActionNotAllowed
from domain.orders import CloseReason, Kitchen, Status
from services import events, orders, pickups
from services.db import Database
from services.orders import Change, Changed


class CollectingActs:
    """The acts, over one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @act(contracts.REMIND_CUSTOMER)
    async def remind_customer(self, step: Step) -> Done:
        """The food waits at the counter."""
        async with self.database.write() as writer:
            what = Change(type="order.collect_reminded", data={}, columns={})
            return (await orders.apply(writer, step, what)).done()

    @act(contracts.MARK_COLLECTED)
    async def mark_collected(self, step: Step) -> Done:
        """Handed over at the counter against the customer's code; after-sale opens."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return Changed(stream=stream, fresh=False).done()
            if not await pickups.collect(writer, order_id=step.order_id):
                raise ActionNotAllowed(status=stream.view["status"])
            columns = {
                "status": Status.DELIVERED,
                "kitchen": Kitchen.READY,
                "after_sale": "open",
            }
            what = Change(
                type="order.collected",
                data=columns | {"cancel_request": "none", "delay": None},
                columns=columns,
            )
            return (await orders.change(writer, step, stream, what)).done()

    @act(contracts.MARK_UNCOLLECTED)
    async def mark_uncollected(self, step: Step) -> Done:
        """Ready, and nobody came: the customer bears it, the shop has earned its part."""
        async with self.database.write() as writer:
            stream, repeated = await orders.begin(writer, step)
            if repeated:
                return Changed(stream=stream, fresh=False).done()
            await divide(writer, stream, await orders.find(writer, step.order_id))
            columns = {"status": Status.COMPLETED, "close_reason": CloseReason.NOT_COLLECTED}
            what = Change(
                type="order.uncollected",
                data=columns | {"cancel_request": "none"},
                columns=columns | {"ended_at": events.NOW},
            )
            return (await orders.change(writer, step, stream, what)).done()


def build(database: Database) -> list[Callable[..., Any]]:
    """Every act of this file, ready to be registered."""
    acts = CollectingActs(database)
    return [acts.remind_customer, acts.mark_collected, acts.mark_uncollected]
