"""`python -m benchmarks.bare_worker QUEUE`: `TakeawayOrder` over activities that do nothing.

Tells on stdout which order is paid and which is completed, as events do in a running stack.
"""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from temporalio import activity

from domain.contracts import orders, payments
from domain.contracts.act import Act
from domain.contracts.orders import Done
from domain.contracts.payments import Settled
from domain.orders import Kitchen, Payment, Status
from services import process
from services.db import Database
from services.gateways import Gateways
from services.settings import settings
from workers.queues import ORDERS, Tools
from workers.serve import worker
from workflows.kit.connect import connect
from workflows.takeaway import TakeawayOrder

SERVING = "serving"
PAID = "paid"
COMPLETED = "completed"


def _paid(seq: int, status: Status, kitchen: Kitchen = Kitchen.READY) -> Done:
    return Done(seq=seq, status=status, payment=Payment.PAID, kitchen=kitchen)


ANSWERS: dict[Act[Any, Any], Done] = {
    orders.RESERVE: Done(
        seq=1, status=Status.AWAITING_PAYMENT, payment=Payment.UNPAID, kitchen=Kitchen.NONE
    ),
    payments.SETTLE: Settled(
        seq=2,
        status=Status.AWAITING_ACCEPTANCE,
        payment=Payment.PAID,
        kitchen=Kitchen.NONE,
        outcome="paid",
    ),
    orders.MARK_ACCEPTED: _paid(3, Status.PREPARING, Kitchen.PREPARING),
    orders.MARK_READY: _paid(4, Status.AWAITING_PICKUP),
    orders.MARK_PICKED_UP: _paid(5, Status.DELIVERING),
    orders.MARK_DELIVERED: _paid(6, Status.DELIVERED),
    orders.COMPLETE: _paid(7, Status.COMPLETED),
}
"""What each act of an order that goes well says at once."""
TOLD = {payments.SETTLE.name: PAID, orders.COMPLETE.name: COMPLETED}


def activities(_: Tools) -> list[Callable[..., Any]]:
    """An activity per act, under its wire name and with its types."""
    empty = [_empty(contract, answer) for contract, answer in ANSWERS.items()]
    return [*empty, _empty(payments.OPEN, None)]


def _empty(contract: Act[Any, Any], answer: Done | None) -> Callable[..., Any]:
    async def run(value: Any) -> Any:  # noqa: ANN401 - the contract's types, set below
        if contract.name in TOLD:
            _tell(f"{TOLD[contract.name]} {value.order_id}")
        return value if answer is None else answer

    run.__annotations__ = {"value": contract.takes, "return": contract.gives}
    return activity.defn(name=contract.name)(run)


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(stop: asyncio.Event) -> None:
    """Serve until told to stop, with the limits of the real worker; no tool is ever used."""
    known = settings()
    tools = Tools(database=Database(known.database_url), gateways=Gateways(known))
    queue = replace(ORDERS, name=sys.argv[1], workflows=(TakeawayOrder,), activities=activities)
    async with worker(await connect(known), queue, tools):
        _tell(SERVING)
        await stop.wait()
    await tools.gateways.close()


if __name__ == "__main__":
    process.run(main)
